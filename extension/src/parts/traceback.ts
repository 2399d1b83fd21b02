// A traceback, its lines coloured by what they are.

import { h, region } from "../dom";
import type { Line } from "../messages";

export function traceback(lines: readonly Line[], label: string): HTMLElement {
  const rows = lines.map(({ kind, text }) => h("span", { class: `elf-trace-${kind}` }, `${text}\n`));
  // Reached by keyboard, because it may be wider than its box and scrolls by itself.
  return h("pre.elf-trace", region(label), ...rows);
}
