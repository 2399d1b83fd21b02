"""`%elf` and `%%elf` in a shell of their own: definitions, flows in this kernel, messages, errors.

Flows run here with --local, so no server is needed; test_notebook.py has the mycelium.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import elfbook
from elfbook.entry import magics
from elfbook.entry.complete import offer
from elfbook.entry.typescript import typescript
from elfbook.errors import DefinitionError, ElfUsageError, FlowFailed, MissingName
from elfbook.notebook.body import classes_in
from elfbook.notebook.ipython import display_mode
from elfbook.notebook.notebook import CURRENT, Notebook
from elfbook.notebook.runs import Run
from elfbook.notebook.traces import users_frames

GREETER = """%%elf
class Greeter:
    def task_hello(self, name):
        return "Hello " + name

    def task_shout(self, text):
        return text.upper() + "!"
"""
MENDED = GREETER.replace('"Hello " + name', 'f"Hello {name}"')
PARTY = """%%elf flow party --local
g = Greeter()
hellos = g.task_hello.map(["Ada", "Alan", 7])
g.task_shout.map(hellos)
"""

Cell = Callable[[str], str]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("ELFBOOK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ELFBOOK_DISPLAY", "static")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    # IPython puts its own `__main__` and display hook there.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    made = InteractiveShell.instance(config=config)
    elfbook.load_ipython_extension(made)
    yield made
    elfbook.unload_ipython_extension(made)
    InteractiveShell.clear_instance()


@pytest.fixture
def cell(shell: Any, capsys: pytest.CaptureFixture) -> Cell:
    """Runs a cell; what it shows is returned, an error is raised after it has been shown."""

    def run(text: str) -> str:
        result = shell.run_cell(text, store_history=True)
        run.shown = capsys.readouterr().out
        result.raise_error()
        return run.shown.rstrip("\n")

    return run


def shown_error(cell: Any, text: str, kind: type[BaseException] = Exception) -> str:
    """What the failing cell shows."""
    with pytest.raises(kind):
        cell(text)
    return cell.shown


# ---------------------------------------------------------------------------- definitions


def test_a_definition_names_its_tasks(cell: Cell) -> None:
    assert cell(GREETER) == "Greeter is ready: task_hello, task_shout"
    assert cell('Greeter().task_hello("Ada")').endswith("'Hello Ada'")


@pytest.mark.parametrize(
    ("versions", "messages"),
    [
        ([GREETER, GREETER], ["Greeter: unchanged"]),
        ([GREETER, GREETER.replace("    def task_h", "    # a remark\n\n    def task_h")], ["Greeter: unchanged"]),
        ([GREETER, MENDED], ["Greeter v2: task_hello changed, task_shout unchanged"]),
        ([GREETER, MENDED, MENDED], ["Greeter v2: task_hello changed, task_shout unchanged", "Greeter v2: unchanged"]),
        (
            [GREETER, MENDED, GREETER],
            ["Greeter v2: task_hello changed, task_shout unchanged", "Greeter v3: same code as v1"],
        ),
        (
            [GREETER, GREETER.replace("task_shout", "task_cry")],
            ["Greeter v2: task_cry new, task_shout gone, task_hello unchanged"],
        ),
    ],
    ids=["same", "comment", "changed", "changed, same", "there and back", "renamed"],
)
def test_a_new_definition_says_what_changed(cell: Cell, versions: list[str], messages: list[str]) -> None:
    cell(versions[0])
    assert [cell(text) for text in versions[1:]] == messages


def test_a_changed_function_is_a_changed_task(cell: Cell) -> None:
    cell("def twice(x):\n    return 2 * x")
    text = "%%elf\nclass A:\n    def task_a(self, x):\n        return twice(x)\n    def task_b(self):\n        return 1"
    cell(text)
    cell("def twice(x):\n    return x + x")
    assert cell(text) == "A v2: task_a changed, task_b unchanged"


def test_a_flow_uses_what_the_names_mean_now_and_says_so(cell: Cell) -> None:
    cell("def twice(x):\n    return 2 * x")
    cell("%%elf\nclass A:\n    def task_a(self, x):\n        return twice(x)")
    cell("def twice(x):\n    return [x, x]")
    said = cell("%%elf flow f --local\nA().task_a(4)")
    assert said.startswith("A v2: task_a changed  (what it uses has changed since its cell ran)\n")
    assert cell("f.result()").endswith("[4, 4]")


def test_elves_of_modules_are_elves(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo_of_a_test.py").write_text("class Keeper:\n    def task_feed(self, n):\n        return n + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    cell("import zoo_of_a_test")
    cell("%%elf flow feeding --local\nzoo_of_a_test.Keeper().task_feed(1)")
    assert cell("feeding.result()").endswith("2")
    cell("from zoo_of_a_test import Keeper")
    cell("%%elf flow again --local\nKeeper().task_feed(2)")
    assert cell("again.result()").endswith("3")


def test_elves_of_ordinary_cells_are_elves(cell: Cell) -> None:
    cell("class Plain:\n    def task_one(self, x):\n        return x + 1")
    assert cell("Plain().task_one(1)").endswith("2")
    cell("%%elf flow f --local\nPlain().task_one(2)")
    assert cell("f.result()").endswith("3")
    cell("from elfbook import Elf, task\nclass Other(Elf):\n    @task\n    def one(self, x):\n        return x + 1")
    cell("%%elf flow f --local\nOther().one(3)")
    assert cell("f.result()").endswith("4")


def test_an_elf_may_be_defined_in_the_flow_itself(cell: Cell) -> None:
    cell("%%elf flow f --local\nclass Inner:\n    def task_a(self):\n        return 7\nInner().task_a()")
    assert cell("f.result()").endswith("7")


def test_a_missing_name_is_an_error_in_the_defining_cell_and_registers_nothing(cell: Cell) -> None:
    text = "%%elf\nclass A:\n    def task_a(self):\n        return 1\nclass B:\n    def task_b(self):\n        return nowhere(2)"
    shown = shown_error(cell, text, MissingName)
    assert "nowhere" in shown
    assert "line 7" in shown
    assert not CURRENT[0].roster.known


def test_a_cell_without_elves_runs_and_says_so(cell: Cell) -> None:
    shown = cell("%%elf\nx = 5\nx + 1")
    assert shown == "Out[1]: 6\nno elf in this cell: an elf is a class with task_* methods"


@pytest.mark.parametrize("text", [GREETER.replace("%%elf", "%%elf -q"), GREETER.replace("%%elf", "%%elf  ;")])
def test_silence(cell: Cell, text: str) -> None:
    assert cell(text) == ""
    assert "Greeter" in CURRENT[0].roster.known


def test_another_cell_that_takes_over_a_name_says_so(shell: Any, capsys: pytest.CaptureFixture) -> None:
    shell.run_cell(GREETER, store_history=True, cell_id="one")
    shell.run_cell(MENDED, store_history=True, cell_id="one")
    capsys.readouterr()
    shell.run_cell(GREETER, store_history=True, cell_id="two")
    assert "Greeter now comes from Cell In[3]; Cell In[2] is no longer used" in capsys.readouterr().out


# ---------------------------------------------------------------------------- errors and lines


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("%%elf\nx = 1\ny = 1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("\n\n%%elf\n\n\ny = 1 / 0\n", 6, "ZeroDivisionError"),
        ("%%elf flow f --local\ng = Greeter()\ng.task_hello(1, 2, 3)\n", 3, "too many positional arguments"),
        ("%%elf flow f --local\nv = Greeter().task_hello('a')\nif v:\n    pass\n", 3, "DeferredValueError"),
        ("%%elf flow f --local\nv = Greeter().task_hello('a')\nfor x in v:\n    pass\n", 3, "DeferredValueError"),
        ("%%elf flow f --local\nimport json\njson.loads('{')\n", 3, "JSONDecodeError"),
    ],
    ids=["plain", "blank lines", "arguments", "if", "for", "library"],
)
def test_an_error_in_the_body_shows_the_line_on_the_screen(cell: Any, text: str, line: int, words: str) -> None:
    cell(GREETER)
    shown = shown_error(cell, text)
    assert f"Cell In[2], line {line}\n" in shown
    assert re.search(rf"^-+> ?{line} ", shown, re.MULTILINE)
    assert words in shown
    for ours in ("run_cell_magic", "elfbook/", "IPython/"):
        assert ours not in shown


@pytest.mark.parametrize("first", ["%%capture --no-stdout", "%%time"])
def test_lines_count_from_the_top_under_another_cell_magic(cell: Any, first: str) -> None:
    cell(f"{first}\n%%elf\nclass A:\n    def task_a(self):\n        return 1 / 0\n")
    revision = CURRENT[0].roster.newest("A")
    assert (revision.label, revision.tasks[0].line) == ("Cell In[1]", 4)
    assert "Cell In[1], line 5, in A.task_a" in shown_error(cell, "A().task_a()", ZeroDivisionError)
    assert not CURRENT[0].raw_cells


def test_the_traceback_can_be_shown_again_and_debugged(cell: Any) -> None:
    shown = shown_error(cell, "%%elf\ndef f(x):\n    return 1 / x\nf(0)\n", ZeroDivisionError)
    assert cell("%tb").strip() == shown.strip()
    assert "Cell In[1], line 3" in shown
    assert sys.last_traceback is not None


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("%%elf\nx = (1\n", 2, "'(' was never closed"),
        ("%%elf\n\nclass A:\npass\n", 4, "expected an indented block"),
        ("%%elf\nx = 1\nreturn 5\n", 3, "'return' outside function"),
    ],
)
def test_a_body_that_is_no_python_says_where(cell: Any, text: str, line: int, message: str) -> None:
    shown = shown_error(cell, text, DefinitionError)
    assert f"Cell In[1], line {line}" in shown
    assert message in shown
    assert "File" not in shown


def test_magics_and_shell_lines_work_in_a_body(cell: Cell) -> None:
    shown = cell("%%elf\nfound = %who_ls\nword = !echo hi\nclass A:\n    def task_a(self):\n        return 1\n")
    assert shown == "A is ready: task_a"
    assert cell("word").endswith("['hi']")


def test_an_error_of_an_elf_called_here_is_an_ordinary_one(cell: Any) -> None:
    cell(GREETER)
    shown = shown_error(cell, "Greeter().task_hello(7)", TypeError)
    assert "Cell In[1], line 4" in shown
    assert '----> 4     return "Hello " + name' in shown
    assert "elfbook" not in shown


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("%elf retri party", "unknown verb `retri`; did you mean `retry`?", "See  %elf help"),
        ("%elf up --keeep", "unknown flag `--keeep`; did you mean `--keep`?", "See  %elf help up"),
        ("%%elf flow party --wiat\n1", "unknown flag `--wiat`; did you mean `--wait`?", "See  %elf help flow"),
        ("%%elf flwo party\n1", "unknown word `flwo`; did you mean `flow`?", "A cell begins with  %%elf"),
        ("%%elf up 2\n1", "`up` is a line of its own: write  %elf up  with one %", ""),
        ("%elf flow party", "`flow` begins a cell: write  %%elf flow NAME  in its first line", ""),
        ("%%elf flow 2nd\n1", "NAME: '2nd' is not a name for a flow", "See  %elf help flow"),
    ],
)
def test_a_mistyped_magic_fails_its_cell(cell: Any, text: str, message: str, hint: str) -> None:
    shown = shown_error(cell, text, ElfUsageError)
    assert shown.startswith(f"ElfUsageError: {message}")
    assert hint in shown


def test_without_a_server_the_next_step_is_named(cell: Any) -> None:
    cell(GREETER)
    shown = shown_error(cell, PARTY.replace(" --local", ""))
    assert shown == (
        "MyceliumUnreachable: no elfbook server was started here yet\n"
        "Start one with  %elf up   (in a shell:  elfbook up)\n"
    )


def test_frames_of_ours_are_taken_out_anywhere() -> None:
    def user(call: Callable[[], object]) -> object:
        return call()

    try:
        user(lambda: magics.no_such_verb(None))  # type: ignore[arg-type]
    except Exception as error:
        kept = users_frames(error.__traceback__)
    names = []
    while kept is not None:
        names.append(kept.tb_frame.f_code.co_name)
        kept = kept.tb_next
    assert names == ["test_frames_of_ours_are_taken_out_anywhere", "user", "<lambda>"]


@pytest.mark.parametrize(
    "text", ["%%elf flow f --local\nv = Greeter().task_hello('a')\nif v: pass", "%elf retri", PARTY]
)
def test_errors_can_be_pickled_with_what_they_show(shell: Any, cell: Any, text: str) -> None:
    cell(GREETER)
    shown_error(cell, text)
    error = sys.last_value
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again._render_traceback_() == error._render_traceback_()


def test_an_elf_of_a_library_runs_here_too(cell: Cell) -> None:
    cell("import elfbook.demo as zoo")
    cell("%%elf flow f --local\nzoo.Stats('a').task_heaviest([1, 3, 2])")
    assert cell("f.result()").endswith("3")


def test_classes_are_found_where_a_cell_may_define_them() -> None:
    import ast

    text = (
        "class A: pass\nif 1:\n    class B: pass\nelse:\n    class C: pass\n"
        "try:\n    class D: pass\nexcept E:\n    class F: pass\ndef f():\n    class G: pass\n"
    )
    assert classes_in(ast.parse(text).body) == ["A", "B", "C", "D", "F"]


# ---------------------------------------------------------------------------- flows


def test_a_flow_that_fails_is_shown_and_fails_its_cell(cell: Any, shell: Any) -> None:
    cell(GREETER)
    shown = shown_error(cell, PARTY, FlowFailed)
    assert shown.startswith("✗ flow party: 4 of 6 jobs done, 1 failed, 1 skipped\n")
    assert "FlowFailed: flow party: 1 of 6 jobs failed, 1 skipped\n" in shown
    assert "  ----> 4         return \"Hello \" + name\n               name = 7\n" in shown
    assert isinstance(shell.user_ns["party"], Run)
    assert shell.user_ns["g"].__class__.__name__ == "Greeter"


def test_a_flow_shows_its_page_once_and_binds_its_handle(cell: Cell) -> None:
    cell(MENDED)
    shown = cell(PARTY)
    assert shown.startswith("✓ flow party: 6 of 6 jobs done\n")
    assert cell("party.result()").endswith("['HELLO ADA!', 'HELLO ALAN!', 'HELLO 7!']")


def test_the_defining_cell_says_who_waits_for_it(cell: Any) -> None:
    cell(GREETER)
    shown_error(cell, PARTY)
    assert cell(MENDED).splitlines()[1] == (
        "1 failed job of flow party used task_hello v1;  %elf retry party  runs it again with v2"
    )


def test_a_handle_overwrites_no_variable_of_another_kind(cell: Cell, shell: Any) -> None:
    cell(MENDED)
    cell("party = 'mine'")
    assert cell(PARTY).startswith("`party` is something else in this notebook and stays so: the handle is")
    assert shell.user_ns["party"] == "mine"
    cell(PARTY.replace("--local", "--local -o ours"))
    assert isinstance(shell.user_ns["ours"], Run)


@pytest.mark.parametrize("silent", [PARTY.replace("--local", "--local -q"), PARTY.rstrip() + ";", PARTY.replace("--local", "--local;")])
def test_a_quiet_flow_shows_nothing(cell: Cell, shell: Any, silent: str) -> None:
    cell(MENDED)
    assert cell(silent) == ""
    assert shell.user_ns["party"].ok


def test_a_dry_flow_starts_nothing(cell: Cell, shell: Any) -> None:
    cell(GREETER)
    shown = cell(PARTY.replace("--local", "--dry"))
    assert shown.startswith("flow party would run 6 jobs; nothing was started\n○ flow party: 0 of 6 jobs done")
    assert "party" not in shell.user_ns


def test_a_flow_without_tasks_is_an_error(cell: Any) -> None:
    assert "flow empty calls no task" in shown_error(cell, "%%elf flow empty --local\n1 + 1", DefinitionError)


@pytest.mark.parametrize(
    ("last", "result"),
    [("a", "3"), ("[a, 9]", "[3, 9]"), ("x = a", "[3]"), ('{"k": a + 1}', "{'k': 4}"), ("print()", "[3]")],
)
def test_the_last_expression_is_the_flows_result(cell: Cell, last: str, result: str) -> None:
    cell("%%elf\nclass A:\n    def task_a(self, x):\n        return x + 1")
    cell(f"%%elf flow f --local\na = A().task_a(2)\n{last}")
    assert cell("f.result()").endswith(result)


def test_retries_are_tried(cell: Cell, tmp_path: Path) -> None:
    cell("%%elf -q\nimport pathlib\nclass A:\n    def task_a(self, path):\n        path = pathlib.Path(path)\n"
         "        n = int(path.read_text()) + 1\n        path.write_text(str(n))\n        return 1 / (n // 2)")
    (tmp_path / "count").write_text("0")
    cell(f"p = {str(tmp_path / 'count')!r}")
    cell("%%elf flow f --local --retries 1 -q\nA().task_a(p)")
    assert cell("f.result(), f['task_a[0]'].attempts").endswith("(1.0, 2)")


# ---------------------------------------------------------------------------- modes, loading, Tab


@pytest.mark.parametrize(
    ("asked", "kernel", "mode"),
    [
        ("", SimpleNamespace(_allow_stdin=True), "live"),
        ("", SimpleNamespace(_allow_stdin=False), "static"),
        ("", None, "plain"),
        ("static", SimpleNamespace(_allow_stdin=True), "static"),
        ("Live ", SimpleNamespace(_allow_stdin=False), "live"),
        ("nonsense", None, "plain"),
    ],
)
def test_the_display_mode(asked: str, kernel: object, mode: str) -> None:
    shell = SimpleNamespace(kernel=kernel) if kernel else SimpleNamespace()
    assert display_mode(shell, {"ELFBOOK_DISPLAY": asked}) == mode


def test_loading_says_nothing_and_twice_is_harmless(cell: Cell, shell: Any) -> None:
    cell(GREETER)
    elfbook.load_ipython_extension(shell)
    assert cell("%load_ext elfbook") == ""
    assert cell(GREETER) == "Greeter: unchanged"


def test_unloading_leaves_the_shell_as_it_was(shell: Any, cell: Any) -> None:
    hooks = len(shell.events.callbacks["post_run_cell"])
    elfbook.unload_ipython_extension(shell)
    assert "elf" not in shell.magics_manager.magics["line"]
    assert "elf" not in shell.magics_manager.magics["cell"]
    assert len(shell.events.callbacks["post_run_cell"]) == hooks - 1
    assert not shell.Completer.custom_matchers
    assert not CURRENT
    elfbook.load_ipython_extension(shell)
    assert cell(GREETER) == "Greeter is ready: task_hello, task_shout"


def test_dollar_and_braces_are_taken_as_typed(cell: Any) -> None:
    cell("x = 'down'")
    assert "unknown verb `$x`" in shown_error(cell, "%elf $x", ElfUsageError)
    assert "unknown verb `{x}`" in shown_error(cell, "%elf {x}", ElfUsageError)


@pytest.mark.parametrize("text", ["%elf help retry", "%elf retry --help", "%elf help retry  # a remark"])
def test_help_of_a_verb(cell: Cell, text: str) -> None:
    assert cell(text).startswith("%elf retry X [options]\n")


def test_help_without_a_verb_is_what_the_question_mark_shows(cell: Cell, shell: Any) -> None:
    assert cell("%elf help") == shell.find_line_magic("elf").__doc__.rstrip("\n")


@pytest.mark.parametrize(
    ("line", "first", "kind"),
    [
        ("%elf ", "up", "verb"),
        ("%elf re", "retry", "verb"),
        ("%elf help fl", "flow", "verb"),
        ("%elf retry ", "party", "run"),
        ("%elf logs ", "party/task_hello[2]", "job"),
        ("%elf logs party/task_s", "party/task_shout[0]", "job"),
        ("%elf retry party --", "--same-code", "flag"),
        ("%%elf ", "flow", "verb"),
        ("%%elf flow party --w", "--wait", "flag"),
    ],
)
def test_tab_offers_what_can_stand_there(cell: Any, line: str, first: str, kind: str) -> None:
    cell(GREETER)
    shown_error(cell, PARTY)
    assert offer(CURRENT[0], line)[0] == (first, kind)


@pytest.mark.parametrize("line", ["%elf zzz ", "%elf up ", "elf"])
def test_tab_offers_no_nonsense(cell: Cell, line: str) -> None:
    assert all(kind == "flag" for _, kind in offer(CURRENT[0], line))


def test_the_pages_table_of_what_may_be_typed_is_fresh() -> None:
    committed = Path(__file__).resolve().parent.parent / "extension" / "lab" / "vocabulary.ts"
    told = "run  python -m elfbook.entry.typescript > extension/lab/vocabulary.ts"
    assert committed.read_text(encoding="utf-8") == typescript(), told


def test_the_shell_completes_with_types(shell: Any) -> None:
    shell.Completer.use_jedi = False
    with provisionalcompleter():
        found = list(shell.Completer.completions("%elf ret", 8))
    assert [(each.text, each.type, each.start) for each in found] == [("retry", "verb", 5)]


def test_a_notebook_finds_classes_of_its_cells_only(shell: Any, cell: Cell) -> None:
    cell("class Outer:\n    class Inner: pass\nnumber = 3")
    notebook = CURRENT[0]
    assert isinstance(notebook, Notebook)
    assert notebook.find("Outer.Inner") is shell.user_ns["Outer"].Inner
    assert notebook.find("number") is None
    assert notebook.find("Outer.Nothing") is None
