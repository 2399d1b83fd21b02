"""What listens at an address, whether it can keep a mycelium, and how to say that it cannot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from elfbook.errors import AccessDenied, MyceliumError, MyceliumUnreachable, WrongServer

OLDEST_SERVER = (2, 12)
"""Atomic batches came with nats-server 2.12."""
START_ONE = "Start one with  %elf up   (in a shell:  elfbook up)"
OVERLOADED = "It may be overloaded or still starting. See its log, then try again."
WANTED = "elfbook needs  elf.>  $JS.API.>  $JS.ACK.>  and  _INBOX.>  for publishing and subscribing."


def shown(url: str) -> str:
    """A server's address without its password."""
    return url.rpartition("@")[2].removeprefix("nats://")


async def first_words(url: str, timeout_s: float = 1.0) -> bytes | None:
    """What a server says first, perhaps nothing; None when nobody listens there."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 4222)
    except (OSError, ValueError):  # TimeoutError is an OSError
        return None
    try:
        async with asyncio.timeout(timeout_s):
            return await reader.readline()
    except (OSError, ValueError):
        return b""
    finally:
        writer.close()


async def what_is_there(url: str) -> MyceliumError:
    """Why a connection could not be made."""
    words = await first_words(url)
    if words is None:
        return MyceliumUnreachable(f"no NATS server answers at {shown(url)}", hint=START_ONE)
    if words.startswith(b"INFO "):
        return MyceliumUnreachable(
            f"the NATS server at {shown(url)} does not answer in time",
            hint="It may be overloaded, or ask for TLS. See its log, then try again.",
        )
    if not words:  # a frozen server is as silent as a server of another kind that waits to be spoken to
        return MyceliumUnreachable(
            f"something listens at {shown(url)} and says nothing: a NATS server that hangs, or none at all",
            hint=f"Check the URL; if it is right, see the server's log. {START_ONE}",
        )
    said = words[:40].decode(errors="replace")
    return WrongServer(
        f"what listens at {shown(url)} is no NATS server: it says {said!r}",
        hint=f"Check the URL. {START_ONE}",
    )


def check_server(url: str, facts: Mapping[str, object]) -> None:
    """WrongServer unless what the server says of itself will do."""
    version = str(facts.get("version", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_SERVER:
        raise WrongServer(
            f"the NATS server at {shown(url)} is version {version}; elfbook needs "
            f"{'.'.join(map(str, OLDEST_SERVER))} or newer",
            hint="Upgrade it, or use the one that comes with elfbook: leave the URL out.",
        )
    if not facts.get("jetstream"):
        raise WrongServer(
            f"the NATS server at {shown(url)} (version {version}) runs without JetStream",
            hint="Start it with  nats-server -js -sd FOLDER  or use the one that comes with elfbook.",
        )


def no_jetstream(url: str, user: str, words: object) -> WrongServer:
    """The server has JetStream, and this account has not."""
    return WrongServer(
        f"the NATS server at {shown(url)} gives {named(user)} no JetStream: {words}",
        hint="Have its operator enable JetStream for the account, or use the embedded one:  %elf up",
    )


def not_let_in(url: str, user: str) -> AccessDenied:
    whom = f"{named(user)} in" if user else "us in without credentials"
    return AccessDenied(
        f"the NATS server at {shown(url)} does not let {whom}",
        hint="Check user and password in the URL (--url or ELFBOOK_URL), or ask who runs the server.",
    )


def not_allowed(url: str, user: str, what: str, subject: str) -> AccessDenied:
    return AccessDenied(
        f"the NATS server at {shown(url)} does not allow {named(user)} the {what.lower()} of {subject}",
        hint=f"Have its operator allow it. {WANTED}",
    )


def named(user: str) -> str:
    return f"user {user!r}" if user else "us"


def credentials_in(url: str) -> dict[str, str]:
    """What a URL says about who we are; the other servers of a cluster have to hear the same."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user:
        return {}
    return {"user": user, "password": password} if password else {"token": user}
