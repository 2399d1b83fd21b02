"""An elf class as data: its tasks, what they declare, and digests that change when the code does."""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import itertools
import sys
import textwrap
import typing

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.code.cells import blank_magics
from elfbook.code.declared import declared_outputs
from elfbook.code.parts import digest
from elfbook.code.source import SourceText, read_elf
from elfbook.model import Parameter, Revision, TaskSpec, ValueRef


def encode(value: object) -> ValueRef:
    data = cloudpickle.dumps(value)
    return ValueRef(hashlib.sha256(data).hexdigest(), len(data))


def revision_of(*cells: str, name: str = "E", change=None) -> Revision:
    """Run the cells in a namespace of their own, and read one class."""
    names: dict = {"__name__": "__main__", "__builtins__": builtins}
    texts = {}
    for number, text in enumerate(map(textwrap.dedent, cells), 1):
        source = SourceText(f"/tmp/ipykernel_7/{number}.py", f"Cell In[{number}]", text)
        texts[source.filename] = source
        exec(compile(blank_magics(text), source.filename, "exec", dont_inherit=True), names)
    if change:
        change(names)
    return read_elf(
        names[name],
        text_of=texts.get,
        namespace_of=lambda module: names if module == "__main__" else vars(sys.modules[module]),
        encode=encode,
        is_library=lambda module: module != "__main__",
        texts=lambda: list(texts.values())[::-1],
    )


def task(*cells: str, name: str = "task_a") -> TaskSpec:
    return next(each for each in revision_of(*cells).tasks if each.name == name)


# ---------------------------------------------------------------------- tasks


def test_tasks_as_they_stand_in_the_source() -> None:
    revision = revision_of("""\
        %%elf
        class E:
            '''Greets.

            At length.
            '''

            @staticmethod
            def task_still(x): pass

            def other(self): pass

            @classmethod
            def task_made(cls): pass

            async def task_hello(self, name: str, /, greeting="Hello", *rest, loud: bool = False, **more):
                '''Say hello.

                    Indented.
                '''

            task_short = lambda self, x: x

            task_not = "a string"
    """)
    assert revision.doc == "Greets.\n\nAt length."
    assert [(each.name, each.line, each.doc) for each in revision.tasks] == [
        ("task_still", 9, ""),
        ("task_made", 14, ""),
        ("task_hello", 16, "Say hello.\n\nIndented."),
        ("task_short", 22, ""),
    ]
    parameters = {each.name: each.parameters for each in revision.tasks}
    assert parameters["task_hello"] == (
        Parameter("name", "positional", "str"),
        Parameter("greeting", "either", "", "'Hello'"),
        Parameter("rest", "variadic"),
        Parameter("loud", "keyword", "bool", "False"),
        Parameter("more", "variadic keyword"),
    )
    assert parameters["task_still"] == parameters["task_short"] == (Parameter("x", "either"),)
    assert parameters["task_made"] == ()


def test_marked_methods_are_tasks_under_any_name() -> None:
    cells = """\
        def task(f):
            f.__elfbook_task__ = True
            return f
        class E:
            @task
            def greet(self, who): pass
            def plain(self): pass
    """
    assert [(each.name, each.parameters) for each in revision_of(cells).tasks] == [
        ("greet", (Parameter("who", "either"),))
    ]


def test_tasks_behind_descriptors_are_found_by_their_function() -> None:
    class Recordable:
        def __init__(self, function) -> None:
            self.function = function

    def adopt(names: dict) -> None:
        names["E"].task_a = Recordable(vars(names["E"])["task_a"])

    cells = "def f(): return 1\nclass E:\n    def task_a(self, x=1): return f()\n    def task_b(self): pass"
    assert {(t.name, t.line, t.digest) for t in revision_of(cells, change=adopt).tasks} == {
        (t.name, t.line, t.digest) for t in revision_of(cells).tasks
    }
    assert revision_of(cells, change=adopt).digest == revision_of(cells).digest


def test_inherited_tasks_count_and_overriding_ones_win() -> None:
    revision = revision_of(
        "class A:\n    def task_a(self): pass\n    def task_b(self, x): pass\n    def task_c(self): pass",
        "class E(A):\n    def task_b(self, y): pass\n    task_c = None",
    )
    assert [(each.name, each.line, each.parameters) for each in revision.tasks] == [
        ("task_b", 2, (Parameter("y", "either"),)),
        ("task_a", 2, ()),
    ]


def test_a_task_under_a_second_name_in_the_class() -> None:
    assert task("class E:\n    def task_a(self): pass\n    task_b = task_a", name="task_b").line == 2


# ---------------------------------------------------------------------- outputs


class Animal(typing.TypedDict):
    species: str
    weight: float


@dataclasses.dataclass
class Point:
    x: int
    y: list[int]


