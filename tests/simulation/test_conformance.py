"""The model and nats-server are asked the same, and must say the same."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from elfbook.store import link
from elfbook.store.link import Link
from elfbook.store.place import Place
from tests.simulation.loop import end_all, simulated
from tests.simulation.network import Network, Wire
from tests.simulation.operations import MARGIN_S, Performance, operations, queue_operations, strayed_s

SEEDS = range(40)
TRIES = 5


def by_the_model(name: str, todo: list[tuple]) -> Performance:
    with simulated(0) as (loop, chance):
        network = Network(loop, chance)

        async def perform() -> Performance:
            with patch.object(link, "NatsClient", lambda: Wire(network)):
                made = await Link.open("the model")
            performance = Performance(made, name)
            await performance.run(todo)
            await made.close()
            return performance

        performance = loop.run_until_complete(perform())
        end_all(loop)
        assert loop.trouble == []
        return performance


async def by_the_server(place: Place, lists: dict[str, list[tuple]]) -> dict[str, Performance]:
    """All lists at once, each on streams and a connection of its own."""
    address = place.address()

    async def perform(name: str, todo: list[tuple]) -> Performance:
        made = await Link.open(address.url, user=address.user, password=address.password)
        try:
            performance = Performance(made, name)
            await performance.run(todo)
            return performance
        finally:
            await made.close()

    performances = await asyncio.gather(*(perform(name, todo) for name, todo in lists.items()))
    return dict(zip(lists, performances, strict=True))


def test_the_model_answers_as_the_server_does(place: Place) -> None:
    """What lapses, lapses by the clock: a list for which this machine was too slow is performed again."""
    todo = {f"{seed}": operations(seed) for seed in SEEDS}
    todo |= {f"queue{seed}": queue_operations(seed) for seed in SEEDS}
    for again in range(TRIES):
        lists = {f"{name}t{again}": operations for name, operations in todo.items()}
        real = asyncio.run(by_the_server(place, lists))
        for name, operations_of in lists.items():
            model, server = by_the_model(name, operations_of), real[name]
            pairs = list(enumerate(zip(model.seen, server.seen, strict=True)))
            wrong = [(number, *pair) for number, pair in pairs if pair[0] != pair[1]]
            if wrong and name.startswith("queue") and strayed_s(model.times, server.times) > MARGIN_S:
                continue
            assert not wrong, "list {}, operation {}:\nmodel  {}\nserver {}".format(name, *wrong[0])
            del todo[name.rpartition("t")[0]]
        if not todo:
            return
    pytest.fail(f"this machine was too slow for {sorted(todo)}, {TRIES} times")


def test_a_list_that_was_too_slow_is_known_by_its_times() -> None:
    here = [float(number) for number in range(30)]
    assert strayed_s(here, [number + 7 for number in here]) == 0
    assert strayed_s(here, [number + 7 * (number > 20) for number in here]) == 7
    assert strayed_s(here, [number * 1.01 for number in here]) < 0.1
