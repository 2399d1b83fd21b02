"""What may be typed, as the page's table: with it JupyterLab completes without a kernel.

`python -m elfbook.entry.typescript > extension/lab/vocabulary.ts`
"""

from __future__ import annotations

import json
import sys

from elfbook.notebook.grammar import Flag, Operand, Verb
from elfbook.notebook.vocabulary import DEFINE, FLOW, VERBS

HEAD = """// Made from elfbook/notebook/vocabulary.py by `python -m elfbook.entry.typescript`; do not edit.

import type { Verb } from "./completion";
"""


def typescript() -> str:
    """The verbs of `%elf`, and what may stand after `%%elf`, as values of TypeScript."""
    verbs = "".join(f"  {name}: {written(verb)},\n" for name, verb in VERBS.items())
    return (
        f"{HEAD}\nexport const VERBS: Readonly<Record<string, Verb>> = {{\n{verbs}}};\n"
        f"\nexport const DEFINE: Verb = {written(DEFINE)};\n"
        f"\nexport const FLOW: Verb = {written(FLOW)};\n"
    )


def written(verb: Verb) -> str:
    """The verb as JSON; what is as by default is left out."""
    places = [kind(place) for place in verb.places]
    table = {"words": verb.words, "places": places, "flags": [flag_of(flag) for flag in verb.flags]}
    return json.dumps(table, ensure_ascii=False)


def flag_of(flag: Flag) -> dict[str, object]:
    """The flag, with `takes` when a value must follow it."""
    told: dict[str, object] = {"name": flag.name, "words": flag.words}
    extra = {
        "takes": bool(flag.metavar and not flag.optional),
        "many": flag.many,
        "of": kind(flag),
        "values": list(flag.words_of),
    }
    return told | {name: value for name, value in extra.items() if value}


def kind(wanted: Flag | Operand) -> str:
    """Words of which kind can stand there: `run`, `job`, `flow`; empty for any."""
    return "flow" if wanted.name == "name" else wanted.of


if __name__ == "__main__":
    sys.stdout.write(typescript())
