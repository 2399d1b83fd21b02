"""Where tasks run: recorded code is brought to life, instances are kept, failures are told as data."""

from __future__ import annotations

import builtins
import json
import linecache
import sys
import textwrap
from collections.abc import Iterator

import msgspec
import pytest

from elfbook.code import cells
from elfbook.code.source import SourceText, read_elf
from elfbook.model import Failure, Revision, ValueRef
from elfbook.tracing import evaluate, values
from elfbook.tracing.expr import freeze
from elfbook.wire import digest_of, encode
from elfbook.work import fence
from elfbook.work.room import CHAIN_LIMIT, FRAMES_LIMIT, Room

KEY = bytes(range(32))
made: dict[str, bytes] = {}


def reference(value: object) -> ValueRef:
    data = b"".join(bytes(part) for part in values.encode(value, KEY))
    made[digest_of(data)] = data
    return ValueRef(digest_of(data), len(data))


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before, lines = set(sys.modules), set(linecache.cache)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    for name in set(linecache.cache) - lines:
        del linecache.cache[name]


def revision_of(*texts: str, name: str = "E") -> Revision:
    """What a notebook records of a class after its cells have run."""
    names: dict = {"__name__": "__main__", "__builtins__": builtins}
    sources = {}
    for number, text in enumerate(map(textwrap.dedent, texts), 1):
        source = SourceText(f"/tmp/ipykernel_7/{number}.py", f"Cell In[{number}]", text)
        sources[source.filename] = source
        exec(compile(text, source.filename, "exec", dont_inherit=True), names)
    return read_elf(
        names[name],
        text_of=sources.get,
        namespace_of=lambda module: names if module == "__main__" else vars(sys.modules[module]),
        encode=reference,
        is_library=lambda module: module != "__main__",
        texts=lambda: list(sources.values())[::-1],
    )


class Guest:
    """A room with one elf, and calls of its tasks."""

    def __init__(self, *texts: str) -> None:
        self.room = Room(values, evaluate, cells, fence, KEY)
        self.learn(*texts)

    def learn(self, *texts: str) -> None:
        self.revision = revision_of(*texts)
        plain = {
            "digest": self.revision.digest,
            "elf": "E",
            "module": self.revision.module,
            "pieces": [msgspec.structs.asdict(piece) for piece in self.revision.pieces],
            "captures": [
                {"name": each.name, "module": each.module, "data": made[each.value.digest]}
                for each in self.revision.captures
            ],
        }
        self.room.learn(plain)

    def call(self, task: str, *args: object, name: str = "", made_with: tuple = (), **kwargs: object) -> dict:
        outputs = next((each.outputs for each in self.revision.tasks if each.name == f"task_{task}"), None)
        use = {
            "elf": "E",
            "revision": self.revision.digest,
            "name": name,
            "arguments": freeze((made_with, {}), KEY).expression if made_with else b"",
        }
        self.job = {
            "task": f"task_{task}",
            "elf": use,
            "arguments": freeze((args, kwargs), KEY).expression,
            "inputs": [],
            "blobs": {},
            "outputs": outputs,
        }
        return self.room.run(self.job)

    def value(self, *args: object, **kwargs: object) -> object:
        outcome = self.call(*args, **kwargs)
        assert outcome["ok"], outcome["failure"]
        return values.decode(b"".join(bytes(part) for part in outcome["parts"]), KEY)

    def failure(self, *args: object, **kwargs: object) -> Failure:
        """Also checked here: it can be stored, over JSON and MessagePack, and is small."""
        outcome = self.call(*args, **kwargs)
        assert not outcome["ok"]
        self.refused = outcome["refused"]
        failure = msgspec.convert(json.loads(json.dumps(outcome["failure"])), Failure)
        assert len(encode(failure)) < 500_000
        return failure


# ---------------------------------------------------------------------- code


