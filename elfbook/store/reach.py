"""Whether a server would do, found out without leaving anything there."""

from __future__ import annotations

from elfbook.errors import MyceliumUnreachable
from elfbook.store.address import Address
from elfbook.store.greeting import OVERLOADED, no_jetstream, shown
from elfbook.store.link import Link, Refused, Unanswered


async def reach(address: Address) -> None:
    """Returns when the server would keep a mycelium; what it raises names what is amiss, within seconds."""
    link = await Link.open(address.url, user=address.user, password=address.password, name="elfbook check")
    try:
        await link.api("INFO")
    except Unanswered as error:
        raise MyceliumUnreachable(
            f"the NATS server at {shown(address.url)} answers, and its JetStream does not: {error}",
            hint=OVERLOADED,
        ) from error
    except Refused as error:
        raise no_jetstream(address.url, link.user, error) from error
    finally:
        await link.close()
