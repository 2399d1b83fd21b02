"""The stored form of every type: what an earlier elfbook has written can be read."""

from __future__ import annotations

import typing
from pathlib import Path

import msgspec
import pytest

from elfbook import facts, model
from elfbook.facts import Cancelled, Claimed, Failed, Lost, Released, Reopened, Skipped, Stored, Succeeded
from elfbook.model import (
    Beat,
    Capture,
    Dispatch,
    ElfUse,
    Failure,
    Frame,
    Graph,
    JobSpec,
    LotJob,
    LotOffer,
    Manifest,
    Origin,
    Output,
    Parameter,
    Piece,
    Policy,
    Revision,
    Settled,
    Situation,
    TaskSpec,
    ValueRef,
)
from elfbook.store.marks import Mark
from elfbook.wire import (
    VERSION,
    decode,
    decode_record,
    encode,
)

SAMPLES = Path(__file__).parent / "samples"
KEY = bytes(range(32))

small = ValueRef(digest="5f" * 32, size=3, preview="7", inline=b"\x01i7")
large = ValueRef(digest="a0" * 32, size=5_000_000, preview="ndarray float64 (625000,)")
use = ElfUse(elf="Hut", revision="c3" * 32, name="animals", arguments=b"arguments")
job = JobSpec(
    elf=0,
    task="task_save",
    arguments=b"call",
    parents=(0, 2),
    after=(1,),
    turn=1,
    number=3,
    line=9,
    blobs=(large,),
)
policy = Policy(
    retries=2, lost_retries=1, backoff_s=0.5, backoff_limit_s=8.0, timeout_s=30.0, on_lost="fail", pool="gpu"
)
graph = Graph(
    elves=(use,),
    jobs=(JobSpec(elf=0, task="task_load", arguments=b""), job),
    result=b"result",
    policy=policy,
    blobs=(large,),
)
limited = Graph(
    elves=(use,),
    jobs=(JobSpec(elf=0, task="task_load", arguments=b"", retries=0, timeout_s=2.5, limit="disk:1"),),
    result=b"result",
    blobs=(large,),
    policy=Policy(memory_retries=0, timeout_retries=4, deadline_s=60.0, priority=2, limit="api:3"),
)
frame = Frame(
    filename="/tmp/ipykernel_1/1.py",
    line=3,
    function="task_save",
    context=("a", "b"),
    first=2,
    names=(("x", "7"),),
    own=True,
    qualname="Hut.task_save",
)
cause = Failure(type="KeyError", message="'k'")
failure = Failure(
    type="ValueError",
    message="too hot",
    frames=(frame,),
    cause=cause,
    cause_kind="cause",
    notes=("see above",),
    last_output="before\n",
    inputs="name=7",
)
task = TaskSpec(
    name="task_save",
    line=4,
    doc="Saves.",
    outputs=("kept",),
    output_types={"kept": "int"},
    digest="d4" * 32,
    parameters=(Parameter("animal", "either", "str", "'cat'"), Parameter("rest", "variadic")),
)
piece = Piece(
    filename="/tmp/ipykernel_1/1.py", label="Cell In[4]", text="x = 1\n", lines=((1, 1),), module="zoo"
)
revision = Revision(
    elf="Hut",
    digest="c3" * 32,
    tasks=(task,),
    pieces=(piece,),
    doc="A hut.",
    module="zoo",
    captures=(Capture("limit", "zoo", small),),
    label="Cell In[4]",
)

