"""Elves stay ordinary classes: what Python, help, inspect and pickle see is the user's own code."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import gc
import inspect
import pickle
import pydoc
import traceback
from typing import Any, NamedTuple, TypedDict

import cloudpickle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfbook.errors import DefinitionError
from elfbook.tracing import elves, making
from elfbook.tracing.elves import Elf, adopt, is_elf, task
from elfbook.tracing.making import normal_name, use_of


@adopt
class Greeter:
    """Greets."""

    polite = True

    def task_hello(self, name: str, *, loud: bool = False) -> str:
        """Says hello."""
        text = f"Hello {name}"
        return self.shout(text) if loud else text

    def task_both(self, one: str, two: str) -> list[str]:
        return [self.task_hello(one), self.task_hello(two, loud=True)]

    def shout(self, text: str) -> str:
        return text.upper()

    async def task_later(self, name: str) -> str:
        return name

    @task
    def whisper(self, text: str) -> str:
        return text.lower()


def test_outside_a_flow_a_task_is_a_method() -> None:
    greeter = Greeter()
    assert greeter.task_hello("Ada", loud=True) == "HELLO ADA"
    assert Greeter.task_hello(greeter, "Ada") == "Hello Ada"
    assert greeter.task_both("a", "b") == ["Hello a", "HELLO B"]
    assert greeter.task_hello.local("Ada") == "Hello Ada"
    assert greeter.whisper("X") == "x"
    assert asyncio.run(greeter.task_later("Ada")) == "Ada"
    assert greeter.task_hello.map(["a", "b"]) == ["Hello a", "Hello b"]
    assert greeter.task_both.map("ab", "cd")[1] == ["Hello b", "HELLO D"]
    assert greeter.task_hello("Ada", after=[1]) == "Hello Ada"


def test_inspection_sees_the_users_code() -> None:
    greeter = Greeter()
    assert (
        str(inspect.signature(Greeter.task_hello)) == "(self, name: 'str', *, loud: 'bool' = False) -> 'str'"
    )
    assert str(inspect.signature(greeter.task_hello)) == "(name: 'str', *, loud: 'bool' = False) -> 'str'"
    assert str(inspect.signature(Greeter)) == "(name=None)"
    assert Greeter.task_hello.__doc__ == greeter.task_hello.__doc__ == "Says hello."
    assert greeter.task_hello.__name__ == "task_hello" and greeter.task_hello.__self__ is greeter
    assert Greeter.task_hello.__qualname__ == greeter.task_hello.__qualname__ == "Greeter.task_hello"
    assert "Says hello." in inspect.getsource(greeter.task_hello) == inspect.getsource(Greeter.task_hello)
    shown = pydoc.plain(pydoc.render_doc(Greeter))
    assert "task_hello(self, name: 'str'" in shown and "Says hello." in shown
    assert inspect.unwrap(Greeter.task_hello) is vars(Greeter)["task_hello"].function


def test_a_bound_task_behaves_like_a_bound_method() -> None:
    one, two = Greeter(), Greeter()
    again = one.task_hello
    assert one.task_hello == again and hash(one.task_hello) == hash(again)
    assert again not in (two.task_hello, one.task_both)
    assert repr(one.task_hello).startswith("<task Greeter.task_hello of <")
    assert copy.copy(one.task_hello)("Ada") == "Hello Ada"
    assert not hasattr(one.task_hello, "nothing")


def test_pickling() -> None:
    greeter = pickle.loads(pickle.dumps(Greeter()))
    assert type(greeter) is Greeter
    assert pickle.loads(pickle.dumps(Greeter)) is Greeter
    assert pickle.loads(pickle.dumps(greeter.task_hello))("Ada") == "Hello Ada"


def test_a_class_sent_by_value_arrives_with_plain_functions() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("class Local:\n    def task_x(self, n):\n        return n + 1\n", names)
    sent = cloudpickle.dumps(vars(adopt(names["Local"]))["task_x"])
    function = pickle.loads(sent)
    assert inspect.isfunction(function) and function(None, 1) == 2


def test_a_task_that_tells_its_progress_can_be_tried_outside_a_run() -> None:
    @adopt
    class Far:
        def task_far(self) -> int:
            self.progress(1, 2, "half")
            return self.task_near()

        def task_near(self) -> int:
            self.progress(2, 2)
            return 3

        async def task_later(self) -> int:
            self.progress(1)
            return 4

    @adopt
    class Own:
        def __init__(self) -> None:
            self.progress = [0]

        def task_far(self) -> list[int]:
            return self.progress

    far = Far()
    assert far.task_far() == 3
    assert vars(far) == {}, "nothing of it stays"
    assert asyncio.run(far.task_later()) == 4
    assert Own().task_far() == [0]


def test_a_traceback_shows_the_users_frame_last() -> None:
    @adopt
    class Failing:
        def task_x(self) -> None:
            raise ValueError("here")

    with pytest.raises(ValueError, match="here") as caught:
        Failing().task_x()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].name == "task_x" and frames[-1].filename == __file__
    hidden = [
        frame
        for frame, _ in traceback.walk_tb(caught.value.__traceback__)
        if "elfbook" in frame.f_code.co_filename
    ]
    assert all("__tracebackhide__" in frame.f_locals for frame in hidden)


def test_inheritance_and_super() -> None:
    @adopt
    class Loud(Greeter):
        def task_hello(self, name: str, **more: Any) -> str:
            return super().task_hello(name, loud=True) + "!"

    assert Loud().task_hello("Ada") == "HELLO ADA!"
    assert Loud().task_both("a", "b") == ["HELLO A!", "HELLO B!"]
    assert Loud().whisper("X") == "x"


def test_adopting_again_changes_nothing() -> None:
    before = dict(vars(Greeter))
    assert adopt(Greeter) is Greeter
    assert dict(vars(Greeter)) == before


def test_a_parent_with_tasks_is_adopted_too() -> None:
    class Plain:
        def task_x(self) -> int:
            return 1

    @adopt
    class Child(Plain):
        pass

    assert isinstance(vars(Plain)["task_x"], elves.Task)
    assert Child().task_x() == 1 == Plain().task_x()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    @classmethod\n    def task_x(cls): pass", "is a classmethod"),
        ("    @staticmethod\n    def task_x(): pass", "is a staticmethod"),
        ("    @task\n    @staticmethod\n    def x(): pass", "@task belongs"),
        ("    def task_x(self):\n        yield 1", "is a generator"),
        ("    async def task_x(self):\n        yield 1", "is a generator"),
        ("    def task_x(): pass", "takes no self"),
        ("    task_x = print", "is not a method"),
    ],
)
def test_what_cannot_be_a_task_is_said(body: str, words: str) -> None:
    names: dict[str, Any] = {"task": task}
    with pytest.raises(DefinitionError, match=words):
        exec(f"class Bad:\n{body}\n", names)
        adopt(names["Bad"])


def test_other_attributes_are_left_alone() -> None:
    @adopt
    class Counter:
        task_count = 0
        task_names = ("a",)

        class task_kind:
            pass

        @functools.lru_cache  # noqa: B019
        def task_x(self, n: int) -> int:
            return n

    assert Counter.task_count == 0 and isinstance(Counter.task_kind, type)
    assert Counter().task_x(3) == 3
    assert [name for name, item in vars(Counter).items() if isinstance(item, elves.Task)] == ["task_x"]


def test_which_classes_are_elves() -> None:
    class Child(Greeter):
        pass

    class Empty(Elf):
        pass

    assert is_elf(Greeter) and is_elf(Child) and is_elf(Empty)
    assert not any(map(is_elf, (Elf, int, object, 5, "x", type("Other", (), {"run": print}))))


# ---------------------------------------------------------------------------- outputs


class Stats(TypedDict):
    mean: float
    std: float


class Pair(NamedTuple):
    left: int


def _outputs(annotation: str) -> tuple[str, ...] | None:
    names: dict[str, Any] = {"Stats": Stats, "Pair": Pair}
    exec(f"def task_x(self) -> {annotation}: pass", names)
    postponed: dict[str, Any] = {"Stats": Stats, "Pair": Pair}
    exec(f"from __future__ import annotations\ndef task_x(self) -> {annotation}: pass", postponed)
    found = elves.Task(names["task_x"], "task_x").outputs
    assert elves.Task(postponed["task_x"], "task_x").outputs == found
    return found


@pytest.mark.parametrize(
    ("annotation", "outputs"),
    [
        ("None", ()),
        ("['mean', 'std']", ("mean", "std")),
        ("('mean', 'std')", ("mean", "std")),
        ("{'mean': float, 'std': list}", ("mean", "std")),
        ("Stats", ("mean", "std")),
        ("Pair", None),
        ("int", None),
        ("dict[str, int]", None),
        ("'Stats'", ("mean", "std")),
    ],
)
def test_declared_outputs(annotation: str, outputs: tuple[str, ...] | None) -> None:
    assert _outputs(annotation) == outputs


# ---------------------------------------------------------------------------- how elves are made


@adopt
class Storage:
    def __init__(self, path: str, depth: int = 1, *, name: str | None = None) -> None:
        self.path, self.depth, self.name = path, depth, name

    def task_x(self) -> str:
        return self.path


@adopt
class Unnamed:
    def __init__(self, size: int = 3) -> None:
        self.size = size

    def task_x(self) -> int:
        return self.size


@adopt
class Open:
    def __init__(self, **options: Any) -> None:
        self.options = options

    def task_x(self) -> None: ...


MADE = [
    (Greeter, "", (), {}),
    (lambda: Greeter("My Animals"), "my_animals", (), {}),
    (lambda: Greeter(name="animals"), "animals", (), {}),
    (lambda: Storage("p", 2), "", ("p", 2), {}),
    (lambda: Storage("p", name="N 1"), "n_1", ("p",), {"name": "N 1"}),
    (lambda: Storage("p", name=None), "", ("p",), {"name": None}),
    (lambda: Unnamed(5, name="calc1"), "calc1", (5,), {}),
    (lambda: Unnamed(size=5), "", (), {"size": 5}),
    (lambda: Open(name="x", other=1), "x", (), {"name": "x", "other": 1}),
]


@pytest.mark.parametrize(("make", "name", "args", "kwargs"), MADE, ids=range(len(MADE)))
def test_how_an_instance_was_made_is_known(make: Any, name: str, args: tuple, kwargs: dict) -> None:
    use = use_of(made := make())
    assert (use.cls, use.name, use.args, use.kwargs) == (type(made), name, args, kwargs)


def test_instances_outside_a_flow_are_made_as_written() -> None:
    storage = Storage("p", 2, name="N 1")
    assert vars(storage) == {"path": "p", "depth": 2, "name": "N 1"}
    assert vars(Unnamed(5, name="calc1")) == {"size": 5}
    assert vars(Greeter()) == {} and vars(Greeter("My Animals")) == {"name": "my_animals"}
    assert Open(name="x").options == {"name": "x"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Greeter("a", "b"), r"Greeter\(\): too many positional"),
        (lambda: Greeter(5), "name of an elf is text"),
        (lambda: Greeter(nam="a"), "unexpected keyword"),
        (Storage, "missing a required argument: 'path'"),
        (lambda: Unnamed(name=5), "name of an elf is text"),
    ],
)
def test_arguments_that_do_not_fit(make: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make()


def test_a_subclass_notes_its_own_arguments() -> None:
    @adopt
    class Deep(Storage):
        def __init__(self, root: str) -> None:
            super().__init__(root + "/deep", 9)

    deep = Deep("r")
    assert (use_of(deep).args, deep.path) == (("r",), "r/deep")

    @adopt
    class Heir(Storage):
        pass

    assert use_of(Heir("q", name="n")).name == "n"
    assert use_of(Heir("q")).cls is Heir


def test_dataclasses_are_elves_too() -> None:
    @adopt
    @dataclasses.dataclass
    class Crawler:
        depth: int
        seen: list = dataclasses.field(default_factory=list)

        def task_x(self) -> int:
            return self.depth

    crawler = Crawler(3)
    assert (crawler.seen, crawler.task_x(), use_of(crawler).args) == ([], 3, (3,))
    assert crawler == Crawler(3)

    @dataclasses.dataclass
    class Late(Elf):
        depth: int

        def task_x(self) -> int:
            return self.depth

    late = Late(4)
    assert (late.depth, late.task_x(), use_of(late).args) == (4, 4, (4,))


def test_deriving_from_elf_is_enough() -> None:
    class Quiet(Elf):
        def task_x(self) -> int:
            return 1

    class Wired(Elf):
        def __init__(self, port: int) -> None:
            self.port = port

    class Short(Wired):
        def __init__(self) -> None:
            super().__init__(80)

    assert use_of(Quiet("Q 1")).name == Quiet("Q 1").name == "q_1"
    assert str(inspect.signature(Quiet)) == "(name=None)"
    assert (use_of(Wired(8)).args, Wired(8).port) == ((8,), 8)
    assert (use_of(Short()).args, Short().port) == ((), 80)
    assert str(inspect.signature(Wired)) == "(port: 'int')"
    assert pickle.loads(pickle.dumps(Pickled(3))).n == 3


class Pickled(Elf):
    def __init__(self, n: int) -> None:
        self.n = n


def test_an_instance_that_was_not_seen_being_made() -> None:
    unseen = copy.copy(Storage("p"))
    with pytest.raises(DefinitionError, match="did not see how this Storage was made") as caught:
        use_of(unseen)
    assert "Make it again" in caught.value.hint
    assert use_of(copy.copy(Greeter())).args == ()

    class Early:
        def task_x(self) -> None: ...

    early = Early()
    adopt(Early)
    assert use_of(early).name == ""


def test_forgotten_with_the_instance() -> None:
    before = len(making._USES)
    made = [Storage("p") for _ in range(10)]
    assert len(making._USES) == before + 10
    del made
    gc.collect()
    assert len(making._USES) <= before


@adopt
class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: int) -> None:
        self.x = x

    def task_x(self) -> int:
        return self.x


def test_classes_with_slots() -> None:
    assert use_of(Slotted(4)).args == (4,)
    assert Slotted(4).task_x() == 4


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("Animals", "animals"),
        (" my  elf ", "my_elf"),
        ("a-b.c>*", "abc"),
        ("Élan 1", "élan_1"),
        ("calc_1", "calc_1"),
    ],
)
def test_normal_names(name: str, normal: str) -> None:
    assert normal_name(name) == normal == normal_name(normal)


@pytest.mark.parametrize("name", [" ", "---", ".*>"])
def test_names_without_a_letter(name: str) -> None:
    with pytest.raises(DefinitionError, match="no name for an elf"):
        normal_name(name)


KINDS = inspect.Parameter
PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                KINDS.POSITIONAL_ONLY,
                KINDS.POSITIONAL_OR_KEYWORD,
                KINDS.VAR_POSITIONAL,
                KINDS.KEYWORD_ONLY,
                KINDS.VAR_KEYWORD,
            ]
        ),
        st.sampled_from(list("abcdef")),
        st.booleans(),
    ),
    max_size=5,
)


@given(
    PARAMETERS,
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(list("abcdef")), st.integers()),
)
@settings(max_examples=200, deadline=None)
def test_arguments_fit_exactly_when_python_says_so(parameters: list, args: list, kwargs: dict) -> None:
    """BM-04: nothing is dropped, nothing is refused that Python takes."""
    made, default = [KINDS("self", KINDS.POSITIONAL_ONLY)], False
    for kind, name, has_default in sorted(parameters, key=lambda item: item[0]):
        if name in {parameter.name for parameter in made} or (
            kind in (2, 4) and kind in {p.kind for p in made}
        ):
            continue
        default = kind not in (2, 4) and (has_default or (default and kind < KINDS.KEYWORD_ONLY))
        made.append(KINDS(name, kind, default=0 if default else KINDS.empty))
        if kind in (2, 4):
            default = made[-2].default is not KINDS.empty
    text = str(inspect.Signature(made)).replace("self, /, ", "self, ") if len(made) > 1 else "(self)"
    names: dict[str, Any] = {}
    exec(f"class Some:\n    def task_x{text}: return 1", names)
    plain = names["Some"].task_x
    signature = elves.Task(plain, "task_x").signature
    try:
        plain(None, *args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError, match=r"^task_x\(\): "):
            making.bind(signature, "task_x", tuple(args), kwargs)
    else:
        making.bind(signature, "task_x", tuple(args), kwargs)
