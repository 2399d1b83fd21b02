"""What Jupyter's server looks for in an extension; its configuration names this file."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "elfbook.server.extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """The panel's address answers; nothing is looked at before a page comes."""
    from elfbook.server.door import add_to

    add_to(server.web_app)
    server.log.info("elfbook: the side panel has its place on this server")
