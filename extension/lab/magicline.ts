// The parts of a cell's `%%elf` line, read as `elfbook/notebook/grammar.py` reads it.

export type Kind = "magic" | "verb" | "name" | "option" | "text" | "number" | "comment";

export interface Part {
  readonly kind: Kind;
  readonly from: number;
  readonly to: number;
}

const MAGIC = /^\s*(%%elf)(?!\S)/;
const WORD = /(?:"[^"]*"?|'[^']*'?|[^\s"'])+/y;
const NUMBER = /^\d+(\.\d+)?(ms|s|m|min|h|d|[kmgt]?b)?$/i;

/** What stands where in the line; none when no `%%elf` begins it. */
export function partsOf(line: string): Part[] {
  const magic = MAGIC.exec(line);
  if (!magic?.[1]) return [];
  const start = magic[0].length - magic[1].length;
  const parts: Part[] = [{ kind: "magic", from: start, to: magic[0].length }];
  let before = "";
  for (let from = gap(line, magic[0].length); from < line.length; from = gap(line, from)) {
    if (line[from] === "#") return [...parts, { kind: "comment", from, to: line.length }];
    WORD.lastIndex = from;
    const word = WORD.exec(line)?.[0] ?? line.slice(from);
    // The last `;` keeps the result from being shown, and belongs to no word.
    const plain = from + word.length === line.trimEnd().length ? word.replace(/;+$/, "") : word;
    const kind = kindOf(plain, before, parts.length === 1);
    if (kind && plain) parts.push({ kind, from, to: from + plain.length });
    before = plain;
    from += word.length;
  }
  return parts;
}

function gap(line: string, from: number): number {
  let place = from;
  while (place < line.length && /\s/.test(line[place] ?? "")) place += 1;
  return place;
}

function kindOf(word: string, before: string, first: boolean): Kind | null {
  if (first && word === "flow") return "verb";
  if (/^-{1,2}[A-Za-z]/.test(word)) return "option";
  if (/["']/.test(word)) return "text";
  if (before === "flow") return "name";
  return NUMBER.test(word) ? "number" : null;
}
