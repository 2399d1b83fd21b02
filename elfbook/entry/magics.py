"""`%elf` and `%%elf`: read the line, call the verb, show what it says. Errors are raised."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from elfbook.entry import complete, watch
from elfbook.errors import ElfbookError, ElfUsageError
from elfbook.notebook import acts, body, flows, helppages, ipython, pausing, verbs
from elfbook.notebook.body import Cell
from elfbook.notebook.flows import How, Options
from elfbook.notebook.grammar import Arguments, Verb, parse, silenced, split, unknown
from elfbook.notebook.naming import run_reference
from elfbook.notebook.notebook import CURRENT, Notebook
from elfbook.notebook.policies import policy
from elfbook.notebook.runs import Run
from elfbook.notebook.vocabulary import DEFINE, FLOW, VERBS
from elfbook.store.place import Place
from elfbook.version import __version__

Shell = Any
HELP_FLAGS = ("--help", "-h")


class Magic:
    """The magic of one shell, with what undoes its registration."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.notebook = Notebook(shell)
        self.undo: list[Callable[[], None]] = []
        CURRENT[:] = [self.notebook]

    def register(self) -> None:
        """`%elf` and `%%elf` work in the shell, Tab completes them, new elves are noticed."""

        def elf(line: str, cell: str | None = None) -> object:
            __tracebackhide__ = True
            return self.call(line, cell)

        elf.__doc__ = helppages.OVERVIEW
        ipython.add_magic(self.shell, elf, "elf")
        self.undo = [
            lambda: ipython.remove_magic(self.shell, "elf"),
            ipython.add_completion(self.shell, "elf", lambda line: complete.offer(self.notebook, line)),
            ipython.add_listener(self.shell, "pre_run_cell", self.cell_begins),
            ipython.add_listener(self.shell, "post_run_cell", self.cell_ended),
        ]

    def unregister(self) -> None:
        """The shell is as it was; runs and workers are untouched."""
        for undo in self.undo:
            undo()
        self.undo = []
        self.notebook.disconnect()
        CURRENT.clear()

    # ------------------------------------------------------------------ cells

    def cell_begins(self, info: Any) -> None:
        """Remembers the cell's text as typed: a magic sees only what follows its line."""
        if info.store_history:
            self.notebook.raw_cells.clear()  # whatever was left by a cell that did not end
            self.notebook.cell_id = getattr(info, "cell_id", None) or ""
        if info.store_history or not self.notebook.raw_cells:  # not for a cell that a cell runs
            self.notebook.texts.cell_begins(info.raw_cell or "", numbered=info.store_history)
        self.notebook.raw_cells.append(info.raw_cell or "")

    def cell_ended(self, result: Any) -> None:
        """Elves that an ordinary cell has defined can be recorded from now on."""
        if self.notebook.raw_cells:
            self.notebook.raw_cells.pop()
        raw = getattr(result.info, "raw_cell", "") or ""
        if result.success and "class " in raw and not raw.lstrip().startswith("%%"):
            self.notebook.adopt_all(strict=False)

    # ------------------------------------------------------------------ the magic itself

    def call(self, line: str, cell: str | None) -> object:
        """What was typed has been done; the value is what `%elf` in an assignment gives."""
        __tracebackhide__ = True
        words = split(line)
        if cell is None:
            return self.line(words, quiet=silenced(line))
        quiet = silenced(line) or body.ends_silently(cell)
        if words and words[0] == "flow":
            return self.flow(words[1:], line, cell, quiet=quiet)
        if words and not words[0].startswith("-"):
            raise no_such_cell(words[0])
        arguments = self.read(words, DEFINE)
        return None if arguments is None else self.define(arguments, line, cell, quiet=quiet)

    def read(self, words: list[str], verb: Verb) -> Arguments | None:
        """The arguments; None when help was asked for and shown."""
        if any(word in HELP_FLAGS for word in words):
            print(helppages.verb_page(verb), end="")
            return None
        return parse(words, verb)

    def cell_now(self, line: str, cell: str) -> Cell:
        """The cell that runs, its text as on the screen kept for tracebacks and for workers."""
        notebook = self.notebook
        magic_line = f"%%elf {line}".rstrip()
        now = body.running_cell(self.shell, magic_line, cell, notebook.raw_cells, notebook.cell_id)
        now = replace(now, label=notebook.texts.label(now.filename) or now.label)
        notebook.texts.keep(now.filename, now.label, now.text)
        return now

    def define(self, arguments: Arguments, line: str, cell: str, *, quiet: bool) -> None:
        """The cell has been run here, and the elves in it are known."""
        __tracebackhide__ = True
        now = self.cell_now(line, cell)
        nodes = body.parsed(self.shell, now, cell)
        last = "exec" if body.ends_silently(cell) else "single"
        body.execute(self.shell, nodes, now.filename, last=last, defined=self.adopted)
        elves = self.notebook.elves_in(body.classes_in(nodes))
        lines = self.notebook.define(elves, cell=now)
        if not elves:
            lines = ["no elf in this cell: an elf is a class with task_* methods"]
        if not (quiet or arguments.flag("q")):
            print("\n".join(lines))

    def adopted(self, name: str) -> None:
        """The class that a statement has just defined can be recorded by the next one."""
        self.notebook.elves_in([name])

    def flow(self, words: list[str], line: str, cell: str, *, quiet: bool) -> None:
        """The calls in the cell have been recorded and started."""
        __tracebackhide__ = True
        arguments = self.read(words, FLOW)
        if arguments is None:
            return
        now = self.cell_now(line, cell)
        nodes = body.parsed(self.shell, now, cell)
        self.notebook.adopt_named(nodes)

        def calls() -> object:
            __tracebackhide__ = True
            return body.execute(self.shell, nodes, now.filename, last="eval", defined=self.adopted)

        options = flow_options(arguments, quiet=quiet)
        say = print if not options.quiet else silent
        flows.run_cell(self.notebook, arguments.text("name"), options, calls, now, say)

    # ------------------------------------------------------------------ lines

    def line(self, words: list[str], *, quiet: bool) -> object:
        """The verb has been done and what it says is shown."""
        __tracebackhide__ = True
        if not words:
            self.say(verbs.overview(notebook=self.notebook), quiet)
            return None
        name = words[0]
        if name in HELP_FLAGS:
            name = "help"
        if name not in VERBS:
            raise no_such_verb(name)
        arguments = self.read(words[1:], VERBS[name])
        if arguments is None:
            return None
        value = getattr(self, f"do_{name}")(arguments, quiet or arguments.flag("q"))
        if arguments.text("o"):
            self.notebook.namespace[arguments.text("o")] = value
        return None

    def say(self, said: Any, quiet: bool) -> Any:
        """What the verb said is printed; its value is what it is about."""
        if not quiet:
            print(said)
        return getattr(said, "about", None)

    def do_up(self, arguments: Arguments, quiet: bool) -> object:
        said = verbs.up(
            arguments["n"],
            url=arguments.text("url") or None,
            kernel=arguments.text("kernel") or "python3",
            elf=arguments["elf"] or (),
            keep=arguments.flag("keep"),
            store_limit=arguments["store-limit"],
            fast=arguments.flag("fast"),
            notebook=self.notebook,
        )
        return self.say(said, quiet)

    def do_down(self, arguments: Arguments, quiet: bool) -> object:
        return self.say(verbs.down(notebook=self.notebook), quiet)

    def do_runs(self, arguments: Arguments, quiet: bool) -> object:
        here, failed = arguments.flag("here"), arguments.flag("failed")
        return self.say(verbs.runs(here=here, failed=failed, notebook=self.notebook), quiet)

    def do_show(self, arguments: Arguments, quiet: bool) -> object:
        found = verbs.find(arguments.text("x"), notebook=self.notebook)
        if quiet:
            return found
        if isinstance(found, Run):
            self.notebook.show(found)
        elif hasattr(found, "traceback"):
            self.show_job(found)
        else:
            print(verbs.worker_line(found))
        return found

    def show_job(self, job: Any) -> None:
        """Everything about one job: state, traceback or value, why it waits, and what it printed."""
        print(repr(job))
        if job.why:
            print(job.why)
        if job.traceback:
            print(job.traceback)
        self.show_logs(job.logs())

    def do_logs(self, arguments: Arguments, quiet: bool) -> object:
        found = verbs.find(arguments.text("job"), notebook=self.notebook)
        if not hasattr(found, "logs"):
            raise ElfUsageError(f"`{arguments.text('job')}` is a worker; a job or a run has logs")
        logs = found.logs()
        if not quiet:
            self.show_logs(logs, empty="nothing was printed")
        return logs

    def do_watch(self, arguments: Arguments, quiet: bool) -> object:
        run = self.notebook.run_named(*run_reference(arguments.text("x")))
        if quiet:
            return run
        if self.notebook.mode != "plain":
            self.notebook.show(run)
            return run
        try:
            watch.watch(run, sys.stdout)
        except KeyboardInterrupt:
            print(f"\n{watch.stopped(run, '%elf watch')}")
        return run

    def show_logs(self, logs: Any, empty: str = "") -> None:
        """The text, then the figures; HTML only where the notebook itself would trust it."""
        text = logs.text.rstrip("\n")
        if text or (empty and not list(logs.bundles())):
            print(text or empty)
        for bundle in logs.bundles():
            ipython.show(bundle)

    def do_retry(self, arguments: Arguments, quiet: bool) -> object:
        __tracebackhide__ = True
        same = arguments.flag("same_code")
        run, number = verbs.retry(arguments.text("x"), same_code=same, notebook=self.notebook)
        if not number:
            if not quiet:
                print(acts.reopened(run, 0))
            return run
        flows.present(self.notebook, run, Options(wait=arguments["wait"], quiet=quiet))
        return run

    def do_cancel(self, arguments: Arguments, quiet: bool) -> object:
        said = verbs.cancel(
            arguments.text("x"),
            arguments.text("why"),
            below=arguments.flag("below"),
            above=arguments.flag("above"),
            notebook=self.notebook,
        )
        return self.say(said, quiet)

    def do_pause(self, arguments: Arguments, quiet: bool) -> object:
        said = pausing.pause(arguments.text("x"), arguments.text("why"), notebook=self.notebook)
        return self.say(said, quiet)

    def do_resume(self, arguments: Arguments, quiet: bool) -> object:
        return self.say(pausing.resume(arguments.text("x"), notebook=self.notebook), quiet)

    def do_attach(self, arguments: Arguments, quiet: bool) -> object:
        self.notebook.remarks.clear()
        if arguments.flag("all"):
            found = verbs.attach_all(notebook=self.notebook)
        else:
            found = [verbs.attach(arguments.text("x"), notebook=self.notebook)]
        if not quiet:
            for remark in self.notebook.remarks:
                print(remark)
            for run in found:
                if self.notebook.mode == "static" and not run.settled:
                    flows.settle(run, None)
                self.notebook.show(run)
                if self.notebook.is_live and not run.local:
                    self.notebook.page_of(run).revive()
        return found if arguments.flag("all") else found[0]

    def do_doctor(self, arguments: Arguments, quiet: bool) -> object:
        return self.say(verbs.doctor(notebook=self.notebook), quiet)

    def do_help(self, arguments: Arguments, quiet: bool) -> object:
        print(helppages.page(arguments.text("verb")), end="")
        return None


