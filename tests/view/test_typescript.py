"""The page's types are made from messages.py, and those that are committed are the ones that come of it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import msgspec
import pytest

from elfbook.view import messages, panelmessages
from elfbook.view.typescript import PANEL_HEAD, type_of, typescript

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_committed_types_are_fresh() -> None:
    made = typescript(inspect.getsource(messages))
    told = "run  python -m elfbook.view.typescript > extension/src/messages.ts"
    assert (ROOT / "extension" / "src" / "messages.ts").read_text() == made, told


def test_the_panels_committed_types_are_fresh() -> None:
    made = typescript(inspect.getsource(panelmessages), PANEL_HEAD)
    told = "run  python -m elfbook.view.typescript panelmessages > extension/lab/panelmessages.ts"
    assert (ROOT / "extension" / "lab" / "panelmessages.ts").read_text() == made, told


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("str", "string"),
        ("float | None", "number | null"),
        ("tuple[int, ...]", "number[]"),
        ("tuple[Verb, ...]", "Verb[]"),
        ("tuple[tuple[str, str], ...]", "[string, string][]"),
        ("tuple[int | str, ...]", "(number | string)[]"),
        ("tuple[Group, ...] | None", "Group[] | null"),
        ("dict[str, str]", "Record<string, string>"),
        ('Literal["a", "b"]', '"a" | "b"'),
        ('Literal["a"]', '"a"'),
        ("TOLD", "Told"),
    ],
)
def test_an_annotation_as_a_type(python: str, expected: str) -> None:
    assert type_of(ast.parse(python, mode="eval").body) == expected


def test_what_has_no_type_there_is_refused() -> None:
    with pytest.raises(LookupError, match="no TypeScript for set"):
        type_of(ast.parse("set[int]", mode="eval").body)


def test_every_message_has_its_interface_with_its_kind() -> None:
    made = typescript(inspect.getsource(messages))
    for cls in (*messages.TOLD.__args__, *messages.ASKED.__args__):
        tag = msgspec.inspect.type_info(cls).tag
        assert f'export interface {cls.__name__} {{\n  kind: "{tag}";\n' in made


def test_a_table_of_structs_is_a_list_of_objects() -> None:
    made = typescript('KINDS: tuple[Kind, ...] = (\n    Kind(name="a", dash=()),\n    Kind(name="b", dash=(5, 4)),\n)\n"""All."""\n')
    rows = '  {"name": "a", "dash": []},\n  {"name": "b", "dash": [5, 4]},\n'
    assert made.endswith(f"/** All. */\nexport const KINDS: readonly Kind[] = [\n{rows}];\n")


def test_every_message_of_the_panel_has_its_interface_with_its_kind() -> None:
    made = typescript(inspect.getsource(panelmessages), PANEL_HEAD)
    for cls in (*panelmessages.NEWS.__args__, *panelmessages.WISH.__args__):
        tag = msgspec.inspect.type_info(cls).tag
        assert f'export interface {cls.__name__} {{\n  kind: "{tag}";\n' in made


def test_a_field_with_a_default_may_be_missing() -> None:
    made = typescript('class A(Told, tag="a"):\n    """One."""\n    x: int\n    """Two\n    lines."""\n    y: str = ""\n')
    assert made.endswith(
        '/** One. */\nexport interface A {\n  kind: "a";\n  /**\n   * Two\n   * lines.\n   */\n  x: number;\n  y?: string;\n}\n'
    )
