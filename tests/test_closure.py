"""What a class reaches, and whether it lives again from nothing but that.

A notebook is imitated: cells are compiled under file names as IPython gives them, and run in
one namespace. A revision is revived as a worker does it, in namespaces of its own.
"""

from __future__ import annotations

import builtins
import collections
import hashlib
import importlib
import pickle
import sys
import sysconfig
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from elfbook import cells
from elfbook.errors import CannotSend, DefinitionError, MissingName
from elfbook.model import Revision, ValueRef
from elfbook.source import SourceText, read_elf


class CannotEncode(Exception):
    def __init__(self, path: str, type_name: str) -> None:
        super().__init__(type_name)
        self.path, self.type_name, self.reason = path, type_name, "no"


def encode(value: object) -> ValueRef:
    lock = type(threading.Lock())
    if isinstance(value, lock):
        raise CannotEncode("", "lock")
    if isinstance(value, dict) and any(isinstance(each, lock) for each in value.values()):
        raise CannotEncode("['door']", "lock")
    data = cloudpickle.dumps(value)
    return ValueRef(hashlib.sha256(data).hexdigest(), len(data), inline=data)


def is_library(module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "elfbook":
        return top != "__main__"
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and file.startswith((sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")))


class Notebook:
    """Cells that were run, and what they left behind."""

    def __init__(self, *texts: str, tell_texts: bool = True) -> None:
        self.names: dict = {"__name__": "__main__", "__builtins__": builtins}
        self.names["get_ipython"] = lambda: None
        self.texts: dict[str, SourceText] = {}
        self.tell_texts = tell_texts
        for text in texts:
            self.cell(text)

    def cell(self, text: str) -> None:
        text = textwrap.dedent(text)
        number = len(self.texts) + 1
        filename = f"/tmp/ipykernel_7/{number}.py"
        self.texts[filename] = SourceText(filename, f"Cell In[{number}]", text)
        exec(compile(cells.blank_magics(text), filename, "exec", dont_inherit=True), self.names)

    def text_of(self, filename: str) -> SourceText | None:
        path = Path(filename)
        if filename not in self.texts and path.is_file():
            return SourceText(filename, path.name, path.read_text())
        return self.texts.get(filename)

    def read(self, name: str = "E") -> Revision:
        return read_elf(
            self.names[name],
            text_of=self.text_of,
            namespace_of=lambda module: self.names if module == "__main__" else vars(sys.modules[module]),
            encode=encode,
            is_library=is_library,
            texts=(lambda: list(self.texts.values())[::-1]) if self.tell_texts else tuple,
        )


def revive(revision: Revision) -> dict:
    """Run a revision as a worker does; return the namespace that holds its class."""
    worlds: dict[str, dict] = {"__main__": {"__name__": "__main__", "__builtins__": builtins}}

    def capture() -> None:
        for each in revision.captures:
            worlds[each.module][each.name] = pickle.loads(each.value.inline)

    for piece in revision.pieces:
        if piece.module not in worlds:
            worlds[piece.module] = cells.open_module(piece.module, piece.filename)
    capture()
    for piece in revision.pieces:
        code = compile(cells.select(piece.text, piece.lines), piece.filename, "exec", dont_inherit=True)
        exec(code, worlds[piece.module])
    return worlds[revision.module]


def result(revision: Revision, task: str = "task_a") -> object:
    return getattr(revive(revision)[revision.elf](), task)()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's own modules, importable; forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


# ---------------------------------------------------------------------- alive again

ELF = "class E:\n    def task_a(self): return {}\n"

ALIVE = {
    "nothing": (["class E:\n    def task_a(self): return 5"], 5),
    "magic in front": (["%%elf\nclass E:\n    def task_a(self): return 5"], 5),
    "other magics": (["%matplotlib inline\nx = 1\n!ls\n" + ELF.format("x")], 1),
    "a function": (["def f(): return 2", ELF.format("f()")], 2),
    "a function below": ([ELF.format("f()") + "def f(): return 2"], 2),
    "three calls away": (["def h(): return 3", "def g(): return h()", "def f(): return g()", ELF.format("f()")], 3),
    "mutual recursion": ([
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n > 0 and even(n - 1)",
        ELF.format("even(10)"),
    ], True),
    "data by value": (["RATE = 3", "RATE += 1", ELF.format("RATE")], 4),
    "data below": ([ELF.format("LATE") + "LATE = [1, 2]"], [1, 2]),
    "an import": (["import math", ELF.format("math.floor(2.5)")], 2),
    "an import with a name": (["import os.path as p", ELF.format("p.join('a', 'b')")], "a/b"),
    "a submodule": (["import xml.etree.ElementTree", ELF.format("xml.etree.ElementTree.fromstring('<a/>').tag")], "a"),
    "a submodule by another name": ([
        "import xml as x, xml.etree.ElementTree", ELF.format("x.etree.ElementTree.fromstring('<a/>').tag"),
    ], "a"),
    "from an import": (["from math import floor as f, sqrt", ELF.format("f(sqrt(5))")], 2),
    "a bound method of a library": (["from random import randint", ELF.format("randint(1, 1)")], 1),
    "a class of a library": (["from collections import OrderedDict as O", ELF.format("type(O()).__name__")], "OrderedDict"),
    "a class within a class of a library": ([
        "from string import Formatter\nfrom unittest.mock import Mock\nimport argparse",
        "import types\nX = types.SimpleNamespace",
        ELF.format("X(a=1).a"),
    ], 1),
    "star import": (["from math import *", ELF.format("floor(pi)")], 3),
    "an import inside": (["class E:\n    def task_a(self):\n        import math\n        return math.floor(1.5)"], 1),
    "a lambda": (["f = lambda x: x + K", "K = 1", ELF.format("f(1)")], 2),
    "two lambdas": (["f, g = lambda: 1, lambda: 2", ELF.format("f() + g()")], 3),
    "a partial": (["from functools import partial\ndef add(a, b): return a + b", "inc = partial(add, 1)", ELF.format("inc(2)")], 3),
    "a partial that was set anew": ([
        "from functools import partial\ndef add(a, b): return a + b\ninc = partial(add, 1)",
        "inc = partial(add, 5)\nn = 2\ninc = partial(add, n)\nn = 3",
        ELF.format("inc(2)"),
    ], 4),
    "a closure": (["def adder(n):\n    def add(x): return x + n\n    return add", "add3 = adder(3)", ELF.format("add3(1)")], 4),
    "a closure that counts": ([
        "def counter():\n    n = 0\n    def count():\n        nonlocal n\n        n += 1\n        return n\n    return count",
        "count = counter()\ncount()\ncount()", ELF.format("count()"),
    ], 3),
    "a decorator": ([
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def inner(*a): return f(*a) * k()\n    return inner",
        "def k(): return 2",
        "@twice\ndef f(): return 4", ELF.format("f()"),
    ], 8),
    "a decorator that hides": ([
        "def twice(f):\n    return lambda *a: f(*a) * 2", "@twice\ndef f(): return 4", ELF.format("f()"),
    ], 8),
    "a decorated task": ([
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def inner(*a): return f(*a) * 2\n    return inner",
        "class E:\n    @twice\n    def task_a(self): return 4",
    ], 8),
    "cached": (["import functools\n@functools.cache\ndef f(): return 4", ELF.format("f()")], 4),
    "cached afterwards": (["import functools\ndef f(): return f.cache_info().hits\nf = functools.cache(f)", ELF.format("f()")], 0),
    "dispatch": ([
        "import functools\n@functools.singledispatch\ndef f(x): return 'any'",
        "@f.register\ndef _(x: int): return 'int'", "@f.register(str)\ndef _(x): return 'str'",
        ELF.format("[f(1), f(''), f(None)]"),
    ], ["int", "str", "any"]),
    "a default": (["def d(): return 7\ndef f(x=d()): return x", ELF.format("f()")], 7),
    "a default from data": (["D = 7", "def f(x=D): return x", ELF.format("f()")], 7),
    "evaluated annotations": (["T = int", "def f(x: T): return f.__annotations__['x']", ELF.format("f(1)")], int),
    "postponed annotations": ([
        "from __future__ import annotations\ndef f(x: Nowhere): return f.__annotations__['x']\nclass E:\n"
        "    def task_a(self): return f(1)",
    ], "Nowhere"),
    "a dataclass": (["from dataclasses import dataclass, field\n@dataclass\nclass P:\n    x: int\n    y: list = field(default_factory=list)",
                     ELF.format("(P(1).x, P(1).y)")], (1, [])),
    "an enum": (["import enum\nclass Kind(enum.Enum):\n    A = 1\n    B = 2", ELF.format("Kind.B.value")], 2),
    "an enum by call": (["import enum\nKind = enum.Enum('Kind', 'A B')", ELF.format("Kind.B.value")], 2),
    "a member of an enum": (["import enum\nclass Kind(enum.Enum):\n    A = 1", "K = Kind.A", ELF.format("K is Kind.A")], True),
    "a namedtuple": (["from collections import namedtuple\nP = namedtuple('P', 'a b')", ELF.format("tuple(P(1, 2))")], (1, 2)),
    "a NamedTuple": (["from typing import NamedTuple\nclass P(NamedTuple):\n    a: int\n    b: int = 2", ELF.format("tuple(P(1))")], (1, 2)),
    "a TypedDict": (["from typing import TypedDict\nclass P(TypedDict):\n    a: int", ELF.format("P(a=1)")], {"a": 1}),
    "an exception": (["class Bad(ValueError): pass", ELF.format("issubclass(Bad, ValueError)")], True),
    "a type variable": (["from typing import TypeVar\nT = TypeVar('T')", ELF.format("T.__name__")], "T"),
    "a base class": (["class B:\n    def task_a(self): return self.n()\n    def n(self): return N", "N = 9", "class E(B): pass"], 9),
    "super": (["class B:\n    def task_a(self): return 1", "class E(B):\n    def task_a(self): return super().task_a() + 1"], 2),
    "another elf": (["class F:\n    def task_b(self): return 3", ELF.format("F().task_b()")], 3),
    "itself": (["class E:\n    n = 1\n    def task_a(self): return E.n"], 1),
    "a class attribute": (["N = 2\nclass E:\n    m = N * 2\n    def task_a(self): return self.m"], 4),
    "set afterwards": (["class E:\n    def task_a(self): return self.m + E.k\nE.m = E.k = 6"], 12),
    "the last of two": (["class E:\n    def task_a(self): return 1\nclass E:\n    def task_a(self): return 2"], 2),
    "in an if": (["if True:\n    def f(): return 1\nelse:\n    def f(): return 2", ELF.format("f()")], 1),
    "in a try": (["try:\n    import nowhere\nexcept ImportError:\n    def f(): return 1", ELF.format("f()")], 1),
    "on one line": (["if True: f = lambda: 1; n = 2", ELF.format("(f(), n)")], (1, 2)),
    "after a semicolon": (["n = 4; f = lambda: n", ELF.format("f()")], 4),
    "a second name": (["def f(): return 1", "g = f", ELF.format("g()")], 1),
    "a second name of a class": (["class A:\n    x = 1\n    def f(self): pass", "B = A", ELF.format("B.x")], 1),
    "a table of functions": (["def f(): return 1\ndef g(): return 2", "T = {'f': f, 'g': g}", ELF.format("T['g']()")], 2),
    "global": (["n = 1\ndef bump():\n    global n\n    n += 1\n    return n", ELF.format("bump()")], 2),
    "a global made when called": (["def make():\n    global made\n    made = 3\ndef use():\n    make()\n    return made", ELF.format("use()")], 3),
    "builtins": ([ELF.format("len([ValueError, print, __name__])")], 3),
    "async": (["import asyncio\nclass E:\n    async def b(self): return 1\n    def task_a(self): return asyncio.run(self.b())"], 1),
    "static and class methods": ([
        "class E:\n    @staticmethod\n    def task_a(): return E.b()\n    @classmethod\n    def b(cls): return cls.__name__",
    ], "E"),
    "a decorated class": (["def mark(cls):\n    cls.m = 1\n    return cls", "@mark\nclass E:\n    def task_a(self): return self.m"], 1),
    "used while defining": ([
        "def deep(): return 5\ndef make(): return deep()",
        "class E:\n    x = make()\n    def task_a(self): return self.x",
    ], 5),
    "definition order against the grain": (["def f(x=None): return x", "class E:\n    k = f(3)\n    def task_a(self): return self.k",
                                           "def f(x=None): return g(x)\ndef g(x): return x"], 3),
}


@pytest.mark.parametrize("name", ALIVE)
def test_a_class_lives_again(name: str) -> None:
    texts, expected = ALIVE[name]
    notebook = Notebook(*texts)
    assert result(notebook.read()) == expected


# What cannot be told from the text of the class alone, by the nature of things.
NEEDS_TEXTS = {"an enum", "a dataclass", "a NamedTuple", "a TypedDict", "an exception", "a base class", "an enum by call"}


@pytest.mark.parametrize("name", sorted(set(ALIVE) - NEEDS_TEXTS))
def test_a_class_lives_again_without_the_list_of_texts(name: str) -> None:
    texts, expected = ALIVE[name]
    assert result(Notebook(*texts, tell_texts=False).read()) == expected


def test_nothing_is_run_while_reading() -> None:
    notebook = Notebook("log = []\ndef f(x=log.append('default')): return x", "class E:\n    x = f()\n    def task_a(self): return f")
    before = list(notebook.names["log"])
    notebook.read()
    assert notebook.names["log"] == before == ["default"]


def test_a_value_and_its_class_travel_together() -> None:
    notebook = Notebook("class P:\n    def __init__(self, n): self.n = n", "ps = [P(1), {'p': P(2)}]", ELF.format("P, ps"))
    assert {pair for piece in notebook.read().pieces for pair in piece.lines} >= {(1, 2)}
    assert revive(notebook.read())["P"]


# ---------------------------------------------------------------------- pieces


def test_pieces_hold_whole_texts_and_their_own_lines() -> None:
    notebook = Notebook("x = 1\ndef f():\n    return x\n\ndef unused(): return gone\n", "%%elf\nclass E:\n    def task_a(self): return f()\n")
    revision = notebook.read()
    assert [(p.label, p.lines, p.filename, p.module) for p in revision.pieces] == [
        ("Cell In[1]", ((2, 3),), "/tmp/ipykernel_7/1.py", "__main__"),
        ("Cell In[2]", ((2, 3),), "/tmp/ipykernel_7/2.py", "__main__"),
    ]
    assert revision.pieces[1].text.startswith("%%elf\n")
    assert [(c.name, c.module) for c in revision.captures] == [("x", "__main__")]
    assert (revision.elf, revision.module, revision.label) == ("E", "__main__", "Cell In[2]")


def test_a_traceback_names_the_cell_and_the_line() -> None:
    notebook = Notebook("x = 0", "%%elf\n\nclass E:\n    def task_a(self):\n        return 1 / x")
    with pytest.raises(ZeroDivisionError) as caught:
        result(notebook.read())
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == ("/tmp/ipykernel_7/2.py", 5)


def test_imports_are_one_generated_piece_in_order() -> None:
    revision = Notebook("import os, math as m\nfrom collections import Counter", ELF.format("os, m, Counter")).read()
    assert revision.pieces[0].text == "from collections import Counter\nimport math as m\nimport os\n"
    assert revision.pieces[0].lines == ((1, 1), (2, 2), (3, 3))


def test_each_text_with_future_imports_brings_them() -> None:
    notebook = Notebook("from __future__ import annotations\nx = 1\ndef f(a: Gone): pass", ELF.format("f"))
    assert [each.lines for each in notebook.read().pieces] == [((1, 1), (3, 3)), ((1, 2),)]


def test_files_interleave_when_definitions_ask_for_it() -> None:
    notebook = Notebook("class A:\n    def a(self): pass\n", "class B(A):\n    def b(self): pass\n")
    notebook.names["_hold"] = notebook.names["A"]
    notebook.cell("def deco(cls): return cls\nclass C(B):\n    def c(self): pass\n@deco\nclass E(C):\n    def task_a(self): return 1")
    assert [each.label for each in notebook.read().pieces] == ["Cell In[1]", "Cell In[2]", "Cell In[3]"]
    back = Notebook("class A:\n    def a(self): pass\n")
    back.cell("class B(A):\n    def b(self): pass\ndef late(): return 1")
    back.cell("class E(B):\n    def task_a(self): return late()")
    assert result(back.read()) == 1


def test_the_own_base_class_is_imported_from_elfbook(monkeypatch: pytest.MonkeyPatch) -> None:
    home = importlib.import_module("elfbook.model")
    monkeypatch.setattr(home, "Elf", type("Elf", (), {"__module__": "elfbook.model"}), raising=False)
    monkeypatch.setattr(sys.modules["elfbook"], "Elf", home.Elf, raising=False)
    revision = Notebook("from elfbook.model import Elf\nclass E(Elf):\n    def task_a(self): pass").read()
    assert revision.pieces[0].text == "from elfbook import Elf\n"


def test_an_old_class_is_read_from_its_own_text() -> None:
    notebook = Notebook(ELF.format("1"))
    old = notebook.names["E"]
    notebook.cell(ELF.format("2"))
    notebook.names["old"] = old
    assert result(notebook.read("old")) == 1
    assert result(notebook.read("E")) == 2


# ---------------------------------------------------------------------- refused

REFUSED = {
    "a missing name": (
        ["def helpful(): pass", "class E:\n    def task_a(self):\n        return helpfull()"],
        MissingName, "task_a uses helpfull, which is defined nowhere (Cell In[2], line 3)", "Did you mean helpful?", 3,
    ),
    "a missing name further away": (
        ["def f():\n\n    return zzzz", ELF.format("f()")],
        MissingName, "f uses zzzz, which is defined nowhere (Cell In[1], line 3)",
        "Define zzzz in a cell, or import it, before this one.", 3,
    ),
    "a lock": (
        ["import threading\nL = threading.Lock()", "%%elf\nclass E:\n    def task_a(self):\n        with L: pass"],
        CannotSend, "task_a uses L, a thread lock (Cell In[2], line 4)",
        "Make it inside the task, or send what it is made from and make it there.", 4,
    ),
    "a lock inside": (
        ["import threading\nhouse = {'door': threading.Lock()}", ELF.format("house")],
        CannotSend, "task_a uses house (a dict), which holds a thread lock at house['door'] (Cell In[2], line 2)",
        "Make it inside the task, or send what it is made from and make it there.", 2,
    ),
    "a magic inside": (
        ["class E:\n    def task_a(self):\n        files = !ls\n        return files"],
        DefinitionError, "task_a uses get_ipython, or a line that begins with % or !, which only the notebook's own "
        "kernel has (Cell In[1], line 3)",
        "Do that in a cell of its own; in a task, use plain Python such as subprocess.run.", 3,
    ),
    "exit": (
        ["class E:\n    def task_a(self): exit()"],
        DefinitionError, "task_a uses exit, which ends a notebook (Cell In[1], line 2)",
        "To end a task early, use return or raise an exception.", 2,
    ),
    "a function made by exec": (
        ["exec('def f(): pass')", ELF.format("f()")],
        DefinitionError, "the text that defines f was not found: it was not written in a cell or a file",
        "Define f with its def or class statement at the top level of a cell.", 0,
    ),
    "an elf made by exec": (
        ["exec('class E:\\n  def task_a(self): pass')"],
        DefinitionError, "the text that defines E was not found: it was not written in a cell or a file",
        "Define E with its def or class statement at the top level of a cell.", 0,
    ),
    "an elf inside a function": (
        ["def make():\n    class E:\n        def task_a(self): pass\n    return E\nE = make()"],
        DefinitionError, "E is defined inside make, so it cannot be made again elsewhere",
        "Move the class statement of E to the top level of a cell.", 0,
    ),
    "a task put on later": (
        ["def other(self): pass", "class E:\n    def task_a(self): pass", "E.task_a = other"],
        DefinitionError, "task_a of E is not the one that its class statement has (Cell In[2])",
        "Write task_a inside the class statement, and run that cell.", 0,
    ),
    "a module that is not loaded": (
        ["class E:\n    def task_a(self):\n        import unheard_of"],
        DefinitionError, "module unheard_of is neither installed nor imported in this notebook yet (Cell In[1], line 3)",
        "Run  import unheard_of  in a cell first: then its source travels with the elf.", 3,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_the_users_words(name: str) -> None:
    texts, kind, message, hint, line = REFUSED[name]
    with pytest.raises(DefinitionError) as caught:
        Notebook(*texts).read()
    assert (type(caught.value), str(caught.value), caught.value.hint, caught.value.line) == (kind, message, hint, line)


@pytest.mark.parametrize("name", ["In", "Out", "_", "__", "_3", "_i2", "_oh"])
def test_the_notebooks_own_record_is_refused(name: str) -> None:
    notebook = Notebook(ELF.format(name))
    notebook.names |= {"_oh": {}, "_ih": [""], "_": 5, "__": 4, "_3": 5, "_i2": "x"}
    notebook.names |= {"In": notebook.names["_ih"], "Out": notebook.names["_oh"]}
    with pytest.raises(DefinitionError, match=f"task_a uses {name}, which is the notebook's own record"):
        notebook.read()


def test_names_of_the_kernel_that_workers_have_too() -> None:
    def _modified_open() -> None: ...

    _modified_open.__module__ = "IPython.core.interactiveshell"
    notebook = Notebook(ELF.format("open, display"))
    notebook.names["open"] = _modified_open
    assert notebook.read().captures == ()


def test_an_optional_import_may_be_missing() -> None:
    text = "class E:\n    def task_a(self):\n        try:\n            import unheard_of\n        except ImportError:\n            return 1"
    assert result(Notebook(text).read()) == 1


def test_errors_of_the_encoder_itself_are_not_disguised() -> None:
    class Broken(Exception):
        pass

    def broken(value: object) -> ValueRef:
        raise Broken

    notebook = Notebook("x = 1", ELF.format("x"))
    with pytest.raises(Broken):
        read_elf(notebook.names["E"], text_of=notebook.text_of, namespace_of=lambda module: notebook.names,
                 encode=broken, is_library=is_library)


# ---------------------------------------------------------------------- modules on disk


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".py")
        if name.endswith("__init"):
            path = folder / name.removesuffix("__init").replace("__", "/") / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def forget(folder: Path) -> None:
    """The folder is gone, as on another machine."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    importlib.invalidate_caches()


MODULES = {
    "a class in a module": (
        {"woods": "import math\nN = math.floor(2.5)\ndef f(): return N\nclass E:\n    def task_a(self): return f()\n"},
        ["from woods import E"], 2,
    ),
    "what cannot be captured is made again": (
        {"woods": "import threading\nL = threading.Lock()\nclass E:\n    def task_a(self):\n        with L: return 1\n"},
        ["from woods import E"], 1,
    ),
    "side effects and conditions": (
        {"woods": "T = {}\ndef put(f):\n    T[f.__name__] = f\n    return f\n@put\ndef f(): return 5\n"
                  "if __name__ == '__main__': raise SystemExit\nclass E:\n    def task_a(self): return T['f']()\n"},
        ["from woods import E"], 5,
    ),
    "two modules that import each other": (
        {"oak": "import ash\ndef f(n): return n if n > 2 else ash.g(n)\n",
         "ash": "import oak\ndef g(n): return oak.f(n + 1)\nclass E:\n    def task_a(self): return g(0)\n"},
        ["from ash import E"], 3,
    ),
    "two modules that import from each other": (
        {"oak": "def f(n): return n if n > 2 else g(n)\nfrom ash import g\n",
         "ash": "import oak\ndef g(n): return oak.f(n + 1)\nclass E:\n    def task_a(self): return g(0)\n"},
        ["import oak\nfrom ash import E"], 3,
    ),
    "an import inside a function": (
        {"oak": "def f():\n    from ash import g\n    return g()\n", "ash": "from oak import f\ndef g(): return 4\n"},
        ["import ash, oak", ELF.format("oak.f()")], 4,
    ),
    "a function from a module": ({"oak": "def f(): return h()\ndef h(): return 6\n"}, ["from oak import f", ELF.format("f()")], 6),
    "a function under another name": ({"oak": "def f(): return 6\n"}, ["from oak import f as g", ELF.format("g()")], 6),
    "a module under another name": ({"oak": "def f(): return 6\n"}, ["import oak as o", ELF.format("o.f()")], 6),
    "an import in the task": ({"oak": "def f(): return 6\n"}, ["import oak", "class E:\n    def task_a(self):\n        import oak\n        return oak.f()"], 6),
    "a base in a module": (
        {"oak": "class B:\n    def task_a(self): return self.n() + 1\n    def n(self): return 1\n"},
        ["from oak import B", "class E(B):\n    def n(self): return 5"], 6,
    ),
    "a package": (
        {"wood__init": "from .oak import f\n", "wood__oak": "from . import ash\ndef f(): return ash.g()\n", "wood__ash": "def g(): return 8\n"},
        ["from wood import f", ELF.format("f()")], 8,
    ),
    "a module of a package": (
        {"wood__init": "", "wood__deep__init": "K = 2\n", "wood__deep__oak": "from .. import deep\nfrom wood.deep import K\ndef f(): return K\n"},
        ["import wood.deep.oak", ELF.format("wood.deep.oak.f()")], 2,
    ),
    "a module of a package without init": (
        {"wood__oak": "from .ash import g\ndef f(): return g()\n", "wood__ash": "def g(): return 3\n"},
        ["from wood import oak", ELF.format("oak.f()")], 3,
    ),
    "data from a module": ({"oak": "N = [1]\n"}, ["from oak import N", ELF.format("N")], [1]),
    "a lock from a module": ({"oak": "import threading\nL = threading.Lock()\n"},
                             ["from oak import L", "class E:\n    def task_a(self):\n        with L: return 1"], 1),
    "annotations postponed": (
        {"oak": "'''Doc.'''\nfrom __future__ import annotations\nimport ash\nclass E:\n    def task_a(self) -> Gone: return ash.x\n",
         "ash": "x = 2\n"},
        ["from oak import E"], 2,
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_users_own_modules_travel_as_source(name: str, folder: Path) -> None:
    texts, cell_texts, expected = MODULES[name]
    write(folder, **texts)
    notebook = Notebook(*cell_texts)
    revision = notebook.read()
    forget(folder)
    assert result(revision) == expected


def test_a_module_without_source_is_refused(folder: Path) -> None:
    write(folder, oak="def f(): return 1\n")
    notebook = Notebook("from oak import f", ELF.format("f()"))
    (folder / "oak.py").unlink()
    with pytest.raises(DefinitionError, match="the source of module oak was not found"):
        notebook.read()


def test_a_class_of_a_library_is_imported() -> None:
    notebook = Notebook()
    collections.Elf = type("Elf", (collections.OrderedDict,), {"__module__": "collections", "task_a": lambda self: 1})
    try:
        notebook.names["E"] = collections.Elf
        revision = notebook.read()
        assert [each.text for each in revision.pieces] == ["from collections import Elf\n"]
        assert (revision.module, revision.elf, revision.tasks[0].name) == ("__main__", "Elf", "task_a")
        assert result(revision) == 1
    finally:
        del collections.Elf