def flow_options(arguments: Arguments, *, quiet: bool) -> Options:
    """The flags of a flow cell."""
    wait = False if arguments.flag("no_wait") else arguments["wait"]
    return Options(
        dry=arguments.flag("dry"),
        wait=wait if wait is None else wait if isinstance(wait, bool) else float(wait),
        local=arguments.flag("local"),
        policy=policy(**{name: arguments[name] for name in How.__annotations__ if name in arguments.given}),
        variable=arguments.text("o"),
        quiet=quiet or arguments.flag("q"),
    )


def no_such_verb(name: str) -> ElfUsageError:
    """The error for a verb that there is not."""
    if name == "flow":
        return ElfUsageError("`flow` begins a cell: write  %%elf flow NAME  in its first line")
    return unknown("verb", name, VERBS, hint="See  %elf help")


def no_such_cell(name: str) -> ElfUsageError:
    """The error for a cell that is neither a definition nor a flow."""
    if name in VERBS:
        return ElfUsageError(f"`{name}` is a line of its own: write  %elf {name}  with one %")
    return unknown("word", name, ["flow"], hint="A cell begins with  %%elf  or  %%elf flow NAME")


def silent(_text: str) -> None:
    """Says nothing."""


# ---------------------------------------------------------------------------- loading

GREETING_S = 3.0
"""Longest wait for a server when the extension is loaded."""
LOADED: dict[int, Magic] = {}


