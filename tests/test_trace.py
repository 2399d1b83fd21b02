"""Flows: calls become jobs, their edges are what the arguments reach, their lines the cell's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.errors import CannotSend, DeferredValueError, DefinitionError, ElfbookError
from elfbook.model import INLINE_LIMIT, Graph, JobSpec, Policy, Revision
from elfbook.tracing import evaluate, values
from elfbook.tracing.elves import adopt, task
from elfbook.tracing.expr import Value
from elfbook.tracing.graph import check
from elfbook.tracing.trace import Drawn, Recorder, current, gather

KEY = b"k" * 32


@adopt
class Maker:
    def task_make(self, *items: Any, **named: Any) -> Any:
        return items

    def task_stats(self, rows: Any) -> ("mean", "std"):  # type: ignore[valid-type]  # noqa: F821, UP037
        return {"mean": 1, "std": 2}

    def task_nothing(self) -> None: ...

    async def task_later(self, item: Any) -> Any:
        return item

    def task_waits(self, after: Any) -> Any:
        return after

    def make_twice(self, item: Any) -> list:
        return [self.task_make(item), self.task_make(item)]


@adopt
class Storage:
    def __init__(self, name: str, table: Any = None) -> None:
        self.rows = [name]

    def task_save(self, item: Any) -> Any:
        return item


@adopt
class Caller:
    @task(retries=0, timeout=2.5, limit="api:3")
    def call(self, item: Any) -> Any:
        return item

    @task()
    def also(self, item: Any) -> Any:
        return item


def revision_of(cls: type) -> Revision:
    return Revision(cls.__name__, f"digest of {cls.__name__}", (), ())


def drawn(flow: Callable[[], object], name: str = "party") -> Drawn:
    with Recorder(name, __file__) as recorder:
        result = flow()
    return recorder.graph(result, None, revision_of, KEY)


def jobs(flow: Callable[[], object]) -> tuple[JobSpec, ...]:
    return drawn(flow).graph.jobs


def thaw(expression: bytes, found: Drawn, *results: object) -> Any:
    def literal(data: Any) -> object:
        return values.decode(data, KEY)

    def blob(digest: str) -> object:
        return literal(b"".join(found.blobs[digest]))

    return evaluate.evaluate(expression, dict(enumerate(results)), literal, blob)


# ---------------------------------------------------------------------------- the first cells


def test_the_tutorials_party() -> None:
    def party() -> None:
        maker = Maker()
        hellos = maker.task_make.map(["Ada", "Alan", 7])
        maker.task_stats.map(hellos)

    found = drawn(party)
    shape = [(job.task, job.number, job.parents) for job in found.graph.jobs]
    assert shape == [
        *(("task_make", 0, ()), ("task_make", 1, ()), ("task_make", 2, ())),
        *(("task_stats", 0, (0,)), ("task_stats", 1, (1,)), ("task_stats", 2, (2,))),
    ]
    assert thaw(found.graph.jobs[1].arguments, found) == (("Alan",), {})
    assert thaw(found.graph.jobs[4].arguments, found, 0, "x") == (("x",), {})
    assert thaw(found.graph.result, found, *"abcdef") == ["d", "e", "f"]
    assert [elf.elf for elf in found.graph.elves] == ["Maker"]
    assert found.revisions == {"digest of Maker": revision_of(Maker)}


def test_blumyceliums_loop() -> None:
    def flow() -> None:
        maker, storage, seen = Maker(), Storage("animals"), []
        for turn in range(100):
            seen.append(maker.task_make(turn))
            storage.task_save(seen[-1][0])
            if turn % 5 == 4:
                storage.task_save(maker.task_stats(seen)["mean"])

    found = jobs(flow)
    assert len(found) == 240
    last = max(found, key=lambda job: len(job.parents))
    assert last.task == "task_stats" and len(last.parents) == 100


def test_a_graph_is_data() -> None:
    found = drawn(lambda: Maker().task_make(Maker().task_make(1)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found.graph), type=Graph) == found.graph


# ---------------------------------------------------------------------------- BM-09: edges


SHAPES = [lambda v: v, lambda v: [v], lambda v: {"k": (v,)}, lambda v: v[0] + 1, lambda v: v.x(y=v)]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_edges_are_what_an_oracle_that_tracks_provenance_says(data: st.DataObject) -> None:
    expected: list[tuple[set[int], set[int]]] = []
    known: list[tuple[Any, set[int]]] = []

    def some() -> list[tuple[Any, set[int]]]:
        return data.draw(st.lists(st.sampled_from(known), max_size=3)) if known else []

    with Recorder("random") as recorder:
        for _ in range(data.draw(st.integers(1, 12))):
            pairs, waits = some(), some()
            arguments = [data.draw(st.sampled_from(SHAPES))(value) for value, _ in pairs]
            parents = set().union(*(behind for _, behind in pairs))
            made = Maker().task_make(*arguments, after=[value for value, _ in waits])
            known.append((made, {len(expected)}))
            expected.append((parents, set().union(*(behind for _, behind in waits)) - parents))
            other, behind = data.draw(st.sampled_from(known))
            known.append((made - other, known[-1][1] | behind))
    found = recorder.graph(None, None, revision_of, KEY).graph.jobs
    assert [(set(job.parents), set(job.after)) for job in found] == expected
    assert all(job.parents == tuple(sorted(job.parents)) for job in found)


def test_the_same_result_twice_is_one_edge() -> None:
    def flow() -> None:
        value = Maker().task_make(1)
        Maker().task_make(value, [value], k=value + value)

    assert jobs(flow)[1].parents == (0,)


def test_after_orders_jobs_that_share_no_data() -> None:
    def flow() -> None:
        maker = Maker()
        one, two, three = maker.task_make.map([1, 2, 3])
        maker.task_make(one, after=[two, (one, {"k": three + two})])
        maker.task_make.map([5], after=one)
        maker.task_waits(after=two)
        maker.task_make(after=None)

    found = jobs(flow)
    assert [(job.parents, job.after) for job in found[3:]] == [
        ((0,), (1, 2)),
        ((), (0,)),
        ((1,), ()),
        ((), ()),
    ]


def test_after_takes_values_only() -> None:
    with Recorder("party"), pytest.raises(TypeError, match=r"task_make\(after=…\) takes values"):
        Maker().task_make(1, after="x")


def test_jobs_of_a_named_elf_take_turns() -> None:
    def flow() -> None:
        animals, plants, maker = Storage("animals"), Storage("plants"), Maker()
        for elf in (animals, maker, plants, animals, Storage("animals"), maker, plants):
            (elf.task_make if elf is maker else elf.task_save)(1)

    assert [job.turn for job in jobs(flow)] == [None, None, None, 0, 3, None, 2]
    found = drawn(flow).graph
    assert [(elf.elf, elf.name) for elf in found.elves] == [
        ("Storage", "animals"),
        ("Storage", "plants"),
        ("Maker", ""),
    ]
    assert [job.elf for job in found.jobs] == [0, 2, 1, 0, 0, 2, 1]


def test_calls_from_methods_are_jobs_of_the_same_elf() -> None:
    assert [job.task for job in jobs(lambda: Maker().make_twice(1))] == ["task_make", "task_make"]


def test_an_edge_to_a_later_job_is_refused() -> None:
    found = drawn(lambda: Maker().task_make(1)).graph
    for job in (JobSpec(0, "x", b"", (5,)), JobSpec(0, "x", b"", after=(1,)), JobSpec(3, "x", b"")):
        with pytest.raises(DefinitionError, match=r"x\[0\]"):
            check(Graph(found.elves, (*found.jobs, job), b""))


# ---------------------------------------------------------------------------- results


def test_the_flows_result() -> None:
    assert thaw((d := drawn(lambda: {"a": [Maker().task_make(1)]})).graph.result, d, 5) == {"a": [5]}
    assert thaw((d := drawn(lambda: gather(*Maker().task_make.map("ab"))[1] + 1)).graph.result, d, 1, 2) == 3

    def loose() -> None:
        one, _two = Maker().task_make.map("ab")
        Maker().task_make(one)

    assert thaw((d := drawn(loose)).graph.result, d, 1, 2, 3) == [2, 3]
    assert gather(1, 2) == [1, 2]


def test_a_large_result_literal_is_a_blob() -> None:
    found = drawn(lambda: [Maker().task_make(1), "x" * INLINE_LIMIT])
    assert len(found.graph.blobs) == 1 and found.graph.blobs[0].digest in found.blobs


def test_policy_is_kept() -> None:
    with Recorder("party") as recorder:
        Maker().task_make(1)
    assert recorder.graph(None, Policy(retries=3), revision_of, KEY).graph.policy.retries == 3


# ---------------------------------------------------------------------------- lines and numbers


def test_lines_are_those_of_the_flows_cell() -> None:
    cell = """