STORED: dict[str, object] = {
    "released": Released(nonce="n1", attempt=1, worker="w1", begun=True),
    "claimed": Claimed(nonce="n1", attempt=2, worker="w1"),
    "succeeded": Succeeded(
        nonce="n1", attempt=1, value=small, worker="w1", elapsed_s=0.25, revision="c3" * 32
    ),
    "failed": Failed(
        nonce="n1", attempt=1, failure=failure, outcome="timed out", worker="w1", elapsed_s=2.0, final=True
    ),
    "lost": Lost(nonce="n1", attempt=1, why="killed", worker="w1", last_output="x", claim=7),
    "skipped": Skipped(nonce="n1", because=4),
    "cancelled": Cancelled(nonce="n1", why="asked"),
    "reopened": Reopened(nonce="n1", revision="c3" * 32, code=large),
    "graph": graph,
    "graph_with_limits": limited,
    "manifest": Manifest(
        flow="crawl",
        number=7,
        key="e5" * 32,
        jobs=2,
        nonce="n1",
        graph=graph,
        parts=(large,),
        submitted_at=1.7e9,
        origin=Origin("zoo.ipynb", "Cell In[5]", "id-5", "%%elf flow crawl\n"),
        revisions={"c3" * 32: large},
    ),
    "revision": revision,
    "dispatch": Dispatch(
        run="crawl.7",
        job=1,
        seq=12,
        attempt=2,
        label="Hut.task_save[3]",
        elf=use,
        code=large,
        task="task_save",
        arguments=b"call",
        inputs=((0, small), (2, large)),
        bundle=large,
        blobs=(large,),
        timeout_s=30.0,
        slot=("api", 2, 11),
        mark=14,
    ),
    "lot_offer": LotOffer(
        run="crawl.7",
        lot=1,
        seq=12,
        elf=use,
        code=large,
        task="task_save",
        jobs=(LotJob(128, 0, 1, 3, b"call", ((0, small),)), LotJob(129, 7, 2, 4, b"")),
        timeout_s=30.0,
    ),
    "claimed_together": facts.ClaimedTogether(nonce="n1", worker="w1", jobs=((128, 0, 1), (129, 7, 2))),
    "paused": facts.Paused(nonce="n1", on=True, why="asked"),
    "slot_taken": facts.SlotTaken(run="crawl.7", job=1, nonce="n1"),
    "ended_together": facts.EndedTogether(
        nonce="n1",
        worker="w1",
        revision="c3" * 32,
        values=(small,),
        successes=(facts.Success(15, 128, 0, 0.001),),
        others=(facts.Ending(15, 129, Released(nonce="n1", attempt=2, worker="w1")),),
    ),
    "beat": Beat(
        worker="w1",
        host="h",
        pool="main",
        names=("animals",),
        only=("animals",),
        kernel="py311",
        python="3.11.7",
        pid=10,
        kernel_pid=11,
        running="Hut.task_save[3]",
        leaving=True,
        memory=181_000_000,
        cpu=1.5,
    ),
    "beat_with_modules": Beat(
        worker="w1",
        host="h",
        pool="main",
        names=("animals",),
        only=("animals",),
        kernel="py311",
        python="3.11.7",
        pid=10,
        kernel_pid=11,
        running="Hut.task_save[3]",
        leaving=True,
        memory=181_000_000,
        cpu=1.5,
        modules={"scipy": True, "torch": False},
    ),
    "situation": Situation(
        workers={"main": 2},
        taken={"api": ("crawl/task_fetch[1]",)},
        ahead={"main": (1, 0, 5)},
        store="the store is full",
        lacks={"main": (("torch",), ())},
    ),
    "output": Output(
        job=1, attempt=2, kind="display", text="x", bundle={"text/plain": "7", "image/png": "aGk="}
    ),
    "settled": Settled(
        run="crawl.7", counts={"done": 1, "failed": 1}, at=1.7e9, failures=("ValueError: too hot",), upto=14
    ),
    "mark": Mark(created="2026-01-01T00:00:00Z", last=12, messages=11),
}
"""One value of every stored type, every field different from its default."""


def sample(name: str) -> bytes:
    """Stored bytes of a value of STORED, as elfbook wrote them when its format was settled."""
    return bytes.fromhex((SAMPLES / f"{name}.hex").read_text("ascii"))


@pytest.mark.parametrize("name", STORED)
def test_yesterdays_bytes_are_read_today_and_written_alike(name: str) -> None:
    value = STORED[name]
    assert decode(sample(name), type(value)) == value
    assert encode(value) == sample(name)


@pytest.mark.parametrize("name", STORED)
def test_no_field_of_a_sample_has_its_default(name: str) -> None:
    """Otherwise the sample would not show that the field is kept. The list of a cause ends somewhere."""
    value = STORED[name]
    for each in msgspec.structs.fields(value):
        if each.default is not msgspec.NODEFAULT:
            assert getattr(value, each.name) != each.default or each.name == "attempt", each.name


def test_every_stored_type_has_a_sample() -> None:
    events = set(typing.get_args(facts.AnyEvent))
    inner = {
        LotJob,
        facts.Success,
        facts.Ending,
        ValueRef,
        Parameter,
        TaskSpec,
        Piece,
        Capture,
        ElfUse,
        JobSpec,
        Policy,
        Origin,
        Frame,
        Failure,
    }
    never_stored_itself = {Stored, facts.Event, facts.Unreadable, model.Struct}
    every = {
        each
        for module in (model, facts)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, model.Struct)
    }
    assert every - inner - never_stored_itself == {type(value) for value in STORED.values()} - {Mark}
    assert events <= every


@pytest.mark.parametrize(
    "event", [v for v in STORED.values() if isinstance(v, facts.Event)], ids=lambda e: type(e).__name__
)
def test_an_event_says_by_itself_which_it_is(event: facts.AnyEvent) -> None:
    assert decode_record(encode(event)) == event


def test_a_later_versions_new_field_is_ignored() -> None:
    later = VERSION + msgspec.msgpack.encode({"run": "crawl.7", "counts": {}, "at": 1.0, "mood": "fine"})
    assert decode(later, Settled) == Settled(run="crawl.7", counts={}, at=1.0)


if __name__ == "__main__":  # `python tests/test_samples.py` writes samples of types that have none yet
    for name, value in STORED.items():
        path = SAMPLES / f"{name}.hex"
        if not path.exists():
            path.write_text(encode(value).hex() + "\n")
