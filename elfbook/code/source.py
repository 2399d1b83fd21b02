"""An elf class as data: its tasks, the code they need, one digest for it all.

`read_elf` looks at a class that is alive here, in a notebook or a script, and returns what
another process needs to have the same class. The class is found by the text it was compiled
from, never by `inspect.getsource`, which knows no classes of notebook cells.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from elfbook.code import refusals
from elfbook.code.cells import span
from elfbook.code.closure import Closure, Outside
from elfbook.code.declared import declared_outputs
from elfbook.code.evidence import Evidence
from elfbook.code.locate import Script, SourceText, functions_in
from elfbook.code.parts import MAIN, ImportLine, Part, Statement, WholeModule, captures, digest, pieces, reach
from elfbook.code.statements import attributes, methods, normal
from elfbook.model import Parameter, Revision, TaskSpec, ValueRef

__all__ = ["Outside", "Reading", "SourceText", "read_elf", "reading_of"]

_MARK = "__elfbook_task__"
_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.VAR_POSITIONAL: "variadic",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_KEYWORD: "variadic keyword",
}


@dataclass(frozen=True, eq=False)
class Reading:
    """An elf as it was read, and what tells whether that is still true."""

    cls: type
    revision: Revision
    evidence: Evidence

    def holds(self, cls: type) -> bool:
        """True if reading `cls` now would give the same revision."""
        return cls is self.cls and self.evidence.stands()


def read_elf(
    cls: type,
    *,
    text_of: Callable[[str], SourceText | None],
    namespace_of: Callable[[str], Mapping[str, object]],
    encode: Callable[[object], ValueRef],
    is_library: Callable[[str], bool],
    texts: Callable[[], Iterable[SourceText]] = tuple,
) -> Revision:
    """Return the class with everything that its methods reach.

    `text_of` gives the text that was compiled under a file name, `namespace_of` a module's globals
    (KeyError when it is not imported), `encode` an encoded value or an exception with `path` and
    `type_name`, `is_library` whether workers import a module themselves. `texts` gives all texts of
    the notebook, the newest first: enums and other classes without methods are found there.

    The digests depend on what the code does and not on its comments, docstrings, layout, cell or
    order. Raises MissingName, CannotSend or another DefinitionError.
    """
    return reading_of(cls, Outside(text_of, namespace_of, encode, is_library, texts)).revision


def reading_of(cls: type, outside: Outside) -> Reading:
    """The same revision, with what tells whether it need not be read again; raises as `read_elf`."""
    if "." in cls.__qualname__:
        raise refusals.nested_class(cls)
    evidence = Evidence(outside)
    closure = Closure(evidence.outside())
    root = closure.add(cls)
    closure.settle()
    owners = [_Owner.of(each, closure) for each in cls.__mro__ if each is not object]
    names = dict(_tasks(cls))
    mine = owners[0]
    every = list(dict.fromkeys(closure.parts.values()))  # a part may go by several names
    code = [each for part in every for each in part.code]
    if isinstance(root, ImportLine) and mine.node:
        code.append(normal(mine.node))  # the library's own text, as far as it goes
    revision = Revision(
        elf=cls.__name__,
        digest=digest([f"elf {cls.__name__}", *code]),
        tasks=tuple(_task(name, owners, names, closure) for name in names),
        pieces=pieces(every, tuple(sys.modules)),  # they stand in the order in which they were complete
        captures=captures(every),
        doc=inspect.cleandoc(vars(cls).get("__doc__") or ""),
        module=MAIN if isinstance(root, ImportLine) else cls.__module__,
        label=mine.script.source.label if mine.script else "",
    )
    evidence.close(cls, closure)
    return Reading(cls, revision, evidence)


@dataclass(frozen=True, eq=False)
class _Owner:
    """One class of the elf's line of descent."""

    cls: type
    script: Script | None
    node: ast.ClassDef | None
    part: Part | None
    """The part of the closure that holds the class statement."""
    methods: dict[str, list[ast.AST]]

    @classmethod
    def of(cls, owner: type, closure: Closure) -> _Owner:
        found = closure.locate(owner)
        if found is None:
            return cls(owner, None, None, None, {})
        where, node = found
        part = next((each for each in closure.parts.values() if _holds(each, where, node)), None)
        return cls(owner, where, node, part, methods(node))


def _holds(part: Part, where: Script, node: ast.ClassDef) -> bool:
    if isinstance(part, Statement):
        return part.script.source == where.source and span(node) in part.lines
    return isinstance(part, WholeModule) and part.script is where


# ---------------------------------------------------------------------- tasks


def _tasks(cls: type) -> Iterator[tuple[str, type]]:
    """Yield each task's name with the class that defines it, own tasks first."""
    seen: set[str] = set()
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            if name not in seen:
                seen.add(name)
                if _is_task(name, value):
                    yield name, owner


def _is_task(name: str, value: object) -> bool:
    functions = list(functions_in(value))
    marked = any(inspect.getattr_static(each, _MARK, False) is True for each in (value, *functions))
    return marked or (name.startswith("task_") and bool(functions) and not isinstance(value, property))


