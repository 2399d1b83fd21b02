"""How a magic's line is read: words, flags, and what is said of those that do not fit."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from elfbook.errors import ElfUsageError
from elfbook.wire import limit_parts

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?")
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?b)", re.IGNORECASE)
SIZE_UNITS = ("b", "kb", "mb", "gb", "tb")
FLOW_NAME = re.compile(r"[^\W\d][\w-]{0,63}")
FLOW_REFERENCE = re.compile(r"[^\W\d][\w-]*(?:\.\d+)?")
NEAR = 0.5
"""Likeness from which another word is offered in place of a mistyped one."""


def seconds(text: str) -> float:
    """The length of time that `90`, `90s`, `1.5m`, `2h` or `500ms` says."""
    match = DURATION.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a length of time such as 90s or 10m")
    return float(match[1]) * UNIT_S[match[2] or "s"]


def size_in_bytes(text: str) -> int:
    """The number of bytes that `10GB`, `500 MB` or `1.5tb` says."""
    match = SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a size such as 500MB or 10GB")
    return int(float(match[1]) * 1000 ** SIZE_UNITS.index(match[2].lower()))


def whole(text: str) -> int:
    """The number, when it is one from 0."""
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def word(text: str) -> str:
    """The text as it is."""
    return text


def limit(text: str) -> str:
    """The text, when it is a limit such as `api:3`."""
    try:
        limit_parts(text)
    except ElfUsageError as error:
        raise ValueError(str(error)) from None
    return text


def choice(*words: str) -> Callable[[str], str]:
    """Reads one of these words."""

    def read(text: str) -> str:
        if text not in words:
            near = nearest(text, words)
            meant = f"; did you mean {near}?" if near else ""
            raise ValueError(f"{text!r} is none of {', '.join(words)}{meant}")
        return text

    return read


def flow_name(text: str) -> str:
    """The text, when a flow can be called so."""
    if FLOW_NAME.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a name for a flow: letters, digits, `_` and `-`, no digit first")
    return text


def variable(text: str) -> str:
    """The text, when a variable can be called so."""
    if not text.isidentifier():
        raise ValueError(f"{text!r} is not a name for a variable")
    return text


@dataclass(frozen=True)
class Flag:
    """One option of a verb or cell."""

    name: str
    words: str
    """What it does, in one phrase."""
    metavar: str = ""
    """Stands for the flag's value; empty when it takes none."""
    read: Callable[[str], object] = word
    optional: bool = False
    """True when the value may be left out; the flag then counts as True."""
    many: bool = False
    """True when it may be given several times; the values come as a list."""
    of: str = ""
    """What Tab offers as value: `elf`, `kernel`."""
    words_of: tuple[str, ...] = ()
    """The values that there are, when they are few."""

    @property
    def key(self) -> str:
        """Its name in the parsed arguments."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def usage(self) -> str:
        """`--wait [SEC]`."""
        value = f"[{self.metavar}]" if self.optional else self.metavar
        return f"{self.name} {value}".rstrip()


@dataclass(frozen=True)
class Operand:
    """One positional word of a verb."""

    name: str
    required: bool = True
    read: Callable[[str], object] = word
    of: str = ""
    """What Tab offers: `run`, `job`, `active`, `failed`, `verb`."""

    @property
    def usage(self) -> str:
        return self.name.upper() if self.required else f"[{self.name.upper()}]"


@dataclass(frozen=True)
class Verb:
    """One act: how it is called, what it does, an example or two that work."""

    name: str
    words: str
    """What holds after it, in one sentence."""
    places: tuple[Operand, ...] = ()
    flags: tuple[Flag, ...] = ()
    examples: tuple[str, ...] = ()
    twin: str = ""
    """The same in Python."""
    more: str = ""
    start: str = "%elf"

    @property
    def usage(self) -> str:
        """`%elf retry X [options]`."""
        parts = [self.start, self.name, *(place.usage for place in self.places)]
        return " ".join(part for part in [*parts, "[options]" if self.flags else ""] if part)


def split(line: str) -> list[str]:
    """The words of a magic's line: quotes as in a shell; a `# comment` and a last `;` are dropped."""
    lexer = shlex.shlex(without_end(line), posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return list(lexer)
    except ValueError:
        raise ElfUsageError(
            "a quotation mark is never closed", hint='Close it, or put the whole text in " ".'
        ) from None


def silenced(line: str) -> bool:
    """True when the line ends with `;`, a comment aside."""
    return without_comment(line).endswith(";")


def without_end(line: str) -> str:
    """The line without its comment and its last `;`."""
    return without_comment(line).rstrip(";").rstrip()


def without_comment(line: str) -> str:
    """The line up to a `#` that begins a word outside quotation marks."""
    quote = ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place].rstrip()
    return line.rstrip()


