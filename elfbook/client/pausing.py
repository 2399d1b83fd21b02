"""A run is to rest, or to go on: one record of its own says so to everybody who folds its log."""

from __future__ import annotations

import os

from elfbook.client.watched import Watched
from elfbook.facts import Paused
from elfbook.store.mycelium import Conflict


async def said_to_rest(watched: Watched, on: bool, why: str = "") -> bool:
    """Holds afterwards: the log says so, or the run has settled. True if it was said here."""
    while True:
        await watched.catch_up()
        state = watched.state
        if state.settled or state.paused == on:
            return False
        said = Paused(os.urandom(8).hex(), on, why)
        try:
            await watched.mycelium.pause(watched.run, said, state.pause_seq)
        except Conflict:
            continue  # somebody has said something since: what that was decides
        await watched.catch_up()
        return True