def test_code_of_several_cells_lives_again() -> None:
    guest = Guest(
        "import math\nLIMIT = 3",
        "def scaled(x):\n    return x * LIMIT",
        "class E:\n    def task_a(self, x): return math.floor(scaled(x))",
    )
    assert guest.value("a", 1.5) == 4


def test_what_was_captured_is_there() -> None:
    guest = Guest("data = dict(a=[1, 2]); del_me = 1", "class E:\n    def task_a(self): return data['a']")
    assert guest.value("a") == [1, 2]


def test_an_instance_of_a_class_of_the_cells_is_of_the_class_made_here() -> None:
    guest = Guest(
        "class Animal:\n    def __init__(self, name): self.name = name",
        "cat = Animal('cat')",
        "class E:\n    def task_a(self): return isinstance(cat, Animal), cat.name",
    )
    assert guest.value("a") == (True, "cat")


def test_code_is_executed_once_and_at_first_use() -> None:
    guest = Guest("class E:\n    def task_a(self): return id(type(self))")
    assert guest.room.worlds == {}
    assert guest.value("a") == guest.value("a")


def test_two_revisions_live_side_by_side() -> None:
    guest = Guest("class E:\n    def task_a(self): return 1")
    old = guest.revision
    guest.learn("class E:\n    def task_a(self): return 2")
    assert guest.value("a") == 2
    guest.revision = old
    assert guest.value("a") == 1


def test_code_that_does_not_load_is_refused_with_its_own_reason() -> None:
    guest = Guest("class E:\n    def task_a(self): return 1")
    broken = {**guest.room.revisions[guest.revision.digest], "digest": "broken"}
    piece = {
        "filename": "/tmp/b.py",
        "label": "Cell In[9]",
        "text": "x = 1\nE = x / 0\n",
        "module": "__main__",
        "lines": [[1, 1], [2, 2]],
    }
    guest.room.learn({**broken, "pieces": [piece]})
    guest.revision = msgspec.structs.replace(guest.revision, digest="broken")
    for _ in range(2):  # it is tried anew, and refused anew
        failure = guest.failure("a")
        assert guest.refused
        assert (failure.type, failure.frames[-1].line, failure.frames[-1].own) == (
            "ZeroDivisionError",
            2,
            True,
        )


# ---------------------------------------------------------------------- instances

COUNTER = """\
    class E:
        def __init__(self, start=0): self.seen = start
        def task_count(self):
            self.seen += 1
            return self.seen
        def task_name(self): return self.name
        def task_keep(self, x):
            self.keep["x"] = x
            if x < 0: raise ValueError(x)
            return dict(self.keep)
"""


def test_an_anonymous_elf_is_kept_while_its_making_is_the_same() -> None:
    guest = Guest(COUNTER)
    assert [guest.value("count") for _ in range(3)] == [1, 2, 3]
    assert [guest.value("count", made_with=(10,)) for _ in range(2)] == [11, 12]
    assert guest.value("count") == 4


def test_only_so_many_anonymous_elves_are_kept() -> None:
    guest = Guest(COUNTER)
    assert {guest.value("count", made_with=(start,)) - start for start in range(100)} == {1}
    assert len(guest.room.anonymous) == 64
    assert [guest.value("count", made_with=(start,)) for start in (99, 0)] == [101, 1]


def test_a_named_elf_is_one_and_knows_its_name() -> None:
    guest = Guest(COUNTER)
    assert [guest.value("count", name=name) for name in ("ann", "bob", "ann")] == [1, 1, 2]
    assert guest.value("name", name="ann") == "ann"


def test_a_named_elf_under_new_code_keeps_its_attributes() -> None:
    guest = Guest(COUNTER)
    assert guest.value("count", name="ann") == 1
    guest.learn(COUNTER.replace("+= 1", "+= 10"))
    assert guest.value("count", name="ann") == 11


