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
import re
import sys
import sysconfig
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cloudpickle
import pytest

from elfbook.code import cells
from elfbook.code.source import SourceText, read_elf
from elfbook.errors import CannotSend, DefinitionError, MissingName
from elfbook.model import Revision, ValueRef


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
        self.again(number)

    def again(self, number: int) -> None:
        source = self.texts[f"/tmp/ipykernel_7/{number}.py"]
        text = cells.blank_magics(source.text)
        exec(compile(text, source.filename, "exec", dont_inherit=True), self.names)

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


class Case(NamedTuple):
    expected: object
    cells: list[str]
    files: dict[str, str]


def cases(filename: str) -> dict[str, Case]:
    """Read `## name -> what task_a returns`, then `[1]`, `[2]` … for cells and `[name.py]` for files."""
    text = Path(__file__).with_name(filename).read_text()
    found: dict[str, Case] = {}
    for block in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = block.partition("\n")
        name, _, expected = title.partition(" -> ")
        case = found[name] = Case(eval(expected), [], {})
        _, *parts = re.split(r"^\[([\w/.]+)\]\n", rest, flags=re.MULTILINE)
        for place, content in zip(parts[::2], parts[1::2], strict=True):
            if place.isdigit():
                case.cells.append(content.strip("\n"))
            else:
                case.files[place] = content
    return found


# ---------------------------------------------------------------------- alive again

ELF = "class E:\n    def task_a(self): return {}\n"

ALIVE = cases("closure_alive.txt")


@pytest.mark.parametrize("name", ALIVE)
def test_a_class_lives_again(name: str) -> None:
    assert result(Notebook(*ALIVE[name].cells).read()) == ALIVE[name].expected


# A class without methods in another cell is not found from the elf's own text.
NEEDS_TEXTS = {"an enum", "a dataclass", "a NamedTuple", "a TypedDict", "an exception", "a base class",
               "an enum by call"}


@pytest.mark.parametrize("name", sorted(set(ALIVE) - NEEDS_TEXTS))
def test_a_class_lives_again_without_the_list_of_texts(name: str) -> None:
    assert result(Notebook(*ALIVE[name].cells, tell_texts=False).read()) == ALIVE[name].expected


AS_TEXT = [
    "a decorator that hides", "a partial", "two lambdas", "a second name", "a second name of a class",
    "a table of functions", "a closure", "a namedtuple", "an enum by call", "a type variable",
    "a member of an enum", "cached", "cached afterwards", "dispatch",
]


@pytest.mark.parametrize("name", AS_TEXT)
def test_definitions_travel_as_text_and_not_as_values(name: str) -> None:
    assert Notebook(*ALIVE[name].cells).read().captures == ()


@pytest.mark.parametrize("tell_texts", [True, False])
def test_a_second_name_whose_statement_is_not_known(tell_texts: bool) -> None:
    notebook = Notebook("def f(): return 1", ELF.format("g()"), tell_texts=tell_texts)
    notebook.names["g"] = notebook.names["f"]
    revision = notebook.read()
    assert (revision.captures, result(revision)) == ((), 1)


def test_a_function_that_another_cell_makes_into_something_else() -> None:
    notebook = Notebook(
        "import functools\ndef f(): return f.cache_info().hits", "f = functools.cache(f)", ELF.format("f()")
    )
    revision = notebook.read()
    assert [each.label for each in revision.pieces][1:] == [f"Cell In[{n}]" for n in (1, 2, 3)]
    assert (revision.captures, result(revision)) == ((), 0)


def test_an_earlier_class_of_the_same_name_in_the_same_cell() -> None:
    text = "class E:\n    def task_a(self): return {}\n"
    notebook = Notebook(text.format(1) + "old = E\n" + text.format(2))
    assert result(notebook.read("old")) == 1


def test_nothing_is_run_while_reading() -> None:
    notebook = Notebook(
        "log = []\ndef f(x=log.append('default')): return x",
        "class E:\n    x = f()\n    def task_a(self): return f",
    )
    before = list(notebook.names["log"])
    notebook.read()
    assert notebook.names["log"] == before == ["default"]


def test_a_value_and_its_class_travel_together() -> None:
    notebook = Notebook(
        "class P:\n    def __init__(self, n): self.n = n", "ps = [1, {'p': P(2)}]", ELF.format("ps")
    )
    assert [each.label for each in notebook.read().pieces] == ["Cell In[1]", "Cell In[3]"]


# ---------------------------------------------------------------------- pieces


def test_pieces_hold_whole_texts_and_their_own_lines() -> None:
    revision = Notebook(
        "x = 1\ndef f():\n    return x\n\ndef unused(): return gone\n",
        "%%elf\nclass E:\n    def task_a(self): return f()\n",
    ).read()
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
    texts = "import os, math as m\nfrom collections import Counter", ELF.format("os, m, Counter")
    revision = Notebook(*texts).read()
    assert revision.pieces[0].text == "from collections import Counter\nimport math as m\nimport os\n"
    assert revision.pieces[0].lines == ((1, 1), (2, 2), (3, 3))


