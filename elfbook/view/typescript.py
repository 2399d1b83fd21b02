"""The page's types from messages.py: `python -m elfbook.view.typescript > extension/src/messages.ts`.

From panelmessages.py: `python -m elfbook.view.typescript panelmessages > extension/lab/panelmessages.ts`.

A message is an interface with its `kind`, so that TypeScript tells messages apart by it. A field that
has a default here is optional there, because whatever is as by default is not sent.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator

from elfbook.view import messages, panelmessages

MADE = "// Made from elfbook/view/{}.py by `python -m elfbook.view.typescript{}`; do not edit."
HEAD = MADE.format("messages", "")
PANEL_HEAD = MADE.format("panelmessages", " panelmessages")
PLAIN = {"str": "string", "int": "number", "float": "number", "bool": "boolean"}
MARKERS = ("Told", "Asked", "News", "Wish")
"""Classes that only say which way a message goes; of each there is a union at the end of the file."""


def typescript(source: str, head: str = HEAD) -> str:
    """The declarations for the classes, literals and unions of a Python module, in its order."""
    body = ast.parse(source).body
    parts = [head]
    for statement, after in zip(body, [*body[1:], None], strict=True):
        parts += declarations(statement, doc_of(after))
    return "\n\n".join(parts) + "\n"


def declarations(statement: ast.stmt, doc: str) -> Iterator[str]:
    """What one statement becomes; most become nothing."""
    match statement:
        case ast.ImportFrom(module="elfbook.view.messages", names=names):
            taken = sorted((type_of(ast.Name(each.name)) for each in names), key=str.lower)
            yield f'import type {{ {", ".join(taken)} }} from "../src/messages";'
        case ast.ClassDef(name=name) if name not in MARKERS:
            yield interface(statement)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Tuple(elts=[ast.Call(), *_] as rows)):
            table = "".join(f"  {row_of(row)},\n" for row in rows)
            yield f"{comment(doc)}export const {name}: readonly {rows[0].func.id}[] = [\n{table}];"
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Tuple() as value):
            literals = json.dumps(ast.literal_eval(value))
            yield f"{comment(doc)}export const {name} = [{literals[1:-1]}] as const;"
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp() as value):
            yield f"export type {name.capitalize()} = {type_of(value)};"
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() as value):
            yield f"{comment(doc)}export type {name} = {type_of(value)};"


def interface(node: ast.ClassDef) -> str:
    """The class as an interface, what it and its fields say of themselves as comments."""
    lines = [f"{comment(ast.get_docstring(node) or '')}export interface {node.name} {{"]
    tag = next((word.value for word in node.keywords if word.arg == "tag"), None)
    if tag is not None:
        lines.append(f"  kind: {json.dumps(ast.literal_eval(tag))};")
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            mark = "?" if field.value is not None else ""
            said = comment(doc_of(after), "  ")
            lines.append(f"{said}  {field.target.id}{mark}: {type_of(field.annotation)};")
    return "\n".join([*lines, "}"])


def row_of(call: ast.expr) -> str:
    """A struct that a table has, written with the names of its fields, as an object."""
    return json.dumps({word.arg: ast.literal_eval(word.value) for word in call.keywords})  # type: ignore[attr-defined]


def doc_of(statement: ast.stmt | None) -> str:
    """The text of a statement that is nothing but a text."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return ""


def comment(doc: str, indent: str = "") -> str:
    """The text as a comment that goes before what it is about; nothing for none."""
    lines = doc.splitlines()
    if len(lines) <= 1:
        return f"{indent}/** {doc} */\n" if doc else ""
    return "\n".join([f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */\n"])


def type_of(node: ast.expr) -> str:
    """A Python annotation as a TypeScript type; LookupError for one that no message has had so far."""
    match node:
        case ast.Constant(value=None):
            return "null"
        case ast.Name(id=name):
            return PLAIN.get(name, name.capitalize() if name.isupper() else name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{type_of(left)} | {type_of(right)}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            words = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return " | ".join(json.dumps(ast.literal_eval(word)) for word in words)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[item, ast.Constant()])):
            inner = type_of(item)
            return f"({inner})[]" if " " in inner and not inner.startswith("[") else f"{inner}[]"
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=items)):
            return f"[{', '.join(map(type_of, items))}]"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, value])):
            return f"Record<{type_of(key)}, {type_of(value)}>"
    raise LookupError(f"no TypeScript for {ast.unparse(node)}")


if __name__ == "__main__":
    of_panel = sys.argv[1:] == ["panelmessages"]
    made = inspect.getsource(panelmessages if of_panel else messages)
    sys.stdout.write(typescript(made, PANEL_HEAD if of_panel else HEAD))
