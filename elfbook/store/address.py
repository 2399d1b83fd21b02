"""Where a server is, and who one is there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """Where a server is and who one is there."""

    url: str
    user: str = ""
    password: str = ""
    system_password: str = ""
    """Of the embedded server's system account; lets anyone verify how it stores."""
    disk: str = ""
    """A folder on the disk of its store, when that is a disk of this machine."""
