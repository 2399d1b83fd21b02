"""A server that takes connections and never answers: every public call says so by name, and none hangs."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
from collections.abc import Awaitable, Callable, Iterator

import pytest

from elfbook.client.client import Client
from elfbook.client.watched import Watched
from elfbook.errors import FlowCancelled, MyceliumUnreachable
from elfbook.model import ElfUse, Graph, JobSpec, Manifest, Origin, ValueRef
from elfbook.notebook import pausing, verbs
from elfbook.notebook.notebook import Notebook
from elfbook.notebook.runs import Run
from elfbook.store.link import Unanswered
from elfbook.store.place import Place, read_json
from elfbook.store.server import ensure_server
from elfbook.tracing import values
from elfbook.tracing.graph import Drawn
from tests.frozen import freeze

LIMIT_S = 40.0
"""Longer than every wait that ends by itself; a call that takes so long hangs."""


@pytest.fixture(autouse=True)
def server(place: Place) -> Iterator[int]:
    """The server's process; it goes on after the test."""
    ensure_server(place, mode="fast")
    number = read_json(place.server_file)["pid"]
    yield number
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGCONT)


def drawn(jobs: int = 2) -> Drawn:
    specs = tuple(JobSpec(0, "task_a", b"", number=number) for number in range(jobs))
    return Drawn(Graph((ElfUse("Zoo", "d" * 64),), specs, b""), {}, {})


def blob(fill: str) -> ValueRef:
    return ValueRef(digest=fill * 64, size=600_000)


Call = Callable[[Client, Watched], Awaitable[object]]
OF_A_CLIENT: dict[str, Call] = {
    "submit": lambda client, run: client.submit("fresh", drawn(), Origin()),
    "watch": lambda client, run: client.watch("crawl", 1),
    "runs": lambda client, run: client.runs(),
    "workers": lambda client, run: client.workers(),
    "cancel": lambda client, run: client.cancel(run),
    "pause": lambda client, run: client.pause(run),
    "resume": lambda client, run: client.resume(run),
    "reopen": lambda client, run: client.reopen(run, [0]),
    "fetch": lambda client, run: client.fetch(blob("a")),
    "store": lambda client, run: client.store({"b" * 64: [b"x" * 600_000]}),
}
OF_A_RUN: dict[str, Call] = {
    "begin": lambda client, run: run.begin(),
    "catch_up": lambda client, run: run.catch_up(),
    "complete_outputs": lambda client, run: run.complete_outputs(),
    "learn": lambda client, run: run.learn("d" * 64, blob("c")),
}
ANSWERS_ANYHOW = {"open", "close", "situation"}
"""Tested by themselves: `open` names the server, `close` ends, `situation` is None."""
WAITS = {"changed", "settled", "close"}
"""A run is waited for for as long as it takes: it may go on where the server is seen."""


def test_every_public_call_is_in_the_table() -> None:
    def public(cls: type) -> set[str]:
        found = inspect.getmembers(cls, inspect.iscoroutinefunction)
        return {name for name, _ in found if not name.startswith("_")}

    assert public(Client) == OF_A_CLIENT.keys() | ANSWERS_ANYHOW
    assert public(Watched) == OF_A_RUN.keys() | WAITS


async def ended(call: Awaitable[object]) -> object:
    """What the call gave or raised; "it hangs" when it did neither."""
    try:
        return await asyncio.wait_for(call, LIMIT_S)
    except TimeoutError:
        return "it hangs"
    except Exception as error:
        return error


@contextlib.asynccontextmanager
async def opened(place: Place, patience_s: float = 1.0):
    client = await Client.open(place)
    client.mycelium.pressure.patience_s = patience_s
    try:
        yield client
    finally:
        await asyncio.wait_for(client.close(), LIMIT_S)


async def test_a_frozen_server_is_named_by_every_call_and_afterwards_all_goes_on(place, server) -> None:
    async with opened(place) as client:
        await client.mycelium.blobs()  # its connection is there
        run, _ = await client.submit("crawl", drawn(), Origin())
        other, _ = await client.submit("other", drawn(), Origin())
        await other.close()  # nothing hears of it any more
        calls = [*OF_A_CLIENT.values(), *OF_A_RUN.values()]
        freeze(server)
        waiting = asyncio.create_task(run.settled())
        of_client = {name: ended(call(client, run)) for name, call in OF_A_CLIENT.items()}
        of_run = {name: ended(call(client, other)) for name, call in OF_A_RUN.items()}
        told = await asyncio.gather(*of_client.values(), *of_run.values())
        assert await client.situation() is None
        assert len(told) == len(calls)
        for name, error in zip([*of_client, *of_run], told, strict=True):
            assert type(error) is MyceliumUnreachable, f"{name}: {error!r}"
            assert error.hint, name
            assert "not answer" in str(error), name
        said = dict(zip([*of_client, *of_run], map(str, told), strict=True))
        assert "not known whether" in said["submit"]
        assert "nothing starts twice" in said["submit"]
        assert "Some of its jobs may have been cancelled" in said["cancel"]
        assert "none is opened twice" in said["reopen"]
        assert all("Nothing was changed" in said[name] for name in ("watch", "runs", "workers", "fetch"))
        assert not waiting.done()
        os.kill(server, signal.SIGCONT)
        client.mycelium.pressure.patience_s = 30.0
        assert await asyncio.wait_for(client.cancel(run), LIMIT_S) in (0, 2)  # 0: the first one did it
        await asyncio.wait_for(waiting, LIMIT_S)
        counts = {each.flow: each.counts for each in await client.runs()}
        assert counts["crawl"] == {"cancelled": 2}