def _task(name: str, owners: list[_Owner], names: Mapping[str, type], closure: Closure) -> TaskSpec:
    owner = next(each for each in owners if each.cls is names[name])
    value = vars(owner.cls)[name]
    function = next(functions_in(value))
    node = _node_of(name, value, owner)
    if node is None:
        return TaskSpec(
            name=name,
            line=function.__code__.co_firstlineno,
            parameters=tuple(_by_signature(inspect.signature(function))),
            doc=inspect.cleandoc(function.__doc__ or ""),
            digest=digest([name, repr(function.__code__.co_code)]),
        )
    module = closure.outside.names(owner.cls.__module__) or {}
    outputs, types = declared_outputs(getattr(node, "returns", None), ChainMap(vars(owner.cls), module))
    return TaskSpec(
        name=name,
        line=node.lineno,
        parameters=tuple(_parameters(node.args, bound=not isinstance(value, staticmethod))),
        doc="" if isinstance(node, ast.Lambda) else ast.get_docstring(node) or "",
        outputs=outputs,
        output_types=types,
        digest=_task_digest(name, owners, set(names)),
    )


def _node_of(name: str, value: object, owner: _Owner) -> ast.AST | None:
    """The task's statement; None in a library without text."""
    if owner.node is None or owner.script is None:
        return None
    filename = owner.script.source.filename
    codes = [each.__code__ for each in functions_in(value) if each.__code__.co_filename == filename]
    if written := owner.methods.get(name):
        node = written[-1]
        if getattr(node, "decorator_list", ()) or any(each.co_firstlineno == node.lineno for each in codes):
            return node
    else:
        for node in ast.walk(owner.node):  # task_b = task_a, in the class
            lines = {each.co_firstlineno for each in codes}
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and span(node)[0] in lines:
                return node
    raise refusals.attached_task(owner.cls, name, owner.script.source.label)


def _parameters(arguments: ast.arguments, bound: bool) -> Iterator[Parameter]:
    plain = [(each, "positional") for each in arguments.posonlyargs]
    plain += [(each, "either") for each in arguments.args]
    missing = [None] * (len(plain) - len(arguments.defaults))
    rows = [(*each, default) for each, default in zip(plain, [*missing, *arguments.defaults], strict=True)]
    yield from (_parameter(*row) for row in (rows[1:] if bound else rows))
    if arguments.vararg:
        yield _parameter(arguments.vararg, "variadic", None)
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(each, "keyword", default)
    if arguments.kwarg:
        yield _parameter(arguments.kwarg, "variadic keyword", None)


def _parameter(node: ast.arg, kind: str, default: ast.expr | None) -> Parameter:
    annotation = ast.unparse(node.annotation) if node.annotation else ""
    return Parameter(node.arg, kind, annotation, ast.unparse(default) if default else None)


def _by_signature(signature: inspect.Signature) -> Iterator[Parameter]:
    for each in list(signature.parameters.values())[1:]:
        annotation = "" if each.annotation is each.empty else inspect.formatannotation(each.annotation)
        default = None if each.default is each.empty else repr(each.default)
        yield Parameter(each.name, _KINDS[each.kind], annotation, default)


# ---------------------------------------------------------------------- what one task reaches


def _task_digest(task: str, owners: list[_Owner], tasks: set[str]) -> str:
    """Digest of the methods that the task can reach, the rest of its classes, and their needs.

    Methods are followed by name, whatever object they are called on: too many rather than too few.
    """
    reached = _methods_from(task, owners, tasks)
    code: list[str] = [f"task {task}"]
    needed: list[Part] = []
    classes = frozenset(each.node for each in owners if each.node)
    held = {each.part for each in owners}
    for owner in owners:
        if owner.node is None or owner.script is None:
            continue
        every = frozenset(each for found in owner.methods.values() for each in found)
        code.append(normal(owner.node, skip=every))
        code += [normal(each) for name in reached for each in owner.methods.get(name, ())]
        code += [normal(each) for each in owner.script.future]
        if isinstance(owner.part, Statement):
            code += [normal(each) for each in owner.part.nodes if each not in classes]
            for use, part in owner.part.needs:
                if use is None or use.member not in owner.methods or use.member in reached:
                    needed.append(part)
        elif isinstance(owner.part, WholeModule):
            code += [normal(each) for each in owner.part.script.body if each not in classes]
            needed += [part for _, part in owner.part.needs]
    for part in reach(each for each in needed if each not in held):
        code += part.code
    return digest(code)


def _methods_from(task: str, owners: list[_Owner], tasks: set[str]) -> set[str]:
    known = {name for owner in owners for name in owner.methods}
    todo = [task, *(name for name in known if name.startswith("__") and name.endswith("__"))]
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        for node in (each for owner in owners for each in owner.methods.get(name, ())):
            names, escapes = attributes(node)
            todo += (names & known) | (known - tasks if escapes else set())
    return reached
