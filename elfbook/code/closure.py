"""Everything that a class reaches: statements, imports, modules and values, as one graph.

A name in the notebook's own namespace leads to a statement of a cell, to an import, or to a
value. A module of the user's leads to its whole text, because that is what importing it means.
Nothing is run and nothing is read from disk: whoever asks brings the texts and the namespaces.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType

from elfbook.code import refusals
from elfbook.code.cells import span, statements
from elfbook.code.likeness import assigned, classes_of, gives, holds_code, portrait
from elfbook.code.locate import (
    Script,
    SourceText,
    class_filenames,
    extensions,
    find_class,
    find_function,
    functions_in,
    names_in,
    rebindings,
    script,
)
from elfbook.code.parts import MAIN, Alias, Captured, ImportLine, Part, Statement, WholeModule
from elfbook.code.statements import FUNCTIONS, Use, given, guarded, imported, normal, uses
from elfbook.errors import DefinitionError
from elfbook.model import Capture, ValueRef

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_ALWAYS = {"__name__", "__annotations__", "__builtins__", "__doc__", "__conditional_annotations__"}
_KERNEL = {"get_ipython", "exit", "quit"}
_RECORD = re.compile(r"_{1,3}|_i{1,3}|_[iod]h|_i?\d+")
_ON_WORKERS = {"display"}  # a worker is a Jupyter kernel, whatever this process is
_ABSENT = object()
_OWN_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True)
class Outside:
    """What a closure may ask about the process that it reads."""

    text_of: Callable[[str], SourceText | None]
    namespace_of: Callable[[str], Mapping[str, object]]
    encode: Callable[[object], ValueRef]
    is_library: Callable[[str], bool]
    texts: Callable[[], Iterable[SourceText]]
    """The texts of all cells, the newest first."""

    def names(self, module: str) -> Mapping[str, object] | None:
        """Return a module's globals, or None when it has not been imported here."""
        try:
            return self.namespace_of(module)
        except KeyError:
            return None

    def value(self, module: str, name: str) -> object:
        """Return a module's global, or a mark that equals nothing."""
        return (self.names(module) or {}).get(name, _ABSENT)

    def text_of_module(self, module: str) -> SourceText | None:
        """Return the text of a module that is a file, also of a script that runs as __main__."""
        filename = (self.names(module) or {}).get("__file__")
        return self.text_of(filename) if isinstance(filename, str) else None