def test_each_text_with_future_imports_brings_them() -> None:
    notebook = Notebook("from __future__ import annotations\nx = 1\ndef f(a: Gone): pass", ELF.format("f"))
    assert [each.lines for each in notebook.read().pieces] == [((1, 1), (3, 3)), ((1, 2),)]


def test_a_cell_comes_in_several_pieces_when_definitions_ask_for_it() -> None:
    notebook = Notebook(
        "class A:\n    def a(self): return 1\n"
        "if 'B' in globals():\n    class C(B):\n        def c(self): pass",
        "class B(A):\n    def b(self): pass",
    )
    notebook.again(1)
    notebook.cell("class E(C):\n    def task_a(self): return self.a()")
    revision = notebook.read()
    assert [each.label for each in revision.pieces] == [f"Cell In[{n}]" for n in (1, 2, 1, 3)]
    assert result(revision) == 1


def test_imports_come_from_the_most_public_place() -> None:
    revision = Notebook("from concurrent.futures import Future", ELF.format("Future")).read()
    assert sys.modules["concurrent.futures"].Future.__module__ == "concurrent.futures._base"
    assert revision.pieces[0].text == "from concurrent.futures import Future\n"


@pytest.mark.parametrize("name", ["random", "randint"])
def test_methods_of_a_librarys_hidden_object_are_imported(name: str) -> None:
    notebook = Notebook(f"from random import {name}", ELF.format(name), tell_texts=False)
    assert notebook.read().pieces[0].text == f"from random import {name}\n"


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
        MissingName, "task_a uses helpfull, which is defined nowhere (Cell In[2], line 3)",
        "Did you mean helpful?", 3,
    ),
    "a missing name further away": (
        ["def f():\n\n    return zzzz", ELF.format("f()")],
        MissingName, "f uses zzzz, which is defined nowhere (Cell In[1], line 3)",
        "Define zzzz in a cell, or import it, before this one.", 3,
    ),
    "a lock": (
        ["import threading\nL = threading.Lock()",
         "%%elf\nclass E:\n    def task_a(self):\n        with L: pass"],
        CannotSend, "task_a uses L, a thread lock (Cell In[2], line 4)",
        "Make it inside the task, or send what it is made from and make it there.", 4,
    ),
    "a lock inside": (
        ["import threading\nhouse = {'door': threading.Lock()}", ELF.format("house")],
        CannotSend,
        "task_a uses house (a dict), which holds a thread lock at house['door'] (Cell In[2], line 2)",
        "Make it inside the task, or send what it is made from and make it there.", 2,
    ),
    "a magic inside": (
        ["class E:\n    def task_a(self):\n        files = !ls\n        return files"],
        DefinitionError,
        "task_a uses get_ipython, or a line that begins with % or !, which only the notebook's own kernel has"
        " (Cell In[1], line 3)",
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
        DefinitionError,
        "module unheard_of is neither installed nor imported in this notebook yet (Cell In[1], line 3)",
        "Run  import unheard_of  in a cell first: then its source travels with the elf.", 3,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_the_users_words(name: str) -> None:
    texts, kind, message, hint, line = REFUSED[name]
    with pytest.raises(DefinitionError) as caught:
        Notebook(*texts).read()
    error = caught.value
    assert (type(error), str(error), error.hint, error.line) == (kind, message, hint, line)


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
    notebook = Notebook("""
        class E:
            def task_a(self):
                try:
                    import unheard_of
                except ImportError:
                    return 1
    """)
    assert result(notebook.read()) == 1


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


def write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def forget(folder: Path) -> None:
    """The folder is gone, as on another machine."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    importlib.invalidate_caches()


MODULES = cases("closure_modules.txt")


@pytest.mark.parametrize("name", MODULES)
def test_the_users_own_modules_travel_as_source(name: str, folder: Path) -> None:
    write(folder, MODULES[name].files)
    revision = Notebook(*MODULES[name].cells).read()
    forget(folder)
    assert result(revision) == MODULES[name].expected


def test_a_module_without_source_is_refused(folder: Path) -> None:
    write(folder, {"oak.py": "def f(): return 1\n"})
    notebook = Notebook("from oak import f", ELF.format("f()"))
    (folder / "oak.py").unlink()
    with pytest.raises(DefinitionError, match="the source of module oak was not found"):
        notebook.read()


def test_a_class_of_a_library_is_imported() -> None:
    notebook = Notebook()
    members = {"__module__": "collections", "task_a": lambda self: 1}
    collections.Elf = type("Elf", (collections.OrderedDict,), members)
    try:
        notebook.names["E"] = collections.Elf
        revision = notebook.read()
        assert [each.text for each in revision.pieces] == ["from collections import Elf\n"]
        assert (revision.module, revision.elf, revision.tasks[0].name) == ("__main__", "Elf", "task_a")
        assert result(revision) == 1
    finally:
        del collections.Elf
