"""Cell text as Python: magics blanked, statements found by their lines."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfbook.code import cells


def test_it_stands_on_the_standard_library_alone() -> None:
    path = Path(cells.__file__)
    code = f"import runpy; runpy.run_path({str(path)!r}); import sys; print('elfbook' in sys.modules)"
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
    ast.parse(path.read_text(), feature_version=(3, 9))


BLANKED = [
    # text, what is parsed
    ("%%elf\nx = 1\n", "\nx = 1\n"),
    ("%%elf flow crawl --wait  # now\nx = 1", "\nx = 1"),
    ("\n\n%%elf\nx = 1", "\n\n\nx = 1"),
    ("%matplotlib inline\nx = 1", "get_ipython()\nx = 1"),
    ("!ls -l 'a\nx = '''\n'''", "get_ipython()\nx = '''\n'''"),
    ("x?\ny = 1", "get_ipython()\ny = 1"),
    ("np.array??\ny = 1", "get_ipython()\ny = 1"),
    ("?np.array\ny = 1", "get_ipython()\ny = 1"),
    ("files = !ls *.py\nx = 1", "files = get_ipython()\nx = 1"),
    ("here = %pwd\nx = 1", "here = get_ipython()\nx = 1"),
    ("!echo \\\n  two\nx = 1", "get_ipython()\n\nx = 1"),
    ("if x:\n    %time f()\n    y = 1", "if x:\n    get_ipython()\n    y = 1"),
    ("/f 1 2\n,f a b\n;f a b\nx = 1", "get_ipython()\nget_ipython()\nget_ipython()\nx = 1"),
    # nothing to do with IPython
    ("x = (7\n% 3)\n%time x", "x = (7\n% 3)\nget_ipython()"),
    ("x = '''\n%time\n!ls\n'''\n%time x", "x = '''\n%time\n!ls\n'''\nget_ipython()"),
    ("x = 7 \\\n% 3\n!ls", "x = 7 \\\n% 3\nget_ipython()"),
    ("x = '(' # [ it's\n!ls", "x = '(' # [ it's\nget_ipython()"),
    ("x = 'it\\'s ('\n!ls", "x = 'it\\'s ('\nget_ipython()"),
    ("x = 1 # why?\n!ls", "x = 1 # why?\nget_ipython()"),
    ('x = """a""" "b"\n!ls', 'x = """a""" "b"\nget_ipython()'),
    ('x = "" + r"\\""\n!ls', 'x = "" + r"\\""\nget_ipython()'),
    ("x = 7 % 3 != 2", "x = 7 % 3 != 2"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), BLANKED)
def test_magics_are_blanked_and_lines_keep_their_numbers(text: str, expected: str) -> None:
    assert cells.blank_magics(text) == expected
    ast.parse(expected)


PYTHON = ["x = 1", "def f():\n    return 1", "y = '''\n%a\n'''", "z = [\n1,\n]", "# %no"]
REPLACED = {
    "a = !ls": "a = get_ipython()",
    **dict.fromkeys(["%time 1", "!ls", "x?", "%%bash no"], "get_ipython()"),
}


@given(st.lists(st.sampled_from(PYTHON)), st.lists(st.sampled_from(sorted(REPLACED))), st.randoms())
def test_python_lines_never_change(python: list[str], magics: list[str], random) -> None:
    lines = [*python, *magics]
    random.shuffle(lines)
    text = "\n".join(lines)
    plain = cells.blank_magics("x = 0\n" + text)
    assert ast.dump(ast.parse(plain)) == ast.dump(
        ast.parse("x = 0\n" + "\n".join(REPLACED.get(line, line) for line in lines))
    )
    assert plain.count("\n") == text.count("\n") + 1


TEXT = """\
%%elf
import os; import sys
@first
@second(1,
        2)
def f():
    def inner(): pass
class A:
    def method(self): pass
if os:
    def g(): pass
else:
    x = 1; y = 2
try:
    import numpy
except ImportError:
    numpy = None
if os: z = 3
"""

SELECTED = [
    ([(3, 7)], ["f"]),
    ([(8, 9), (3, 7)], ["A", "f"]),
    ([(11, 11)], ["g"]),
    ([(13, 13)], ["x = 1", "y = 2"]),
    ([(2, 2)], ["import os", "import sys"]),
    ([(17, 17)], ["numpy = None"]),
    ([(18, 18)], ["if os:\n    z = 3"]),
    ([], []),
]


@pytest.mark.parametrize(("lines", "expected"), SELECTED)
def test_statements_are_selected_by_their_lines(lines: list[tuple[int, int]], expected: list[str]) -> None:
    tree = cells.select(TEXT, lines)
    assert [getattr(node, "name", None) or ast.unparse(node) for node in tree.body] == expected
    compile(tree, "cell", "exec")


def test_selected_statements_stay_at_their_lines() -> None:
    names: dict = {"first": lambda f: f, "second": lambda *_: lambda f: f}
    exec(compile(cells.select(TEXT, [(3, 7)]), "cell", "exec"), names)
    assert names["f"].__code__.co_firstlineno == 3


@pytest.mark.parametrize("lines", [(6, 7), (9, 9), (7, 7), (1, 1), (99, 99)])
def test_lines_of_no_statement_are_refused(lines: tuple[int, int]) -> None:
    with pytest.raises(LookupError, match=f"lines {lines[0]} to {lines[1]}"):
        cells.select(TEXT, [lines])


def test_no_warning_is_shown_twice(recwarn: pytest.WarningsRecorder) -> None:
    cells.select("x = '\\d'", [(1, 1)])
    assert not recwarn.list


def test_an_opened_module_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("woods", "woods.trees", "woods.trees.oak"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    oak = cells.open_module("woods.trees.oak", "/w/woods/trees/oak.py")
    exec("rings = 3", oak)
    trees = cells.open_module("woods.trees", "/w/woods/trees/__init__.py")
    exec("import woods.trees.oak\nfrom .oak import rings\nfrom . import oak as tree", trees)
    assert trees["rings"] == 3
    assert trees["tree"].__dict__ is oak
    names: dict = {}
    exec("import woods.trees.oak as o\nfrom woods.trees import rings\nimport woods", names)
    assert names["o"].__file__ == "/w/woods/trees/oak.py"
    assert names["woods"].trees.__dict__ is trees