class Closure:
    """The graph of parts: `add` grows it, `settle` says what is missing."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.main = outside.names(MAIN) or {}
        self.parts: dict[object, Part] = {}
        self._todo: list[Statement] = []
        self._missing: list[tuple[Statement, Use]] = []

    def add(self, cls: type) -> Part:
        """Return the part that defines `cls`; all that it reaches is in the graph then."""
        home = cls.__module__
        if home == MAIN:
            part = self._class_statement(cls, cls.__name__, None)
            if part is None:
                raise refusals.no_source(cls.__name__)
        elif self.outside.is_library(home):
            part = self._import(home, cls.__name__, cls.__name__)
        else:
            part = self._module(home)
        self._grow()
        return part

    def locate(self, cls: type) -> tuple[Script, ast.ClassDef] | None:
        """Return the text and the class statement of any class whose text can be had."""
        for source in self._sources_of(cls, None):
            where = script(source)
            if node := find_class(cls, where):
                return where, node
        return None

    def settle(self) -> None:
        """Raise MissingName for the first name that nothing defines and no function sets."""
        stored = {name for each in self.parts.values() if isinstance(each, Statement) for name in each.stored}
        for part, use in self._missing:
            if use.name not in stored:
                raise refusals.missing_name(part, use, self.main)

    # ------------------------------------------------------------------ names

    def _grow(self) -> None:
        while self._todo:
            part = self._todo.pop()
            own = {name for node in part.nodes for name in given(node)} | _ALWAYS
            for use in part.uses:
                if use.name not in own and (target := self._resolve(part, use)):
                    part.needs.append((use, target))
                    part.needs += [(use, each) for each in self._submodules(use)]
            part.needs += [(None, each) for each in self._modules_in(part.nodes, part.script, "")]

    def _resolve(self, part: Statement, use: Use) -> Part | None:
        value = self.main.get(use.name, _ABSENT)
        if self._is_of_this_notebook(use.name, value):
            raise refusals.of_this_notebook(part, use)
        if value is _ABSENT:
            if use.name not in _ON_WORKERS and not hasattr(builtins, use.name):
                self._missing.append((part, use))
            return None
        if hasattr(builtins, use.name) and str(getattr(value, "__module__", "")).startswith("IPython."):
            return None  # IPython puts its own `open` among the user's names
        key = ("name", use.name)
        if key not in self.parts:
            self.parts[key] = self._part_of(use.name, value, part, use)
        return self.parts[key]

    def _is_of_this_notebook(self, name: str, value: object) -> bool:
        if name in _KERNEL:
            return value is _ABSENT or name == "get_ipython" or "_oh" in self.main
        if name in ("In", "Out"):
            return value is self.main.get("_ih" if name == "In" else "_oh", self)
        return "_oh" in self.main and _RECORD.fullmatch(name) is not None

    def _part_of(self, name: str, value: object, asker: Statement, use: Use) -> Part:
        if isinstance(value, ModuleType):
            line = f"import {value.__name__}" + ("" if name == value.__name__ else f" as {name}")
            return self._line(line, value.__name__)
        if type(value) in _PLAIN:
            return self._captured(name, value, asker, use)
        return (
            self._import_of(name, value)
            or self._definition_of(name, value, asker)
            or self._import_written(name, value, asker)
            or self._assignment_of(name, value, asker)
            or self._captured(name, value, asker, use)
        )

    # ------------------------------------------------------------------ imports

    def _line(self, line: str, module: str) -> ImportLine:
        part = self.parts.setdefault(("import", line), ImportLine(code=frozenset([line]), line=line))
        if module != MAIN and not self.outside.is_library(module) and not part.needs:
            part.needs += [(None, each) for each in self._with_parents(module)]
        return part  # type: ignore[return-value]

    def _import(self, module: str, qualname: str, name: str) -> ImportLine:
        top, _, rest = qualname.partition(".")
        line = f"from {module} import {top}" + ("" if name == qualname else f" as {name}")
        return self._line(f"{line}; {name} = {name}.{rest}" if rest else line, module)

    def _submodules(self, use: Use) -> Iterator[ImportLine]:
        """`import a.b` binds only `a`: ask for the modules that the attributes lead through."""
        module = self.main.get(use.name)
        for attribute in use.chain:
            if not isinstance(module, ModuleType):
                return
            inner = self.outside.value(module.__name__, attribute)
            if isinstance(inner, ModuleType) and inner.__name__ == f"{module.__name__}.{attribute}":
                plain = use.name == inner.__name__.partition(".")[0]  # else bind no further name
                line = f"import {inner.__name__}" if plain else f"__import__({inner.__name__!r})"
                yield self._line(line, inner.__name__)
            module = inner

    def _import_of(self, name: str, value: object) -> Part | None:
        """An import, when the object is what its own module holds under its own name."""
        called = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        homes = [getattr(value, "__module__", None)]
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, ModuleType):  # random.randint is a bound method
            called = getattr(value, "__name__", called)
            homes.append(type(owner).__module__)
        for home in homes:
            if not isinstance(home, str) or not isinstance(called, str) or home == MAIN:
                continue
            for module in _places(home):
                if self._reached_by(module, called) is value:
                    return self._import(module, called, name)
        return None

    def _reached_by(self, module: str, qualname: str) -> object:
        top, *rest = qualname.split(".")
        found = self.outside.value(module, top)
        for attribute in rest:
            found = getattr(found, attribute, _ABSENT)
        return found

    def _import_written(self, name: str, value: object, asker: Statement) -> Part | None:
        """An import that a cell spells out, for objects that do not know where they live."""
        for where in self._scripts(asker):
            for module, attribute in where.imports.get(name, ()):
                if self.outside.value(module, attribute) is value:
                    return self._import(module, attribute, name)
        return None

    # ------------------------------------------------------------------ the user's modules

    def _module(self, name: str) -> WholeModule:
        key = ("module", name)
        if key in self.parts:
            return self.parts[key]  # type: ignore[return-value]
        source = self.outside.text_of_module(name)
        if source is None:
            raise refusals.no_module_source(name)
        where = script(source)
        code = frozenset(f"{name}: {normal(each)}" for each in where.body)
        part = self.parts[key] = WholeModule(code=code, name=name, script=where)
        package = str((self.outside.names(name) or {}).get("__package__") or name)
        for index, node in enumerate(where.body):
            at_once = [each for each in statements([node]) if isinstance(each, ast.Import | ast.ImportFrom)]
            parents = self._with_parents(name)[:-1] if not index else []
            part.loads[node] = [*parents, *self._modules_in(at_once, where, package)]
        every = self._modules_in(list(where.body), where, package)
        part.needs = [(None, each) for each in dict.fromkeys([*self._with_parents(name)[:-1], *every])]
        return part

    def _with_parents(self, name: str) -> list[WholeModule]:
        """A module behind the packages that it is in; a package without a file has no code to run."""
        pieces = name.split(".")
        parents = [".".join(pieces[:count]) for count in range(1, len(pieces))]
        filed = [each for each in parents if isinstance(self.outside.value(each, "__file__"), str)]
        return [self._module(each) for each in (*filed, name)]

    def _modules_in(self, nodes: list[ast.stmt], where: Script, package: str) -> Iterator[WholeModule]:
        """The user's modules that these statements import, at any depth."""
        allowed: set[ast.stmt] | None = None
        for module, attribute, _, node in imported(nodes, package):
            if module in ("", MAIN) or self.outside.is_library(module):
                continue
            if self.outside.names(module) is None:
                allowed = guarded(where.body) if allowed is None else allowed
                if node not in allowed:
                    raise refusals.module_not_here(module, where.source.label, node.lineno)
                continue
            file = self.outside.value(module, "__file__")
            if isinstance(file, str):
                yield from self._with_parents(module)
            inner = self.outside.value(module, attribute)
            if isinstance(inner, ModuleType) and inner.__name__ == f"{module}.{attribute}":
                yield from self._with_parents(inner.__name__)

    # ------------------------------------------------------------------ definitions

    def _scripts(self, asker: Statement | None) -> Iterator[Script]:
        """The texts that may hold a definition, the likeliest first."""
        known = (each.script.source for each in self.parts.values() if isinstance(each, Statement))
        asking = [asker.script.source] if asker else []
        own = self.outside.text_of_module(MAIN)
        for source in dict.fromkeys([*self.outside.texts(), *asking, *known, *([own] if own else [])]):
            try:
                yield script(source)
            except DefinitionError:
                continue  # another cell's trouble is not this elf's

    def _sources_of(self, cls: type, asker: Statement | None) -> Iterator[SourceText]:
        for filename in class_filenames(cls):
            if source := self.outside.text_of(filename):
                yield source
        if cls.__module__ == MAIN:
            yield from (each.source for each in self._scripts(asker))
        elif source := self.outside.text_of_module(cls.__module__):
            yield source

    def _class_statement(self, cls: type, name: str, asker: Statement | None) -> Part | None:
        for source in self._sources_of(cls, asker):
            where = script(source)
            if node := find_class(cls, where):
                return self._named(where, node, name, cls)
        return None

    def _definition_of(self, name: str, value: object, asker: Statement) -> Part | None:
        if isinstance(value, type):
            return self._class_statement(value, name, asker) if value.__module__ == MAIN else None
        functions = [each for each in functions_in(value) if each.__module__ == MAIN]
        for function in functions:
            source = self.outside.text_of(function.__code__.co_filename)
            node = find_function(function, script(source)) if source else None
            if source and node and (part := self._named(script(source), node, name, value)):
                return part
            if source is None and function is value and not self._assignment_of(name, value, asker):
                raise refusals.no_source(name)
        return None

    def _named(self, where: Script, node: ast.stmt, name: str, value: object) -> Part | None:
        """The statement when it binds `name`, else a second name for what it binds."""
        if name in given(node):
            again = rebindings(where, node, name)
            bare = isinstance(node, FUNCTIONS) and not node.decorator_list and not again
            if bare and not isinstance(value, FunctionType):
                return self._made_anew(where, node, name)
            return self._statement(where, [node, *again], value)
        for other in given(node):
            if self.main.get(other) is value:
                part = Alias(code=frozenset([f"{name} = {other}"]), line=f"{name} = {other}")
                first = self._statement(where, [node, *rebindings(where, node, other)], value)
                part.needs.append((None, first))
                return part
        return None

    def _made_anew(self, where: Script, node: ast.stmt, name: str) -> Part | None:
        """The statement of another cell that turned a function into something else: `f = cache(f)`."""
        for other in self._scripts(None):
            again = other.binding(name)
            right = assigned(again, name)
            if again and right is not None and name in names_in(right):
                part = self._statement(other, [again], None)
                before = self._statement(where, [node], None)
                part.needs.append((Use(name, again.lineno, now=True), before))
                return part
        return None

    def _assignment_of(self, name: str, value: object, asker: Statement) -> Part | None:
        """The newest statement that gives `name`, if it is seen to give this value."""
        if not holds_code(value):
            return None
        for where in self._scripts(asker):
            if node := where.binding(name):
                right = assigned(node, name)
                decorated = callable(value) and bool(getattr(node, "decorator_list", ()))
                if decorated or (right and gives(right, value, self.main, where.source.filename)):
                    return self._statement(where, [node], value)
                return None
        return None

    def _statement(self, where: Script, nodes: list[ast.stmt], value: object) -> Statement:
        lines = tuple(dict.fromkeys(span(each) for each in nodes))
        key = ("lines", where.source.filename, lines)
        if key in self.parts:
            return self.parts[key]  # type: ignore[return-value]
        every = [each for pair in lines for each in where.sharing(pair)]
        found, stored = uses(where.future + every, where.source.filename)
        code = frozenset(normal(each) for each in where.future + every)
        part = Statement(code=code, script=where, lines=lines, nodes=every, uses=found, stored=stored)
        self.parts[key] = part
        self._todo.append(part)
        for source, node in extensions(where, nodes[0], value, self.outside.text_of):
            part.needs.append((None, self._statement(source, [node], None)))
        return part

    # ------------------------------------------------------------------ values

    def _captured(self, name: str, value: object, asker: Statement, use: Use) -> Captured:
        try:
            ref = self.outside.encode(value)
        except Exception as error:
            path, type_name = getattr(error, "path", None), getattr(error, "type_name", None)
            if type_name is None:
                raise
            raise refusals.cannot_send(asker, use, value, str(path or ""), str(type_name)) from None
        classes = sorted(classes_of(value, MAIN), key=lambda each: each.__qualname__)
        told = portrait(value, MAIN) if classes else None
        code = frozenset([f"{name} = {told or ref.digest}"])
        part = Captured(code=code, capture=Capture(name, MAIN, ref))
        for cls in classes:
            # with its class there, the value is made of that class and not of a copy of it
            here = self.main.get(cls.__name__) is cls
            if here and (made := self._class_statement(cls, cls.__name__, asker)):
                part.needs.append((None, made))
        return part


def _places(home: str) -> Iterator[str]:
    """The modules to import from, the most public first: `sklearn.svm` before `sklearn.svm._classes`."""
    parts = home.split(".")
    if parts[0] == _OWN_PACKAGE:
        yield _OWN_PACKAGE
    private = next((index for index, part in enumerate(parts) if index and part.startswith("_")), 0)
    if private:
        yield ".".join(parts[:private])
    yield home
