"""What a statement needs and gives, against a table and against Python itself."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from elfbook.code.statements import attributes, given, guarded, imported, methods, normal, uses


def parsed(text: str) -> list[ast.stmt]:
    return ast.parse(textwrap.dedent(text)).body


def needed(text: str) -> str:
    """The names, those needed at once with an exclamation mark."""
    found, _ = uses(parsed(text), "cell")
    names = {each.name + ("!" if each.now else "") for each in found}
    return " ".join(sorted(names - {"__name__!", "__annotations__!"}))


NEEDS = [
    ("def f(): return g()", "g"),
    ("def f(x): y = x; return y", ""),
    ("def f(x=A, *, y=B): pass", "A! B!"),
    ("def f(x: T) -> R: pass", "R! T!"),
    ("from __future__ import annotations\ndef f(x: T) -> R: v: U = W", "W"),
    ("def f(): v: U = 1", ""),
    ("@d(E)\ndef f(): pass", "E! d!"),
    ("class C(B, metaclass=M): pass", "B! M!"),
    ("class C:\n  x = A\n  y = x\n  def m(self): return x", "A! x"),
    ("class C:\n  y = [q for q in A if q in B]", "A! B!"),
    ("class C:\n  x: T = V", "T! V!"),
    ("class C:\n  def m(self): return super().m(), __class__", "super"),
    ("class C:\n  def m(self): return __secret()", "_C__secret"),
    ("def f(): return [x for x in xs if x > y]", "xs y"),
    ("def f(): return (lambda a: a + b)(1)", "b"),
    ("def f():\n  def g(): return h\n  h = 1\n  return g", ""),
    ("def f():\n  def g():\n    nonlocal n\n    n = m\n  n = 1\n  return g", "m"),
    ("def f():\n  global G\n  G = 1\n  return G", "G"),
    ("def f():\n  if (n := m()): return n", "m"),
    ("def f():\n  try: pass\n  except E as e: return e", "E"),
    ("def f():\n  import os\n  from a import b\n  return os, b", ""),
    ("def f():\n  with a() as b, c: return b", "a c"),
    ("def f(v):\n  match v:\n    case {'k': x, **r}: return x, r\n    case P(y) | [y, *_]: return y", "P"),
    ("def f(v):\n  match v:\n    case m.C: pass", "m"),
    ("def f():\n  for i in range(n): del i", "n range"),
    ("async def f():\n  async for x in a: await b(x)", "a b"),
    ("f = lambda x, y=A: x + B", "A! B"),
    ("x = g(h)", "g! h!"),
    ("a = 1; b = lambda: a; c = a", "a"),
    ("def f(): return f'{x!r:>{w}}'", "w x"),
    ("def f():\n  if False: return gone", ""),
    ("class A:\n  class B:\n    x = C\n    def m(self): return D", "C! D"),
]


@pytest.mark.parametrize(("text", "expected"), NEEDS)
def test_needed_names(text: str, expected: str) -> None:
    assert needed(text) == expected


def test_a_use_knows_its_line_its_method_and_its_attributes() -> None:
    found, stored = uses(
        parsed("""\
        class C:
            def task_a(self):
                global seen
                seen = 1
                return os.path.join(
                    one)

            def b(self): return [two.x for _ in range(1)]

            class Inner:
                def b(self): return three
        """),
        "cell",
    )
    rows = {each.name: (each.line, each.member, each.chain) for each in found}
    assert rows["os"] == (5, "task_a", ("path", "join"))
    assert rows["one"] == (6, "task_a", ())
    assert rows["two"] == (8, "b", ("x",))
    assert rows["three"] == (11, "<class>", ())
    assert stored == {"seen"}


GIVES = [
    ("def f(x): y = 1", "f"),
    ("class C:\n  x = 1", "C"),
    ("a = b = 1", "a b"),
    ("a, (b, *c) = d", "a b c"),
    ("a.b = c[d] = 1", ""),
    ("x: int = 1", "x"),
    ("x += 1", "x"),
    ("import a.b, c as d", "a d"),
    ("from a import b as c, d", "c d"),
    ("for i, j in x: k = 1", "i j k"),
    ("with a as b: pass", "b"),
    ("try:\n  x = 1\nexcept E as e:\n  y = 1\nelse:\n  z = 1\nfinally:\n  w = 1", "e w x y z"),
    ("if a:\n  def f(): g = 1\nelse: h = 1", "f h"),
    ("(n := [i for i in x])", "n"),
    ("[m := i for i in x]", "m"),
    ("f = lambda: (q := 1)", "f"),
    ("match v:\n  case {'a': x, **rest}: pass\n  case [y, *z] as w: pass", "rest w x y z"),
    ("del x", ""),
    ("print(x)", ""),
]


@pytest.mark.parametrize(("text", "expected"), GIVES)
def test_given_names(text: str, expected: str) -> None:
    assert " ".join(sorted(given(parsed(text)[0]))) == expected


IMPORTS = [
    ("import a.b.c", "", [("a.b.c", "", "a")]),
    ("import a.b as x, c", "", [("a.b", "", "x"), ("c", "", "c")]),
    ("from a.b import c as d", "", [("a.b", "c", "d")]),
    ("from . import x", "pkg.sub", [("pkg.sub", "x", "x")]),
    ("from ..other import x", "pkg.sub", [("pkg.other", "x", "x")]),
    ("def f():\n  import deep", "", [("deep", "", "deep")]),
]


@pytest.mark.parametrize(("text", "package", "expected"), IMPORTS)
def test_imports(text: str, package: str, expected: list[tuple[str, str, str]]) -> None:
    assert [each[:3] for each in imported(parsed(text), package)] == expected


def test_an_import_in_a_try_may_fail_on_purpose() -> None:
    body = parsed("import a\ntry:\n  import b\nexcept ImportError:\n  import c")
    assert [ast.unparse(each) for each in guarded(body)] == ["import b"]


def test_methods_of_a_class() -> None:
    node = parsed("""\
    class C:
        x = 1
        f = lambda self: 1
        if x:
            def g(self): pass
        @property
        def p(self): pass
        @p.setter
        def p(self, v): pass
        async def h(self): pass
    """)[0]
    assert {name: len(found) for name, found in methods(node).items()} == {"f": 1, "g": 1, "p": 2, "h": 1}


SELF = [
    ("def m(self): return self.a.b", {"a", "b"}, False),
    ("def m(me): return me.a", {"a"}, False),
    ("def m(self): return getattr(self, 'x')", set(), True),
    ("def m(self):\n  def g(): return self\n  return g", set(), True),
    ("def m(self): return super().x()", {"x"}, False),
    ("def m(): return self", set(), False),
]


@pytest.mark.parametrize(("text", "names", "escapes"), SELF)
def test_what_a_method_does_with_self(text: str, names: set[str], escapes: bool) -> None:
    assert attributes(parsed(text)[0]) == (names, escapes)


SAME = [
    ("def f(x): return x + 1", 'def f( x ):\n    "Doc."\n    # why\n    return (x +\n            1)'),
    ("x = 'ab'", 'x = "a" "b"'),
    ("class C: pass", "class C:\n\n    pass  # nothing"),
]
DIFFERENT = [
    ("def f(x): return x + 1", "def f(x): return x + 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("x = 'a'", "x = b'a'"),
    ("def f(): return", "def f(): return None"),
    ("def f(): return (1, 2)", "def f(): return [1, 2]"),
    ("def f(x, /): pass", "def f(x): pass"),
    ("def f(x=1): pass", "def f(*, x=1): pass"),
    ("f(*a)", "f(**a)"),
    ("x = {**a}", "x = {None: a}"),
    ("f'{x!r}'", "f'{x!s}'"),
    ("async def f(): pass", "def f(): pass"),
    ("@d\ndef f(): pass", "def f(): pass"),
    ("def f(): x = 'doc'", "def f(): 'doc'"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_normal_form_forgets_layout(one: str, other: str) -> None:
    assert normal(parsed(one)[0]) == normal(parsed(other)[0])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_the_normal_form_keeps_meaning(one: str, other: str) -> None:
    assert normal(parsed(one)[0]) != normal(parsed(other)[0])


@for_all(st.recursive(
    st.sampled_from(["one", "two", "1", "None", "'x'", "1.5"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner)
    | st.builds("[{}, {}]".format, inner, inner)
    | st.builds("f({}, k={})".format, inner, inner)
    | st.builds("(lambda one: {})".format, inner),
    max_leaves=8,
))
def test_the_normal_form_agrees_with_python(text: str) -> None:
    tree, again = ast.parse(text).body[0], ast.parse(ast.unparse(ast.parse(text))).body[0]
    assert normal(tree) == normal(again)
    other = ast.parse(text.replace("one", "two", 1)).body[0]
    assert (normal(tree) == normal(other)) == (ast.dump(tree) == ast.dump(other))
