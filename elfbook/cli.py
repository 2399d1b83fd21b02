"""The `elfbook` command: read the words, call the verb, say what it says."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from elfbook.errors import ElfbookError, ElfUsageError
from elfbook.notebook.grammar import nearest, size_in_bytes
from elfbook.version import __version__

if TYPE_CHECKING:
    from elfbook.notebook.notebook import Notebook

OK, FAILED, MISTYPED, INTERRUPTED = 0, 1, 2, 130
TUTORIALS = "elfbook-tutorials"
FAREWELL = "interrupted"


class Parser(argparse.ArgumentParser):
    """Whose errors offer the nearest word."""

    def error(self, message: str) -> NoReturn:
        raise ElfUsageError(message, hint=f"See  {self.prog} --help")

    def parse_args(self, args: Sequence[str] | None = None, namespace: object = None) -> argparse.Namespace:
        found, rest = self.parse_known_args(args)
        if rest:
            self.refuse(found, rest[0])
        return found

    def refuse(self, found: argparse.Namespace, text: str) -> NoReturn:
        """ElfUsageError for a word that is not known here."""
        parser: argparse.ArgumentParser = getattr(found, "parser", self)
        near = nearest(text.partition("=")[0], parser._option_string_actions)
        offer = f"; did you mean `{near}`?" if near else ""
        kind = "flag" if text.startswith("-") else "word"
        raise ElfUsageError(f"unknown {kind} `{text}`{offer}", hint=f"See  {parser.prog} --help")


def arguments() -> Parser:
    """All commands and their flags."""
    parser = Parser(prog="elfbook", description="Elves in notebooks: workers, runs, a demonstration.")
    parser.add_argument("--version", action="version", version=f"elfbook {__version__}")
    # Not `required`: argparse would then list the commands instead of naming the nearest.
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def command(name: str, words: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=words, description=words, allow_abbrev=False)
        found.set_defaults(parser=found)
        return found

    up = command("up", "Start workers on this machine, and a server if there is none.")
    up.add_argument(
        "n", nargs="?", type=int, metavar="N", help="how many workers there shall be at least (default: 2)"
    )
    up.add_argument(
        "--keep", action="store_true", help="stay when nothing happens; without it they end by themselves"
    )
    up.add_argument(
        "--fast", action="store_true", help="acknowledge before flushing the disk: a power cut loses the last"
    )
    up.add_argument("--store-limit", metavar="SIZE", help="how large the store may grow, such as 10GB")
    for_workers(up)
    for_place(up)
    worker = command("worker", "Run one worker in the foreground until Ctrl-C.")
    worker.add_argument("--pool", default="main", help="whose jobs it takes (default: main)")
    for_workers(worker)
    for_place(worker)
    for_place(command("down", "End the workers and the server that were started on this machine."))
    for_place(command("status", "Show workers and runs."))
    watched = command("watch", "Follow a run as text until it has settled.")
    watched.add_argument("run", metavar="RUN", help="the latest run of a flow, as in crawl; or crawl.2")
    for_place(watched)
    for_place(command("doctor", "Check what elfbook needs and say how to mend what is amiss."))
    demo = command("demo", "Run the animals on two workers of their own and write a page about it.")
    demo.add_argument("--output", metavar="FILE", help="the page (default: elfbook-demo.html)")
    demo.add_argument("--rounds", type=int, default=100, metavar="N", help="animals to meet (default: 100)")
    lab = command("lab", "Open JupyterLab on a copy of the tutorials.")
    lab.add_argument("--folder", default=TUTORIALS, help=f"where the copy is (default: {TUTORIALS})")
    lab.add_argument("--no-browser", action="store_true", help="open no browser window")
    return parser


def for_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kernel", default="python3", metavar="NAME", help="the kernelspec to run")
    parser.add_argument(
        "--elf",
        action="append",
        default=[],
        metavar="NAME",
        help="only for the elf of this name; may be repeated",
    )


def for_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", metavar="URL", help="use this NATS server instead of one of elfbook's own")
    parser.add_argument("--state-dir", metavar="DIR", help="where runs, keys and logs are kept")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed, 2 mistyped, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        parser = arguments()
        check_command(parser, words)
        given = parser.parse_args(words)
        if not given.command:
            parser.print_help()
            return MISTYPED
        return COMMANDS[given.command](given)
    except ElfUsageError as error:
        return complain(error, MISTYPED)
    except ElfbookError as error:
        return complain(error, FAILED)
    except KeyboardInterrupt:
        print(FAREWELL, file=sys.stderr)
        return INTERRUPTED


def check_command(parser: Parser, words: list[str]) -> None:
    """ElfUsageError for a command that there is not, with the nearest one."""
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        near = nearest(words[0], COMMANDS)
        offer = f"; did you mean `{near}`?" if near else f"; there are {', '.join(COMMANDS)}"
        raise ElfUsageError(f"unknown command `{words[0]}`{offer}", hint=f"See  {parser.prog} --help")


def complain(error: ElfbookError, code: int) -> int:
    """The error is on stderr, in the user's words."""
    print(f"elfbook: {error}", file=sys.stderr)
    if error.hint:
        print(error.hint, file=sys.stderr)
    return code


