"""What a revision was read from, so that an elf is read again only when something of that has changed.

Whatever reading an elf asks of the process goes through `Evidence`, which notes the answers. They are
compared one by one before a revision is used again: names must mean the very same objects, functions
must have the same code, classes the same attributes, texts the same lines. An object that can change
without its name being bound anew is encoded again, and its bytes are compared. Where even that would
not tell (an object whose inside was looked at to find the statement that made it), nothing is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import is_
from types import BuiltinFunctionType, FunctionType, ModuleType

from elfbook.code.closure import Closure, Outside
from elfbook.code.locate import SourceText, functions_in
from elfbook.code.parts import MAIN, Alias, Captured, Statement
from elfbook.model import ValueRef

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_FIXED = (*_PLAIN, FunctionType, BuiltinFunctionType, ModuleType, type)
_CACHED = type(functools.lru_cache(lambda: None))
_ABSENT = object()

Check = Callable[[], bool]


class Noted(Mapping[str, object]):
    """A module's names, with a note of those that were looked up and what they meant."""

    __slots__ = ("_names", "seen")

    def __init__(self, names: Mapping[str, object]) -> None:
        self._names = names
        self.seen: dict[str, object] = {}

    def __getitem__(self, name: str) -> object:
        value = self.seen[name] = self._names.get(name, _ABSENT)
        if value is _ABSENT:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def stands(self, names: Mapping[str, object] | None) -> bool:
        """True if every name that was looked up means the same object."""
        if names is None:
            return False
        get = names.get
        return all(get(name, _ABSENT) is value for name, value in self.seen.items())


class Evidence:
    """The answers that one reading was given, and whether they would be given again."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._spaces: dict[str, Noted | None] = {}
        self._texts: dict[str, SourceText | None] = {}
        self._every: tuple[SourceText, ...] | None = None
        self._libraries: dict[str, bool] = {}
        self._checks: list[Check] = []
        self.complete = False
        """True when what was noted is enough to tell that the revision still holds."""

    def outside(self) -> Outside:
        """The same process, asked through this."""
        return Outside(self._text_of, self._names, self._outside.encode, self._is_library, self._all_texts)

    def stands(self) -> bool:
        """True if reading again would be told the same, and so give the same revision."""
        if not self.complete:
            return False
        ask = self._outside
        return (
            all(
                (noted is None and ask.names(module) is None)
                or (noted is not None and noted.stands(ask.names(module)))
                for module, noted in self._spaces.items()
            )
            and all(check() for check in self._checks)
            and all(ask.text_of(filename) == text for filename, text in self._texts.items())
            and all(ask.is_library(module) is told for module, told in self._libraries.items())
            and (self._every is None or tuple(ask.texts()) == self._every)
        )

    # ------------------------------------------------------------------ questions

    def _names(self, module: str) -> Noted:
        if module not in self._spaces:
            names = self._outside.names(module)
            self._spaces[module] = None if names is None else Noted(names)
        noted = self._spaces[module]
        if noted is None:
            raise KeyError(module)
        return noted

    def _text_of(self, filename: str) -> SourceText | None:
        if filename not in self._texts:
            self._texts[filename] = self._outside.text_of(filename)
        return self._texts[filename]

    def _is_library(self, module: str) -> bool:
        if module not in self._libraries:
            self._libraries[module] = self._outside.is_library(module)
        return self._libraries[module]

    def _all_texts(self) -> Iterable[SourceText]:
        if self._every is None:
            self._every = tuple(self._outside.texts())
        return self._every

    # ------------------------------------------------------------------ objects

    def close(self, cls: type, closure: Closure) -> None:
        """Nothing more will be asked: note what the objects are like that were met."""
        met = [value for space in self._spaces.values() if space for value in space.seen.values()]
        classes = dict.fromkeys([*cls.__mro__, *(value for value in met if isinstance(value, type))])
        found = [_of_class(each) for each in classes if not self._is_library(each.__module__)]
        main = self._spaces.get(MAIN)
        for name, value in (main.seen if main else {}).items():
            part = closure.parts.get(("name", name))
            if isinstance(part, Captured) and type(value) not in _PLAIN:
                found.append(self._of_value(value, part.capture.value))
            elif isinstance(part, Statement | Alias) and not isinstance(value, type):
                found.append(_of_function(value))
        self._checks = [check for check in found if check is not None]
        self.complete = len(self._checks) == len(found)

    def _of_value(self, value: object, ref: ValueRef) -> Check:
        return lambda: self._outside.encode(value).digest == ref.digest


def _of_class(cls: type) -> Check:
    """The class still has the attributes it had, and they are made of the same functions."""
    names, values, bases = [*vars(cls)], [*vars(cls).values()], cls.__bases__
    functions = [each for value in values for each in functions_in(value)]
    codes = [each.__code__ for each in functions]

    def check() -> bool:
        now = vars(cls)
        return (
            [*now] == names
            and all(map(is_, now.values(), values))
            and cls.__bases__ == bases
            and all(each.__code__ is code for each, code in zip(functions, codes, strict=True))
        )

    return check


def _of_function(value: object) -> Check | None:
    """A function still has the code, and closes over the objects, that it had; None if that says little."""
    if not isinstance(value, FunctionType | _CACHED) or hasattr(value, "registry"):
        return None
    functions = [*functions_in(value)]
    cells = [cell for each in functions for cell in each.__closure__ or ()]
    held = [_held(cell) for cell in cells]
    if not all(isinstance(each, _FIXED) for each in held):
        return None
    codes = [each.__code__ for each in functions]

    def check() -> bool:
        now = [*functions_in(value)]
        return (
            len(now) == len(functions)
            and all(map(is_, now, functions))
            and all(each.__code__ is code for each, code in zip(functions, codes, strict=True))
            and all(_held(cell) is each for cell, each in zip(cells, held, strict=True))
        )

    return check


def _held(cell: object) -> object:
    try:
        return cell.cell_contents  # type: ignore[attr-defined]
    except ValueError:  # nothing yet
        return None
