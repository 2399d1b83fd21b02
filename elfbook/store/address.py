"""Where a server is, who one is there, and what it promises."""

from __future__ import annotations

import json
from dataclasses import dataclass

from elfbook.store.link import Link, Unanswered

UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Address:
    """Where a server is and who one is there."""

    url: str
    user: str = ""
    password: str = ""
    system_password: str = ""
    """Of the embedded server's system account; lets anyone verify how it stores."""


async def read_durability(address: Address) -> str:
    """What the server does before it acknowledges, as it says itself, never assumed."""
    if not address.system_password:
        return UNVERIFIED
    system = await Link.open(
        address.url, user="system", password=address.system_password, name="elfbook check"
    )
    try:
        reply = await system.request("$SYS.REQ.SERVER.PING.VARZ", b"{}", timeout_s=2)
    except Unanswered:
        return UNVERIFIED
    finally:
        await system.close()
    config = json.loads(reply.data)["data"].get("jetstream", {}).get("config", {})
    return "durable" if config.get("sync_always") else "fast"