# ---------------------------------------------------------------------------- commands


def notebook_at(given: argparse.Namespace) -> Notebook:
    """A notebook's side for this one command."""
    from elfbook.notebook.notebook import Notebook
    from elfbook.store.place import Place

    return Notebook(None, Place.at(given.url, given.state_dir))


def up(given: argparse.Namespace) -> int:
    from elfbook.notebook import verbs

    said = verbs.up(
        given.n,
        url=given.url,
        kernel=given.kernel,
        elf=given.elf,
        keep=given.keep,
        store_limit=bytes_in(given.store_limit) if given.store_limit else None,
        fast=given.fast,
        notebook=notebook_at(given),
    )
    print(said)
    return OK


def bytes_in(text: str) -> int:
    try:
        return size_in_bytes(text)
    except ValueError as error:
        raise ElfUsageError(str(error), hint="See  elfbook up --help") from error


def down(given: argparse.Namespace) -> int:
    from elfbook.notebook import verbs

    print(verbs.down(notebook=notebook_at(given)))
    return OK


def status(given: argparse.Namespace) -> int:
    from elfbook.notebook import verbs

    notebook = notebook_at(given)
    said = verbs.overview(notebook=notebook)
    place = notebook.place
    if isinstance(said.about, ElfbookError) and (place.url or place.host_file.exists()):
        return complain(said.about, FAILED)  # there should be a server
    print(said)
    return OK


def watch(given: argparse.Namespace) -> int:
    from elfbook.entry.watch import stopped
    from elfbook.entry.watch import watch as follow
    from elfbook.notebook.naming import run_reference
    from elfbook.notebook.notebook import Notebook
    from elfbook.store.place import Place

    notebook = Notebook(None, Place.at(given.url, given.state_dir))
    run = notebook.run_named(*run_reference(given.run))
    try:
        follow(run, sys.stdout)
    except KeyboardInterrupt:
        print(f"\n{stopped(run, 'elfbook watch')}", file=sys.stderr)
        return INTERRUPTED
    return OK if run.ok else FAILED


def doctor(given: argparse.Namespace) -> int:
    from elfbook.notebook import verbs

    report = verbs.doctor(notebook=notebook_at(given))
    print(report)
    return OK if report.well else FAILED


def worker(given: argparse.Namespace) -> int:
    from elfbook.host import hostfile
    from elfbook.store.place import Place
    from elfbook.work.workerprocess import run_worker

    place = Place.at(given.url, given.state_dir)
    if not place.url:
        hostfile.ensure(place)
    for_whom = f" for {', '.join(given.elf)}" if given.elf else ""
    print(f"elfbook: a worker{for_whom} is starting; Ctrl-C ends it", flush=True)
    return run_worker(place, elf=given.elf, kernel=given.kernel, pool=given.pool)


def demo(given: argparse.Namespace) -> int:
    from elfbook.entry.show import demo as run_demo

    output = Path(given.output or "elfbook-demo.html").absolute()
    if not output.parent.is_dir():
        raise ElfUsageError(f"there is no folder {output.parent}", hint="Name another file with  --output")
    run_demo(output, given.rounds)
    return OK


def lab(given: argparse.Namespace) -> int:
    if importlib.util.find_spec("jupyterlab") is None:
        raise ElfbookError(
            "JupyterLab is not installed here", hint='Install it with  pip install "elfbook[lab]"'
        )
    folder = Path(given.folder).absolute()
    copy_tutorials(folder)
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={folder}"]
    sys.stdout.flush()
    os.execv(sys.executable, command + ["--no-browser"] * given.no_browser)
    raise AssertionError("execv returned")


def copy_tutorials(folder: Path) -> None:
    """The folder has every tutorial; those that are there already stay as they are."""
    source = tutorials()
    folder.mkdir(parents=True, exist_ok=True)
    for notebook in sorted(source.glob("*.ipynb")):
        target = folder / notebook.name
        if not target.exists():
            shutil.copyfile(notebook, target)
    print(f"the tutorials are in {folder}")


def tutorials() -> Path:
    """Where the tutorials are: in the package, or beside it in a checkout."""
    here = Path(__file__).parent
    for folder in (here / "notebooks", here.parent / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise ElfbookError(
        "the tutorials did not come with this installation", hint="pip install --force-reinstall elfbook"
    )


COMMANDS = {
    "up": up,
    "down": down,
    "worker": worker,
    "status": status,
    "watch": watch,
    "demo": demo,
    "lab": lab,
    "doctor": doctor,
}
