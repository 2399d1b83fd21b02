// Text as a terminal would colour it. The result names classes; the page makes text nodes of it.

export interface Piece {
  text: string;
  classes: string;
}

export interface Ink {
  fg: number;
  bold: boolean;
  faint: boolean;
  italic: boolean;
  underline: boolean;
}

export const PLAIN: Ink = { fg: -1, bold: false, faint: false, italic: false, underline: false };

// Colours (CSI … m) are kept; every other sequence, and what moves a terminal's cursor, is dropped.
const SEQUENCE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
// Direction marks can make a line read as something that it is not.
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

function classesOf(ink: Ink): string {
  const names: string[] = [];
  if (ink.fg >= 0) names.push(`elf-ansi-${ink.fg}`);
  if (ink.bold) names.push("elf-ansi-bold");
  if (ink.faint) names.push("elf-ansi-faint");
  if (ink.italic) names.push("elf-ansi-italic");
  if (ink.underline) names.push("elf-ansi-underline");
  return names.join(" ");
}

function dipped(ink: Ink, codes: string): Ink {
  let now = { ...ink };
  const numbers = codes.split(/[;:]/).map(Number);
  for (let index = 0; index < numbers.length; index++) {
    const code = numbers[index];
    if (code === 0) now = { ...PLAIN };
    else if (code === 1) now.bold = true;
    else if (code === 2) now.faint = true;
    else if (code === 3) now.italic = true;
    else if (code === 4) now.underline = true;
    else if (code === 22) now.bold = now.faint = false;
    else if (code === 23) now.italic = false;
    else if (code === 24) now.underline = false;
    else if (code >= 30 && code <= 37) now.fg = code - 30;
    else if (code >= 90 && code <= 97) now.fg = code - 90;
    else if (code === 39) now.fg = -1;
    else if (code === 38 || code === 48) {
      const colour = numbers[index + 1] === 5 ? numbers[index + 2] : -1;
      if (code === 38) now.fg = colour >= 0 && colour < 16 ? colour % 8 : -1;
      index += numbers[index + 1] === 5 ? 2 : 4;
    }
  }
  return now;
}

/** The pieces of a text, and the ink with which the next text goes on. */
export function pieces(text: string, ink: Ink = PLAIN): { pieces: Piece[]; ink: Ink } {
  const found: Piece[] = [];
  let now = ink;
  let from = 0;
  const add = (part: string) => {
    const shown = part.replace(UNSEEN, "");
    if (shown) found.push({ text: shown, classes: classesOf(now) });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    add(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") now = dipped(now, match[1]);
  }
  add(text.slice(from));
  return { pieces: found, ink: now };
}