def load(shell: Shell) -> None:
    """`%elf` and `%%elf` work in the shell. Loading twice changes nothing."""
    if id(shell) in LOADED:
        return
    magic = Magic(shell)
    magic.register()
    LOADED[id(shell)] = magic
    if magic.notebook.mode == "live":
        greeting = welcome(magic.notebook)
        if greeting:
            print(greeting)


def unload(shell: Shell) -> None:
    """The shell knows `%elf` no more."""
    magic = LOADED.pop(id(shell), None)
    if magic is not None:
        magic.unregister()


def welcome(notebook: Notebook) -> str:
    """What is still here from before: workers, and runs of this notebook. Empty for nothing."""
    from elfbook.host import hostfile

    try:
        if hostfile.find(notebook.place) is None and not notebook.place.url:
            return ""
        notebook.connect(GREETING_S)
        beats = notebook.workers()
        lines = verbs.run_lines(notebook, here=True)
    except (ElfbookError, TimeoutError):
        return ""  # greeting is a courtesy; the first verb that needs the server says what is wrong
    here = f"elfbook {__version__}: {verbs.plural(len(beats), 'worker')} still here"
    if not lines:
        return here
    first = notebook.seen_runs[0] if notebook.seen_runs else ""
    return "\n".join(
        [
            here,
            "runs from this notebook:",
            *(f"  {line}" for line in lines[:5]),
            f"%elf attach {first}  shows it here",
        ]
    )


__all__ = ["Magic", "Place", "load", "unload"]
