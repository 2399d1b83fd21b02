"""A board of the side panel, alone in a loop: that it ends when it is told to, whatever comes just then."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from elfbook.server.boards import PanelBoard
from elfbook.view.messages import Ack


class Idle(PanelBoard):
    """A board of a run of which there is nothing new."""

    async def _present_talk(self) -> Mock:
        return Mock(views={"a": None}, counts=False, is_due=False, watched=Mock(state=Mock(settled=False)))


@pytest.mark.parametrize("ticks", range(6))
def test_it_ends_though_it_is_spoken_to_at_that_moment(ticks: int) -> None:
    async def main() -> None:
        said, refuse = asyncio.Event(), Mock()
        board = Idle("party.1", Mock(looked=0), lambda *_: said.set(), refuse)
        await said.wait()  # in its first turn; in the second it waits to be spoken to
        board.hear(Ack(1))
        for _ in range(ticks):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await board.close()
        assert board.over and not refuse.called

    asyncio.run(main())
