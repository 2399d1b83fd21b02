"""A run is to rest, or to go on: one record of its own says so to everybody who folds its log."""

from __future__ import annotations

import os

from elfbook.client.watched import Watched
from elfbook.facts import Paused
from elfbook.store.mycelium import Conflict


async def said_to_rest(watched: Watched, on: bool, why: str = "") -> bool:
    """Holds afterwards: the log says so, or a run that was to rest has settled. True if it was said here.

    A run that has settled while it rested can go on: it would rest still if it were retried.
    """
    while True:
        await watched.catch_up()
        state = watched.state
        if state.paused == on or (on and state.settled):
            return False
        said = Paused(os.urandom(8).hex(), on, why)
        try:
            await watched.mycelium.pause(watched.run, said, state.pause_seq)
        except Conflict:
            continue  # somebody has said something since: what that was decides
        await watched.catch_up()
        return True