def test_what_is_kept_is_committed_with_a_result_and_put_back_after_a_failure() -> None:
    guest = Guest(COUNTER)
    outcome = guest.call("keep", 5, name="ann")
    assert values.decode(outcome["keep"], KEY) == {"x": 5}
    guest.room.committed(guest.job, outcome)
    assert guest.failure("keep", -1, name="ann").type == "ValueError"
    assert guest.room.named["ann"][1].keep == {"x": 5}
    assert guest.call("count", name="ann")["keep"] is None, "nothing new to store"


def test_an_elf_that_moved_away_is_forgotten_and_its_kept_attributes_come_from_the_store() -> None:
    guest = Guest(COUNTER)
    outcome = guest.call("keep", 5, name="ann")
    guest.room.committed(guest.job, outcome)
    guest.room.forget(["ann", "nobody"])
    assert (guest.room.named, guest.room.kept) == ({}, {})
    guest.room.kept["ann"] = b"".join(bytes(part) for part in values.encode({"x": 7, "y": 1}, KEY))
    assert guest.value("keep", 8, name="ann") == {"x": 8, "y": 1}


# ---------------------------------------------------------------------- declared outputs


@pytest.mark.parametrize(
    ("returns", "value", "words"),
    [
        ("None", "None", ""),
        ("None", "5", "task_a declares that it returns None, and returned int"),
        ("['a', 'b']", "dict(a=1, b=2)", ""),
        ("['a', 'b']", "dict(a=1)", "declares the outputs a, b and returned without b"),
        ("['a']", "dict(a=1, c=3, b=2)", "declares the outputs a and returned with the undeclared b, c"),
        ("['a']", "dict(b=1)", "without a and with the undeclared b"),
        ("['a']", "[1]", "declares the outputs a and returned list"),
        ("['a']", "None", "declares the outputs a and returned NoneType"),
        ("('a', 'b')", "dict(b=2, a=1)", ""),
        ("{'a': int}", "dict(a=1)", ""),
        ("'[\"a\"]'", "dict(b=1)", "without a"),
        ("Pair", "Pair(1, 2)", ""),
        ("Pair", "dict(a=1)", "declares the outputs a, b and returned without b"),
        ("Point", "Point(1)", ""),
        ("Point", "7", "declares the outputs a and returned int"),
        ("int", "'text'", ""),
    ],
)  # fmt: skip
def test_a_task_gives_what_it_declares(returns: str, value: str, words: str) -> None:
    guest = Guest(
        "from typing import NamedTuple\nfrom dataclasses import dataclass",
        "class Pair(NamedTuple):\n    a: int\n    b: int\n",
        "@dataclass\nclass Point:\n    a: int\n",
        f"class E:\n    def task_a(self) -> {returns}: return {value}",
    )
    if words:
        failure = guest.failure("a")
        assert (failure.type, guest.refused) == ("ValueError", False)
        assert words in failure.message
    else:
        assert guest.call("a")["ok"]


# ---------------------------------------------------------------------- failures as data


def failure_of(body: str, *args: object, before: str = "") -> Failure:
    lines = textwrap.indent(textwrap.dedent(body), "        ")
    return Guest(
        before or "import json", f"class E:\n    def task_a(self, *args, **kwargs):\n{lines}"
    ).failure("a", *args)


def test_own_frames_have_context_and_names_and_library_frames_do_not() -> None:
    failure = failure_of("text, other = args  # hidden\nreturn json.loads(text)", "{]", 1)
    assert failure.type == "JSONDecodeError"
    mine, *library = failure.frames
    assert (mine.function, mine.line, mine.own, mine.filename) == ("task_a", 4, True, "/tmp/ipykernel_7/2.py")
    assert mine.context[mine.line - mine.first] == "        return json.loads(text)"
    assert mine.names == (("text", "'{]'"),)
    assert library and not any(frame.own or frame.names for frame in library)
    assert not [frame for frame in failure.frames if "elfbook" in frame.filename]


def test_the_arguments_are_told_under_their_names() -> None:
    guest = Guest("class E:\n    def task_a(self, animal, *rest, count=1): raise ValueError")
    assert guest.failure("a", "cat", 1, 2, count=3).inputs == "animal='cat', rest=(1, 2), count=3"
    assert len(guest.failure("a", "x" * 5000, *range(500)).inputs) <= 200
    assert guest.failure("a").type == "TypeError"