class Pair(typing.NamedTuple):
    left: int
    right: str = ""


OUTPUTS = [
    ("", None, {}),
    ("-> None", (), {}),
    ("-> []", (), {}),
    ("-> ['species', 'weight']", ("species", "weight"), {}),
    ("-> ('species', 'weight')", ("species", "weight"), {}),
    ("-> {'species': str, 'weight': list[float]}", ("species", "weight"),
     {"species": "str", "weight": "list[float]"}),
    ("-> 'None'", (), {}),
    ("-> \"['species']\"", ("species",), {}),
    ("-> 'Animal'", ("species", "weight"), {"species": "str", "weight": "float"}),
    ("-> Animal", ("species", "weight"), {"species": "str", "weight": "float"}),
    ("-> Point", ("x", "y"), {"x": "int", "y": "list[int]"}),
    ("-> Pair", ("left", "right"), {"left": "int", "right": "str"}),
    ("-> box.Point", ("x", "y"), {"x": "int", "y": "list[int]"}),
    ("-> NAMES", ("a", "b"), {}),
    ("-> TYPES", ("a",), {"a": "int"}),
    ("-> int", None, {}),
    ("-> list[str]", None, {}),
    ("-> dict", None, {}),
    ("-> [str]", None, {}),
    ("-> ['a', 3]", None, {}),
    ("-> ['a', 'a']", None, {}),
    ("-> [*NAMES]", None, {}),
    ("-> {'a': int, **TYPES}", None, {}),
    ("-> 'not python'", None, {}),
    ("-> 'Unknown'", None, {}),
    ("-> 3", None, {}),
]


@pytest.mark.parametrize(("annotation", "outputs", "types"), OUTPUTS)
def test_declared_outputs(annotation: str, outputs: tuple[str, ...] | None, types: dict[str, str]) -> None:
    names = {"Animal": Animal, "Point": Point, "Pair": Pair, "NAMES": ["a", "b"], "TYPES": {"a": int},
             "box": type("box", (), {"Point": Point})}
    cell = "from __future__ import annotations\nclass E:\n    def task_a(self) " + annotation + ": pass"
    spec = next(iter(revision_of(cell, change=lambda space: space.update(names)).tasks))
    assert (spec.outputs, spec.output_types) == (outputs, types)


def test_a_class_may_name_its_outputs_itself() -> None:
    assert task("class E:\n    OUT = ['a']\n    def task_a(self) -> OUT: pass").outputs == ("a",)
    assert declared_outputs(None, {}) == (None, {})


# ---------------------------------------------------------------------- digests

CELLS = [
    "import math\nRATE = 3\n",
    "def third(x):\n    return math.floor(x * RATE)\n",
    "def second(x):\n    return third(x)\n\ndef first(x):\n    return second(x)\n",
    """\
class E:
    def task_a(self, x):
        return self.inner(x)

    def inner(self, x):
        return first(x)

    def task_b(self):
        return 'b'
""",
]


def digests(*cells: str) -> tuple[str, dict[str, str]]:
    revision = revision_of(*cells)
    return revision.digest, {each.name: each.digest for each in revision.tasks}


def edited(old: str, new: str) -> list[str]:
    assert any(old in each for each in CELLS)
    return [each.replace(old, new) for each in CELLS]


UNCHANGED = {
    "a comment": edited("    return third(x)", "    # why\n    return third(x)  # so"),
    "layout": edited("math.floor(x * RATE)", "math.floor(\n        x*RATE,\n    )"),
    "a docstring": edited("def first(x):\n", "def first(x):\n    'First.'\n"),
    "a docstring of the class": edited("class E:\n", "class E:\n    '''An elf.'''\n"),
    "a magic in front": edited("class E:", "%%elf\nclass E:"),
    "empty lines": edited("def second", "\n\n\n\ndef second"),
    "one cell": ["".join(CELLS)],
    "another order": [CELLS[3], CELLS[2], CELLS[1], CELLS[0]],
    "things that are not used": [
        "import os\ndef unused(): return os\n", *CELLS, "class F:\n    def task_z(self): pass",
    ],
    "the same again": [*CELLS, *CELLS],
    "an import written otherwise": edited("import math\n", "import os, math\n"),
    "another use of the data": edited("RATE = 3", "RATE = 1\nRATE += 2"),
}

