"""What cells are called when IPython does not number them, as under nbval."""

from __future__ import annotations

from types import SimpleNamespace

from elfbook.notebook.texts import Texts


class Compiler:
    """As far as `Texts` asks IPython's: a name for each text, and a number for each name."""

    def __init__(self) -> None:
        self._filename_map: dict[str, int] = {}

    def get_code_name(self, raw: str, code: str, number: int) -> str:
        return f"<{raw}>"

    def ran(self, raw: str, number: int) -> str:
        self._filename_map[f"<{raw}>"] = number
        return f"<{raw}>"


def test_cells_without_history_are_counted_from_the_one_that_loaded_us() -> None:
    compiler = Compiler()
    texts = Texts(SimpleNamespace(execution_count=1, compile=compiler))
    texts.cell_begins("b", numbered=False)
    texts.cell_begins("c", numbered=False)
    names = [compiler.ran("b", 1), compiler.ran("c", 1)]
    assert [texts.label(name) for name in names] == ["Cell In[2]", "Cell In[3]"]


def test_cells_with_history_keep_ipythons_number() -> None:
    compiler = Compiler()
    shell = SimpleNamespace(execution_count=7, compile=compiler)
    texts = Texts(shell)
    shell.execution_count = 8
    texts.cell_begins("b", numbered=True)
    assert texts.label(compiler.ran("b", 8)) == "Cell In[8]"
