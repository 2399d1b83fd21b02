"""The model and nats-server are asked the same, and must say the same."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from elfbook.store import link
from elfbook.store.link import Link
from elfbook.store.place import Place
from tests.simulation.loop import end_all, simulated
from tests.simulation.network import Network, Wire
from tests.simulation.operations import Performance, operations, queue_operations

SEEDS = range(40)


def by_the_model(name: str, todo: list[tuple]) -> list:
    with simulated(0) as (loop, chance):
        network = Network(loop, chance)

        async def perform() -> list:
            with patch.object(link, "NatsClient", lambda: Wire(network)):
                made = await Link.open("the model")
            seen = await Performance(made, name).run(todo)
            await made.close()
            return seen

        seen = loop.run_until_complete(perform())
        end_all(loop)
        assert loop.trouble == []
        return seen


async def by_the_server(place: Place, lists: dict[str, list[tuple]]) -> dict[str, list]:
    """All lists at once, each on streams and a connection of its own."""
    address = place.address()

    async def perform(name: str, todo: list[tuple]) -> list:
        made = await Link.open(address.url, user=address.user, password=address.password)
        try:
            return await Performance(made, name).run(todo)
        finally:
            await made.close()

    seen = await asyncio.gather(*(perform(name, todo) for name, todo in lists.items()))
    return dict(zip(lists, seen, strict=True))


def test_the_model_answers_as_the_server_does(place: Place) -> None:
    lists = {f"{seed}": operations(seed) for seed in SEEDS}
    lists |= {f"queue{seed}": queue_operations(seed) for seed in SEEDS}
    real = asyncio.run(by_the_server(place, lists))
    for name, todo in lists.items():
        model = by_the_model(name, todo)
        for number, (ours, theirs) in enumerate(zip(model, real[name], strict=True)):
            assert ours == theirs, f"list {name}, operation {number}:\nmodel  {ours}\nserver {theirs}"