async def test_a_submission_in_doubt_is_found_again_also_when_it_has_ended(place, monkeypatch) -> None:
    async with opened(place, 30.0) as client, opened(place, 30.0) as other:
        add_run = client.mycelium.add_run

        async def stored_and_lost(manifest: Manifest, expect: int) -> int:
            await add_run(manifest, expect)
            raise Unanswered("the answer was lost")

        with monkeypatch.context() as patch:
            patch.setattr(client.mycelium, "add_run", stored_and_lost)
            with pytest.raises(MyceliumUnreachable, match="not known whether the run was stored"):
                await client.submit("doubt", drawn(2), Origin())
        run = await other.watch("doubt")
        assert await other.cancel(run) == 2
        again, joined = await client.submit("doubt", drawn(2), Origin())
        assert (again.run, joined) == (run.run, True)
        fresh, joined = await client.submit("doubt", drawn(2), Origin())
        assert (fresh.manifest.number, joined) == (2, False), "only once: then it is a run of its own"


async def test_a_flush_without_a_connection_does_not_say_that_all_has_arrived(place, server, until) -> None:
    async with opened(place) as client:
        link = client.mycelium.link
        os.kill(server, signal.SIGKILL)
        await until(lambda: not link.connected)
        with pytest.raises(Unanswered):
            await link.flush()
        await asyncio.to_thread(ensure_server, place, mode="fast")
        await link.flush()
        assert link.connected


VERBS: dict[str, Callable[[Notebook], object]] = {
    "%elf": lambda book: verbs.overview(notebook=book).about,
    "%elf runs": lambda book: verbs.runs(notebook=book),
    "%elf show": lambda book: verbs.find("gone", notebook=book),
    "%elf retry": lambda book: verbs.retry("verbs", notebook=book),
    "%elf retry RUN": lambda book: book.runs["verbs"].retry(),
    "%elf cancel": lambda book: verbs.cancel("verbs", notebook=book),
    "%elf pause": lambda book: pausing.pause("verbs", notebook=book),
    "run.resume": lambda book: book.runs["verbs"].resume(),
    "%elf attach": lambda book: verbs.attach("gone", notebook=book),
    "%elf attach --all": lambda book: verbs.attach_all(notebook=book),
    "workers": lambda book: book.workers(),
    "job.result": lambda book: book.load(blob("a")),
}
SAYS_NOTHING_OF_IT = {"%elf retry", "%elf retry RUN"}
"""Nothing has failed, and nothing needs to be asked to know that."""


async def test_every_verb_names_a_frozen_server_and_a_wait_says_why(place, server, capsys, until) -> None:
    book = Notebook(None, place)
    try:
        await asyncio.to_thread(lambda: book.client)
        book.client.mycelium.pressure.patience_s = 1.0
        run, _ = await asyncio.to_thread(book.ask, book.client.submit, "verbs", drawn(), Origin())
        held = book.hold(Run("verbs", book, run))
        await asyncio.to_thread(book.load, await stored_blob(place))  # the connection for values is there
        freeze(server)
        waiting = asyncio.create_task(asyncio.to_thread(held.result, LIMIT_S))
        await until(lambda: "waiting: the server does not answer" in capsys.readouterr().out)
        told = await asyncio.gather(*(ended(asyncio.to_thread(call, book)) for call in VERBS.values()))
        for name, error in zip(VERBS, told, strict=True):
            if name in SAYS_NOTHING_OF_IT:
                assert error in ((held, 0), held), f"{name}: {error!r}"
                continue
            assert type(error) is MyceliumUnreachable, f"{name}: {error!r}"
            assert error.hint, name
        assert not waiting.done()
        os.kill(server, signal.SIGCONT)
        book.client.mycelium.pressure.patience_s = 30.0
        await asyncio.to_thread(book.cancel, held)
        with pytest.raises(FlowCancelled):
            await asyncio.wait_for(waiting, LIMIT_S)
    finally:
        os.kill(server, signal.SIGCONT)
        await asyncio.to_thread(book.disconnect)


async def stored_blob(place: Place) -> ValueRef:
    pieces = values.encode(b"y" * 600_000, place.key())
    async with opened(place, 30.0) as client:
        return await client.mycelium.put(pieces)


async def test_a_server_that_has_ended_is_named_by_a_submission_with_what_holds(place, server) -> None:
    book = Notebook(None, place)
    try:
        await asyncio.to_thread(lambda: book.client)
        os.kill(server, signal.SIGKILL)
        with pytest.raises(MyceliumUnreachable, match="not known whether the run was stored") as told:
            await asyncio.to_thread(book.ask, book.client.submit, "ended", drawn(), Origin())
        assert "%elf up" in told.value.hint
    finally:
        await asyncio.to_thread(book.disconnect)
