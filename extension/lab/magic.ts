// `%%elf` lines in code cells, set apart. The cell stays Python to the editor: a language of our own would cost
// completion, indentation and checks, and the parser of Python finds its way behind the line by itself.

import { type EditorState, type Extension, Prec, type Range } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import { partsOf } from "./magicline";

/** What the page's body says of the look (magiclook.ts). */
const BAR = "[data-elf-magic=bar] &";
const COLOURED = "[data-elf-magic]:not([data-elf-magic=plain]) &";

/** In Lab's own colours of code, so in any theme. Classes twice, to go before the language's own. */
const COLOURS = EditorView.baseTheme({
  [`${BAR} .elf-magic-line`]: { boxShadow: "inset 3px 0 var(--jp-mirror-editor-meta-color)", background: "var(--jp-layout-color2)" },
  [`${COLOURED} .elf-magic-line .elf-magic.elf-magic, ${COLOURED} .elf-magic-line .elf-magic.elf-magic *`]: {
    fontWeight: "normal",
    fontStyle: "normal",
    textDecoration: "none",
    color: "var(--jp-mirror-editor-variable-color)",
  },
  ...colour("magic", "meta", "bold"),
  ...colour("verb", "keyword", "bold"),
  ...colour("name", "def", "bold"),
  ...colour("option", "attribute"),
  ...colour("text", "string"),
  ...colour("number", "number"),
  ...colour("comment", "comment"),
});

function colour(kind: string, name: string, weight = "normal"): Record<string, Record<string, string>> {
  const own = `${COLOURED} .elf-magic-line .elf-magic .elf-magic-${kind}.elf-magic-${kind}`;
  return { [`${own}, ${own} *`]: { color: `var(--jp-mirror-editor-${name}-color)`, fontWeight: weight } };
}

/** The first line that is not empty, marked when `%%elf` begins it. */
export function marks(state: EditorState): DecorationSet {
  let line = state.doc.line(1);
  while (!line.text.trim() && line.number < state.doc.lines) line = state.doc.line(line.number + 1);
  const parts = partsOf(line.text);
  if (!parts.length) return Decoration.none;
  const found: Range<Decoration>[] = parts.map((part) =>
    Decoration.mark({ class: `elf-magic-${part.kind}` }).range(line.from + part.from, line.from + part.to),
  );
  const whole = Decoration.mark({ class: "elf-magic", inclusive: true }).range(line.from, line.to);
  return Decoration.set([Decoration.line({ class: "elf-magic-line" }).range(line.from), whole, ...found], true);
}

class Marks {
  decorations: DecorationSet;

  constructor(view: EditorView) {
    this.decorations = marks(view.state);
  }

  update(update: ViewUpdate): void {
    if (update.docChanged) this.decorations = marks(update.state);
  }
}

/** After the marks of the language, so that ours stand around those: each part is one element, whatever Python reads. */
export const magicLine: Extension = [Prec.lowest(ViewPlugin.fromClass(Marks, { decorations: (marks) => marks.decorations })), COLOURS];
