"""Where tasks run: code brought to life, elf instances kept, one call carried out.

This file is also sent as text into worker kernels, whose environment need not have elfbook:
standard library only, Python 3.9 and up, no import of ours. The four modules it needs are given
to `Room`.
"""

from __future__ import annotations

import inspect
import keyword
import linecache
import re
import sys
import time
import types
from collections import OrderedDict

CONTEXT_BEFORE = 4
CONTEXT_AFTER = 2
NAME_LIMIT = 80
INPUTS_LIMIT = 200
MESSAGE_LIMIT = 10_000
NOTE_LIMIT = 2_000
NOTES_LIMIT = 20
LINE_LIMIT = 500
ANONYMOUS_LIMIT = 64
FRAMES_LIMIT = 60
CHAIN_LIMIT = 8
__elfbook_inside__ = True  # our own frames: left out of what a user sees
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
WORD = re.compile(r"[A-Za-z_]\w*")


class CodeDoesNotLoad(Exception):
    """Recorded code that fails before any task of it could start."""


class Room:
    """Code and elf instances of one process.

    `values`, `evaluate`, `cells` and `fence` are the modules of those names; `key` is the mycelium's.
    """

    def __init__(self, values, evaluate, cells, fence, key, builtins=None):
        self.values = values
        self.fence = fence
        self.evaluate = evaluate
        self.cells = cells
        self.key = key
        self.builtins = dict(builtins or {})
        self.worlds = {}  # revision digest -> module name -> namespace
        self.modules = {}  # revision digest -> module name -> module
        self.entered = None  # the revision whose modules `import` finds
        self.revisions = {}
        self.labels = {}  # file names of the user's own code
        self.named = {}  # elf name -> (revision digest, instance)
        self.kept = {}  # elf name -> encoded attributes last committed
        self.anonymous = OrderedDict()

    # ------------------------------------------------------------------ code

    def learn(self, revision):
        """Take note of a revision given as plain data; it is executed at first use."""
        self.revisions[revision["digest"]] = revision

    def world(self, digest):
        """The namespaces in which a revision's code lives, by module name."""
        if digest not in self.worlds:
            revision = self.revisions[digest]
            world = {"__main__": self.namespace("__main__")}
            self.entered = None
            try:
                for piece in revision["pieces"]:
                    if piece["module"] not in world:
                        world[piece["module"]] = self.module(piece["module"], piece["filename"])
                self.put_captures(revision["captures"], world)
                for piece in revision["pieces"]:
                    self.bring_to_life(piece, world[piece["module"]])
                # An instance of a class of the cells is of the class that has just been made.
                self.put_captures([each for each in revision["captures"] if not self.is_plain(each)], world)
            except Exception as error:
                raise CodeDoesNotLoad("the code of " + revision["elf"] + " does not load here") from error
            self.worlds[digest] = world
            self.modules[digest] = {
                name: sys.modules[name] for name in world if name in sys.modules and name != "__main__"
            }
        if self.entered != digest:
            sys.modules.update(self.modules[digest])
            self.entered = digest
        return self.worlds[digest]

    def is_plain(self, capture):
        return self.values.is_plain(capture["data"])

    def put_captures(self, captures, world):
        for capture in captures:
            space = world.setdefault(capture["module"], self.namespace(capture["module"]))
            space[capture["name"]] = self.values.decode(capture["data"], self.key, self.finder(world))

    def namespace(self, module):
        return {"__name__": module, "__builtins__": __builtins__, **self.builtins}

    def module(self, name, filename):
        """A new module of the user's own that other code can import from now on."""
        space = self.cells.open_module(name, filename)
        space.update(self.builtins)
        return space

    def finder(self, world):
        return lambda name: self.find(world, name)

    def bring_to_life(self, piece, space):
        text, filename = piece["text"], piece["filename"]
        self.labels[filename] = piece["label"]
        shown = text if text.endswith("\n") else text + "\n"
        linecache.cache[filename] = (len(shown), None, shown.splitlines(True), filename)
        tree = self.cells.select(text, [tuple(pair) for pair in piece["lines"]])
        exec(compile(tree, filename, "exec", dont_inherit=True), space)

    @staticmethod
    def find(world, name):
        """The class or function `name` in any namespace of a world, else None."""
        for space in world.values():
            found = space
            for part in name.split("."):
                found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
                if found is None:
                    break
            if found is not None:
                return found
        return None

    # ------------------------------------------------------------------ instances

    def instance(self, use, blobs):
        """The elf instance that a call is for, made when there is none yet."""
        digest, name = use["revision"], use["name"]
        revision = self.revisions[digest]
        world = self.world(digest)
        cls = world[revision["module"]][use["elf"]]
        if name and name in self.named:
            return self.renewed(name, digest, cls)
        slot = (digest, use["elf"], use["arguments"])
        if not name and slot in self.anonymous:
            self.anonymous.move_to_end(slot)
            return self.anonymous[slot]
        args, kwargs = self.call_of(use["arguments"], {}, blobs, world) if use["arguments"] else ((), {})
        made = cls(*args, **kwargs)
        if name:
            if not hasattr(made, "name"):
                made.name = name
            self.named[name] = (digest, made)
            self.put_back_kept(name, made)
        else:
            self.anonymous[slot] = made
            while len(self.anonymous) > ANONYMOUS_LIMIT:
                self.anonymous.popitem(last=False)
        return made

    def renewed(self, name, digest, cls):
        """The named instance under today's code: its attributes stay, its methods are new."""
        before, instance = self.named[name]
        if before != digest:
            fresh = cls.__new__(cls)
            fresh.__dict__.update(getattr(instance, "__dict__", {}))
            instance = fresh
            self.named[name] = (digest, instance)
        return instance

    def put_back_kept(self, name, instance):
        data = self.kept.get(name)
        instance.keep = self.values.decode(data, self.key) if data else {}

    def kept_now(self, name):
        """Encoded `keep` of a named elf if it differs from what was committed, else None."""
        if name not in self.named:
            return None
        keep = getattr(self.named[name][1], "keep", None)
        if not isinstance(keep, dict) or (not keep and name not in self.kept):
            return None
        data = b"".join(bytes(part) for part in self.values.encode(keep, self.key))
        return None if data == self.kept.get(name) else data

    def forget(self, names):
        """Named elves that moved to another worker."""
        for name in names:
            self.named.pop(name, None)
            self.kept.pop(name, None)

    # ------------------------------------------------------------------ calls

    def call_of(self, arguments, results, blobs, world):
        find = self.finder(world)

        def literal(data):
            return self.values.decode(data, self.key, find)

        def blob(digest):
            return self.values.decode(blobs[digest], self.key, find)

        return self.evaluate.evaluate(arguments, results, literal, blob)

    def prepare(self, job):
        """The bound method and its arguments; CodeDoesNotLoad when that is impossible."""
        use = job["elf"]
        world = self.world(use["revision"])
        find = self.finder(world)
        results = {parent: self.values.decode(data, self.key, find) for parent, data in job["inputs"]}
        instance = self.instance(use, job["blobs"])
        args, kwargs = self.call_of(job["arguments"], results, job["blobs"], world)
        self.fence.put(instance)
        return getattr(instance, job["task"]), args, kwargs

    def finish(self, job, value, started):
        """The outcome of a call that returned."""
        outputs = job.get("outputs")
        if outputs is not None:
            check_outputs(value, outputs, job["task"])
        parts = self.values.encode(value, self.key)
        outcome = {
            "ok": True,
            "elapsed": time.perf_counter() - started,
            "preview": safely(self.values.preview, value),
            "parts": parts,
        }
        name = job["elf"]["name"]
        if name:
            outcome["keep"] = self.kept_now(name)
        return outcome

    def committed(self, job, outcome):
        """The outcome is on its way to be stored: what an elf keeps is now that."""
        if outcome.get("keep") is not None:
            self.kept[job["elf"]["name"]] = outcome["keep"]

    def failed(self, job, error, started, call=None):
        """The outcome of a call that raised."""
        refused = isinstance(error, CodeDoesNotLoad)
        told = error.__cause__ if refused and error.__cause__ is not None else error
        name = job["elf"]["name"]
        if name in self.named and name:
            self.put_back_kept(name, self.named[name][1])
        return {
            "ok": False,
            "elapsed": time.perf_counter() - started,
            "refused": refused,
            "memory": isinstance(error, MemoryError),
            "failure": self.describe(told, inputs_of(call, self.values.preview)),
        }

    def run(self, job):
        """Carry out one call here and now; gives its outcome, whatever user code does."""
        started = time.perf_counter()
        call = None
        try:
            call = self.prepare(job)
            method, args, kwargs = call
            value = method(*args, **kwargs)
            if inspect.iscoroutine(value):
                return {"coroutine": value, "started": started, "call": call}
            return self.finish(job, value, started)
        except BaseException as error:
            return self.failed(job, error, started, call)

    # ------------------------------------------------------------------ failures as data

    def describe(self, error, inputs="", depth=0):
        """An exception as plain data: text, frames, causes; never the objects themselves."""
        cause, kind = None, ""
        if depth < CHAIN_LIMIT:
            if error.__cause__ is not None:
                cause, kind = error.__cause__, "cause"
            elif error.__context__ is not None and not error.__suppress_context__:
                cause, kind = error.__context__, "context"
        notes = list(getattr(error, "__notes__", None) or ())
        return {
            "type": type(error).__name__,
            "message": cut(safely(str, error), MESSAGE_LIMIT),
            "frames": self.frames(error),
            "cause": self.describe(cause, depth=depth + 1) if cause is not None else None,
            "cause_kind": kind,
            "notes": [cut(safely(str, note), NOTE_LIMIT) for note in notes[:NOTES_LIMIT]],
            "inputs": inputs,
        }

    def frames(self, error):
        frames = []
        trace = error.__traceback__
        while trace is not None:
            frame, code = trace.tb_frame, trace.tb_frame.f_code
            if not self.is_ours(frame):
                qualname = getattr(code, "co_qualname", code.co_name)
                frames.append(self.line_of(code.co_filename, trace.tb_lineno, code.co_name, frame, qualname))
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename in self.labels:
            frames.append(self.line_of(error.filename, error.lineno or 1, "<module>", None))
        if len(frames) > FRAMES_LIMIT:  # runaway recursion: its beginning and its end tell all
            frames = frames[: FRAMES_LIMIT // 2] + frames[-FRAMES_LIMIT // 2 :]
        return frames

    def is_ours(self, frame):
        """True for elfbook itself, in a worker's kernel or in the notebook's process."""
        if frame.f_globals.get("__elfbook_inside__") is True:
            return True
        name = str(frame.f_globals.get("__name__", ""))
        return name.startswith("elfbook.") and frame.f_code.co_filename not in self.labels

    def line_of(self, filename, line, function, frame, qualname=""):
        own = filename in self.labels
        lines = linecache.getlines(filename)
        first = max(1, line - CONTEXT_BEFORE)
        context = [cut(text.rstrip("\n"), LINE_LIMIT) for text in lines[first - 1 : line + CONTEXT_AFTER]]
        text = lines[line - 1] if 0 < line <= len(lines) else ""
        return {
            "filename": filename,
            "line": line,
            "function": function,
            "context": context,
            "first": first,
            "names": names_on(text, frame) if own and frame is not None else [],
            "own": own,
            "qualname": qualname or function,
        }


def check_outputs(value, outputs, task):
    """ValueError unless a task that declares output names returned exactly those."""
    if not outputs:
        if value is not None:
            raise ValueError(task + " declares that it returns None, and returned " + type(value).__name__)
        return
    if isinstance(value, dict):
        given = {str(name) for name in value}
    elif hasattr(value, "_fields"):
        given = set(value._fields)
    elif hasattr(value, "__dataclass_fields__"):
        given = set(value.__dataclass_fields__)
    else:
        raise ValueError(
            task + " declares the outputs " + ", ".join(outputs) + " and returned " + type(value).__name__
        )
    missing = [name for name in outputs if name not in given]
    surplus = sorted(given - set(outputs))
    if missing or surplus:
        parts = ["without " + ", ".join(missing)] if missing else []
        parts += ["with the undeclared " + ", ".join(surplus)] if surplus else []
        raise ValueError(
            task + " declares the outputs " + ", ".join(outputs) + " and returned " + " and ".join(parts)
        )


def names_on(text, frame):
    """Short reprs of the plain values that a line names, in the order they appear there."""
    names, seen = [], set()
    for name in WORD.findall(text.split("#")[0]):
        if name in seen or name == "self" or keyword.iskeyword(name):
            continue
        seen.add(name)
        if name in frame.f_locals:
            value = frame.f_locals[name]
        elif name in frame.f_globals:
            value = frame.f_globals[name]
        else:
            continue
        if isinstance(value, (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)):
            continue
        names.append((name, short(value)))
    return names


def short(value, limit=NAME_LIMIT):
    return cut(" ".join(ADDRESS.sub("", safely(repr, value)).split()), limit)


def cut(text, limit):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def safely(turn, value):
    """Text about a value whatever its class does, and such as can be stored: UTF-8."""
    try:
        return turn(value).encode("utf-8", "backslashreplace").decode()
    except Exception as error:
        return "<" + type(value).__name__ + " that cannot be shown: " + type(error).__name__ + ">"


def inputs_of(call, preview):
    """A call's arguments under their parameters' names, as short text."""
    if call is None:
        return ""
    method, args, kwargs = call
    try:
        bound = inspect.signature(method).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {**{str(index): value for index, value in enumerate(args)}, **kwargs}
    text = ", ".join(name + "=" + ADDRESS.sub("", safely(preview, value)) for name, value in bound.items())
    return cut(text, INPUTS_LIMIT)