maker = Maker()
value = maker.task_make(
    1)
for number in range(2):
    value = (
        maker.task_make(value))
later(maker)
[maker.task_make(n) for n in range(2)]
maker.task_make.map("ab")
maker.make_twice(1)
"""

    def later(maker: Maker) -> None:
        maker.task_make(0)

    with Recorder("party", "<cell 5>") as recorder:
        exec(compile(cell, "<cell 5>", "exec"), {"Maker": Maker, "later": later})
    found = recorder.graph(None, None, revision_of, KEY).graph.jobs
    assert [job.line for job in found] == [3, 7, 7, 8, 9, 9, 10, 10, 11, 11]
    assert [job.number for job in found] == list(range(10))
    with Recorder("party", "elsewhere") as recorder:
        Maker().task_make(1)
    assert recorder.calls[0].line == 0


def test_numbers_count_calls_of_a_task_over_all_elves() -> None:
    def flow() -> list:
        one, two = Maker(), Maker()
        return [one.task_make(1), two.task_make(1), one.task_later(1), two.task_make(1)]

    found = drawn(flow)
    assert [(job.task, job.number) for job in found.graph.jobs] == [
        *(("task_make", 0), ("task_make", 1), ("task_later", 0), ("task_make", 2)),
    ]
    with Recorder("party"):
        assert list(map(repr, flow()))[3] == "<value of task_make[2]>"


# ---------------------------------------------------------------------------- literals


def test_arguments_are_taken_as_they_are_at_the_call() -> None:
    rows, array = [1], np.zeros(INLINE_LIMIT)

    def flow() -> None:
        Maker().task_make(rows, array)
        rows.append(2)
        array[0] = 7
        Maker().task_make(rows, array)

    found = drawn(flow)
    first, second = (thaw(job.arguments, found)[0] for job in found.graph.jobs)
    assert (first[0], first[1][0], second[0], second[1][0]) == ([1], 0, [1, 2], 7)


def test_a_large_literal_is_kept_once() -> None:
    array = np.arange(INLINE_LIMIT)

    def flow() -> None:
        maker = Maker()
        for number in range(20):
            maker.task_make(number, array)
        maker.task_make(maker.task_make(1), array.copy())

    found = drawn(flow)
    assert len(found.blobs) == 1
    assert {ref.digest for job in found.graph.jobs for ref in job.blobs} == set(found.blobs)
    assert (thaw(found.graph.jobs[3].arguments, found)[0][1] == array).all()


def test_a_million_items_cost_once() -> None:
    rows = list(range(1_000_000))
    found = drawn(lambda: Maker().task_make(rows))
    assert len(found.graph.jobs[0].arguments) < 300
    assert sum(map(len, next(iter(found.blobs.values())))) < 8_000_000


def test_none_and_text_are_arguments_like_any_other() -> None:
    found = drawn(lambda: Maker().task_make(None, "x", k=None))
    assert thaw(found.graph.jobs[0].arguments, found) == ((None, "x"), {"k": None})


def test_what_cannot_be_sent_is_named() -> None:
    lock = threading.Lock()
    with Recorder("party", __file__):
        maker = Maker()
        with pytest.raises(
            CannotSend, match=r"argument rows of task_stats .*its \['a'\]\[1\] is a _thread.lock"
        ) as caught:
            maker.task_stats({"a": [0, lock]})
        assert caught.value.name == "rows" and caught.value.line > 0 and caught.value.hint
        with pytest.raises(CannotSend, match=r"argument rows of task_stats .*it is a generator"):
            maker.task_stats(rows=(n for n in range(3)))
        with pytest.raises(CannotSend, match="argument items of task_make"):
            maker.task_make(maker.task_make(1), lock)
        with pytest.raises(CannotSend, match="an argument of Storage"):
            Storage("animals", lock)
    with Recorder("party") as recorder:
        Maker().task_make(1)
    with pytest.raises(CannotSend, match="the result of flow party"):
        recorder.graph(lock, None, revision_of, KEY)


# ---------------------------------------------------------------------------- elves in flows


def test_constructor_arguments_travel_with_the_elf() -> None:
    outside = Storage("outside", {"rows": [1]})

    def flow() -> None:
        outside.task_save(1)
        Storage("inside", np.arange(INLINE_LIMIT)).task_save(1)

    found = drawn(flow)
    first, second = found.graph.elves
    assert thaw(first.arguments, found) == (("outside", {"rows": [1]}), {})
    assert len(thaw(second.arguments, found)[0][1]) == INLINE_LIMIT
    assert set(found.blobs) == {ref.digest for ref in found.graph.jobs[1].blobs}


def test_an_elf_made_in_a_flow_is_only_written_down_until_it_is_used_here() -> None:
    with Recorder("party"):
        storage = Storage("animals")
        assert not hasattr(storage, "rows")
        assert isinstance(storage.task_save(1), Value)
        assert storage.task_save.local(2) == 2
        assert storage.rows == ["animals"]
        other = Storage("plants")
    assert other.task_save(3) == 3 and other.rows == ["plants"]


def test_a_hollow_elf_is_no_argument() -> None:
    with (
        Recorder("party"),
        pytest.raises(DefinitionError, match=r"a Storage made in a flow cannot be an argument"),
    ):
        Maker().task_make([Storage("animals")])


def test_equal_anonymous_elves_are_one() -> None:
    assert len(drawn(lambda: [Maker().task_make(n) for n in range(5)]).graph.elves) == 1


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (lambda: (Storage("My Elf"), Storage("my elf")), "both become 'my_elf'"),
        (lambda: (Storage("a"), Maker("a")), "name of a Storage and of a Maker"),
        (lambda: (Storage("a", 1), Storage("a", 2)), "twice with different arguments"),
    ],
)
def test_a_name_is_one_elf(flow: Callable, words: str) -> None:
    with Recorder("party"), pytest.raises(DefinitionError, match=words):
        flow()


def test_an_elf_is_not_made_of_values() -> None:
    with Recorder("party"), pytest.raises(DeferredValueError, match="Storage is made with a value"):
        Storage("a", [Maker().task_make(1)])


def test_super_of_a_task_is_no_job() -> None:
    @adopt
    class Loud(Maker):
        def task_make(self, item: Any) -> Any:  # type: ignore[override]
            return super().task_make(item)

        def both(self) -> Any:
            return super().task_make(1)

    assert Loud().task_make(1) == (1,)
    with Recorder("party"):
        assert isinstance(Loud().task_make(1), Value)
        with pytest.raises(DefinitionError, match=r"super\(\).task_make\(\)"):
            Loud().both()


# ---------------------------------------------------------------------------- misuse


def test_misuse_of_recorders() -> None:
    with Recorder("party") as recorder:
        assert current() is recorder
        with pytest.raises(DefinitionError, match="flow other begins inside flow party"):
            Recorder("other").__enter__()
    assert current() is None
    with pytest.raises(DefinitionError, match="recorded already"):
        recorder.__enter__()
    with pytest.raises(DefinitionError, match="flow party calls no task"):
        recorder.graph(None, None, revision_of, KEY)


def test_an_error_in_the_flow_ends_the_recording() -> None:
    with pytest.raises(ZeroDivisionError), Recorder("party"):
        1 / 0  # noqa: B018
    assert current() is None


def test_values_outside_their_flow() -> None:
    maker = Maker()
    with Recorder("one"):
        value = maker.task_make(1)
    with pytest.raises(DeferredValueError, match="recorded to its end"):
        value["x"]
    for use in (
        lambda: maker.task_make(value),
        lambda: maker.task_make(1, k=value),
        lambda: maker.task_make.local(value),
    ):
        with pytest.raises(DeferredValueError, match=r"value of task_make\[0\]"):
            use()
    with Recorder("two") as recorder:
        for use in (
            lambda: maker.task_make(value),
            lambda: maker.task_make(1, after=value),
            lambda: gather(value),
        ):
            with pytest.raises(DefinitionError, match=r"belongs to flow one, this is flow two"):
                use()
        maker.task_make(2)
    with pytest.raises(DefinitionError, match=r"belongs to flow one"):
        recorder.graph([value], None, revision_of, KEY)


def test_map() -> None:
    with Recorder("party"):
        maker = Maker()
        value = maker.task_make(1)
        with pytest.raises(DeferredValueError, match=r"task_stats.map needs to know how many") as caught:
            maker.task_stats.map(value)
        assert "inside a task" in caught.value.hint
        with pytest.raises(ValueError, match="iterables of one length, not of 2, 3"):
            maker.task_make.map([1, 2], "abc")
        with pytest.raises(TypeError, match=r"task_stats\(\): too many"):
            maker.task_stats.map([1], [2])
        assert maker.task_make.map([]) == []
        assert isinstance(maker.task_make.map(iter("ab"), [value, value]), list)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda maker: maker.task_stats(), r"Maker.task_stats\(\): missing a required argument: 'rows'"),
        (lambda maker: maker.task_stats(1, 2), "too many positional"),
        (lambda maker: maker.task_stats(1, k=2), "unexpected keyword argument 'k'"),
    ],
)
def test_arguments_are_bound_at_the_call(call: Callable, words: str) -> None:
    with Recorder("party") as recorder, pytest.raises(TypeError, match=words):
        call(Maker())
    assert recorder.calls == []


def test_declared_outputs_are_known_to_values() -> None:
    with Recorder("party"):
        with pytest.raises(KeyError, match="declares 'mean', 'std', not 'median'"):
            Maker().task_stats([])["median"]
        with pytest.raises(DeferredValueError, match="declared to return None"):
            Maker().task_nothing()["x"]


def test_writing_down_is_quick() -> None:
    """The promise is half a second for 10,000 calls; ten times that still tells a square from a line."""
    began = time.perf_counter()
    with Recorder("party", __file__) as recorder:
        maker, value = Maker(), None
        for number in range(10_000):
            value = maker.task_later(number if number % 2 else value)
    assert len(recorder.graph(None, None, revision_of, KEY).graph.jobs) == 10_000
    assert time.perf_counter() - began < 5


def test_a_task_says_itself_how_its_jobs_are_tried() -> None:
    caller = Caller()
    assert caller.call(4) == 4, "an ordinary call is what it was"
    graph = drawn(lambda: [caller.call(1), caller.also(2)]).graph
    own, plain = graph.jobs
    assert (own.retries, own.timeout_s, own.limit) == (0, 2.5, "api:3")
    assert (plain.retries, plain.timeout_s, plain.limit) == (None, None, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": "api"}, "'api' is not a limit"),
        ({"limit": "api:0"}, "'api:0' is not a limit"),
        ({"timeout": 0}, "a length of time in seconds, not 0"),
        ({"timeout": -1.0}, "a length of time in seconds"),
    ],
)
def test_what_a_task_cannot_ask_for(options: dict, message: str) -> None:
    with pytest.raises(ElfbookError, match=message):
        task(**options)