CHANGED = {
    "three calls away": edited("x * RATE", "x + RATE"),
    "data": edited("RATE = 3", "RATE = 4"),
    "the type of data": edited("RATE = 3", "RATE = 3.0"),
    "a method": edited("first(x)\n\n", "first(x) + 1\n\n"),
    "a default": edited("task_a(self, x)", "task_a(self, x=1)"),
    "an attribute of the class": edited("class E:\n", "class E:\n    k = 1\n"),
    "a constructor": edited("class E:\n", "class E:\n    def __init__(self): pass\n"),
    "postponed annotations": edited("class E:", "from __future__ import annotations\nclass E:"),
    "another library": edited("import math", "import cmath as math\nmath.floor = 1"),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_does_not_change_the_code_changes_no_digest(name: str) -> None:
    assert digests(*UNCHANGED[name]) == digests(*CELLS)


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_the_code_changes_the_digest(name: str) -> None:
    whole, tasks = digests(*CHANGED[name])
    assert whole != digests(*CELLS)[0]
    assert tasks["task_a"] != digests(*CELLS)[1]["task_a"]


@pytest.mark.parametrize("name", ["three calls away", "data", "the type of data", "a method", "a default"])
def test_a_task_that_does_not_reach_the_change_keeps_its_digest(name: str) -> None:
    assert digests(*CHANGED[name])[1]["task_b"] == digests(*CELLS)[1]["task_b"]


def test_a_b_a_gives_the_first_digest_again() -> None:
    first, other = revision_of(*CELLS).digest, revision_of(*CHANGED["data"]).digest
    assert first == revision_of(*CELLS, *CHANGED["data"], *CELLS).digest != other
    assert other == revision_of(*CELLS, *CHANGED["data"]).digest


def test_elves_of_different_names_differ() -> None:
    text = "class E:\n    def task_a(self): pass\nclass F:\n    def task_a(self): pass"
    assert revision_of(text).digest != revision_of(text, name="F").digest


def test_elves_that_need_each_other_differ_too() -> None:
    text = "class E:\n    def task_a(self): return F\nclass F:\n    def task_a(self): return E"
    assert revision_of(text).digest != revision_of(text, name="F").digest


def test_a_digest_is_of_a_set() -> None:
    assert digest(["a", "b"]) == digest(["b", "a", "b"]) != digest(["ab"])


def test_a_function_made_anew_in_another_cell_is_in_the_tasks_digest() -> None:
    cells = ["import functools\ndef f(): return {}", "f = functools.cache(f)",
             "class E:\n    def task_a(self): return f()"]
    assert task(cells[0].format(1), *cells[1:]).digest != task(cells[0].format(2), *cells[1:]).digest


REACHED = [
    # body of task_a, does a change of `inner` change it?
    ("self.inner()", True),
    ("super().inner()", True),
    ("E().inner()", True),
    ("getattr(self, 'inner')()", True),
    ("visit(self)", True),
    ("self.step()", True),
    ("self.x", False),
    ("None", False),
]


@pytest.mark.parametrize(("body", "expected"), REACHED)
def test_methods_that_a_task_may_call_are_in_its_digest(body: str, expected: bool) -> None:
    text = ("def visit(e): pass\nclass E:\n    x = 1\n    def task_a(self): return {}\n"
            "    def step(self): return self.inner()\n    def inner(self): return {}")
    one, other = (task(text.format(body, n)).digest for n in (1, 2))
    assert (one != other) is expected


def test_a_change_in_a_base_class_reaches_only_the_tasks_that_use_it() -> None:
    base = "class B:\n    def used(self): return {}\n    def unused(self): return {}\n"
    elf = "class E(B):\n    def task_a(self): return self.used()"
    before, unused, used = (task(base.format(*n), elf).digest for n in [(1, 1), (1, 2), (2, 1)])
    assert before == unused != used


def test_values_of_the_users_own_classes_have_stable_digests() -> None:
    text = """\
        import dataclasses, enum
        class Kind(enum.Enum):
            A = 1
            B = 2
        @dataclasses.dataclass
        class P:
            x: object
        p = [P({{'k': (Kind.{}, {{{}, {}}}, P(None))}})]
        class E:
            def task_a(self): return p
    """
    one, again, other = (revision_of(text.format(*each)).digest for each in ["A08", "A80", "B08"])
    assert one == again != other


DEFINITIONS = ["def f(): return g() + N", "def g(): return h()", "def h(): return 1", "N = 3",
               "class E:\n    def task_a(self): return f()"]


COMPANY = ["# a comment", "", "x = 1", "def unused(): pass"]


@given(st.permutations(DEFINITIONS), st.lists(st.sampled_from(COMPANY)), st.sets(st.integers(1, 8)))
def test_order_company_and_cells_do_not_matter(order: list[str], company: list[str], cuts: set[int]) -> None:
    lines = [*itertools.chain(*itertools.zip_longest(order, company, fillvalue=""))]
    places = [0, *sorted(each for each in cuts if each < len(lines)), len(lines)]
    cells = ["\n".join(lines[start:end]) for start, end in itertools.pairwise(places)]
    assert digests(*cells) == digests("\n".join(DEFINITIONS))
