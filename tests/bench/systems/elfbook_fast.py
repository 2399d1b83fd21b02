"""elfbook whose server flushes its files every two minutes: what is stored outlives any process, not a power cut."""

from __future__ import annotations

from systems import elfbook


class System(elfbook.System):
    """As elfbook, in fast mode."""

    def _serve(self) -> None:
        from elfbook.store.server import ensure_server

        ensure_server(self.notebook.place, mode="fast")
        self.negate = self.graph = self.scales = self.processes = self.began = (
            None  # durable figures tell enough
        )