@dataclass
class Arguments:
    """What was typed, read."""

    verb: Verb
    given: dict[str, object] = field(default_factory=dict)

    def __getitem__(self, key: str) -> object:
        return self.given.get(key)

    def text(self, key: str) -> str:
        """The word given for `key`, empty when there is none."""
        return str(self.given.get(key) or "")

    def flag(self, key: str) -> bool:
        """True when the flag was given."""
        return bool(self.given.get(key))


def parse(words: list[str], verb: Verb) -> Arguments:
    """The words after the verb, read as its table says; ElfUsageError says what does not fit."""
    flags = {flag.name: flag for flag in verb.flags}
    given: dict[str, object] = {}
    loose: list[str] = []
    rest = list(words)
    while rest:
        text = rest.pop(0)
        name, equals, value = text.partition("=")
        if not name.startswith("-") or name == "-":
            loose.append(text)
        elif name not in flags:
            raise unknown("flag", name, flags, hint=help_line(verb))
        else:
            flag = flags[name]
            read = read_flag(flag, value if equals else None, rest, verb)
            if flag.many:
                given.setdefault(flag.key, []).append(read)
            else:
                given[flag.key] = read
    return Arguments(verb, given | read_places(loose, verb))


def read_flag(flag: Flag, value: str | None, rest: list[str], verb: Verb) -> object:
    """The flag's value, taken from behind `=` or from the words that follow."""
    if not flag.metavar:
        if value is not None:
            raise ElfUsageError(f"`{flag.name}` takes no value", hint=help_line(verb))
        return True
    if (
        value is None
        and rest
        and not (rest[0].startswith("--") or (flag.optional and not fits(flag, rest[0])))
    ):
        value = rest.pop(0)
    if value is None:
        if flag.optional:
            return True
        raise ElfUsageError(f"`{flag.name}` needs a value: {flag.usage}", hint=help_line(verb))
    return checked(flag.read, value, f"`{flag.name}`", verb)


def read_places(loose: list[str], verb: Verb) -> dict[str, object]:
    """The positional words under their names."""
    needed = [place.usage for place in verb.places if place.required]
    if len(loose) > len(verb.places):
        raise ElfUsageError(
            f"`{loose[len(verb.places)]}` is one word too many: {verb.usage}", hint=help_line(verb)
        )
    if len(loose) < len(needed):
        raise ElfUsageError(f"{needed[len(loose)]} is missing: {verb.usage}", hint=help_line(verb))
    return {
        place.name: checked(place.read, text, place.usage, verb)
        for place, text in zip(verb.places, loose, strict=False)
    }


def checked(read: Callable[[str], object], text: str, what: str, verb: Verb) -> object:
    """The text read; what does not fit is said in the user's words."""
    try:
        return read(text)
    except ValueError as error:
        raise ElfUsageError(f"{what}: {error}", hint=help_line(verb)) from None


def fits(flag: Flag, text: str) -> bool:
    """True when the text can be the flag's value."""
    try:
        flag.read(text)
    except ValueError:
        return False
    return True


def help_line(verb: Verb) -> str:
    """Where to read on."""
    return f"See  %elf help {verb.name or 'elf'}"


def unknown(
    kind: str, text: str, known: Iterable[str] | Mapping[str, object], *, hint: str = ""
) -> ElfUsageError:
    """The error for a word that is none of the known ones; it offers the nearest."""
    names = list(known)
    near = nearest(text, names)
    if near:
        return ElfUsageError(f"unknown {kind} `{text}`; did you mean `{near}`?", hint=hint)
    listed = ", ".join(f"`{name}`" for name in names[:12])
    return ElfUsageError(f"unknown {kind} `{text}`" + (f"; there are {listed}" if listed else ""), hint=hint)


def nearest(text: str, names: Iterable[str]) -> str:
    """The name most like the text; empty when none is."""
    found = difflib.get_close_matches(text, list(names), n=1, cutoff=NEAR)
    return found[0] if found else ""