@pytest.mark.parametrize(
    ("body", "kind", "cause"),
    [
        (
            "try: 1 / 0\nexcept ZeroDivisionError as e: raise KeyError('k') from e",
            "cause",
            "ZeroDivisionError",
        ),
        ("try: 1 / 0\nexcept ZeroDivisionError: raise KeyError('k')", "context", "ZeroDivisionError"),
        ("try: 1 / 0\nexcept ZeroDivisionError: raise KeyError('k') from None", "", None),
    ],
)
def test_what_led_to_it_is_told(body: str, kind: str, cause: str | None) -> None:
    failure = failure_of(body)
    assert (failure.type, failure.cause_kind) == ("KeyError", kind)
    assert (failure.cause and failure.cause.type) == cause


def test_endless_causes_end() -> None:
    failure = failure_of("""\
        a, b = ValueError("a"), ValueError("b")
        a.__cause__, b.__cause__ = b, a
        a.__notes__ = ["see", 5]
        raise a
    """)
    assert failure.notes == ("see", "5")
    depth = 0
    while failure := failure.cause:
        depth += 1
    assert depth == CHAIN_LIMIT


def test_a_syntax_error_in_the_users_text_shows_its_line() -> None:
    failure = failure_of("exec(compile('a = (', '/tmp/ipykernel_7/2.py', 'exec'))")
    assert failure.type == "SyntaxError"
    assert (failure.frames[-1].filename, failure.frames[-1].line) == ("/tmp/ipykernel_7/2.py", 1)


def test_runaway_recursion_is_told_by_its_beginning_and_end() -> None:
    failure = failure_of("return self.task_a()")
    assert failure.type == "RecursionError"
    assert len(failure.frames) == FRAMES_LIMIT


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "class Bad(Exception):\n    def __str__(self): raise OSError\nraise Bad",
            "cannot be shown: OSError",
        ),
        (
            "class Bad:\n    def __repr__(self): 1 / 0\nbad = Bad()\nraise ValueError(bad.none)",
            "no attribute 'none'",
        ),
        ("raise ValueError('x' * 10_000_000)", "xxx"),
        ("raise OSError('caf' + chr(0xdce9))", "caf\\udce9"),
        ("e = ValueError('m')\ne.__notes__ = ['n' * 10_000] * 5000\nraise e", "m"),
        ("rows = list(range(2_000_000))\nraise ValueError(len(rows))", "2000000"),
        ("raise KeyboardInterrupt", ""),
        ("raise SystemExit('bye')", "bye"),
        ("import threading\nreturn {'a': [threading.Lock()]}", "['a'][0]"),
        ("exec(compile('x = 1; ' * 100_000 + '1 / 0', '/tmp/ipykernel_7/1.py', 'exec'))", "division"),
    ],
    ids=[
        "str fails",
        "repr fails",
        "huge",
        "no UTF-8",
        "huge notes",
        "long list",
        "interrupt",
        "exit",
        "lock",
        "line",
    ],
)
def test_whatever_is_raised_can_be_told(body: str, words: str) -> None:
    assert words in failure_of(body).message


def test_no_frame_of_ours_is_shown() -> None:
    """Here elfbook's modules are imported; in a worker's kernel they came as text."""
    failure = failure_of("import threading\nreturn {'a': [threading.Lock()]}")
    assert not [frame.filename for frame in failure.frames if "elfbook" in frame.filename]


def test_an_async_task_is_handed_back_to_be_awaited() -> None:
    guest = Guest("class E:\n    async def task_a(self, x): return x + 1")
    outcome = guest.call("a", 1)
    with pytest.raises(StopIteration) as ended:
        outcome["coroutine"].send(None)
    assert guest.room.finish(guest.job, ended.value.value, outcome["started"])["preview"] == "2"
