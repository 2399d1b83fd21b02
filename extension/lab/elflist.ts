// An elf in the panel: what it says of itself, its tasks, the codes that runs have used.

import { button, h, say } from "../src/dom";
import { plural } from "../src/run/words";
import type { Elf } from "./panelmessages";
import type { Row } from "./rows";
import { revision } from "./wording";

export function elfRow(_elf: Elf, open: (run: string) => void): Row<Elf> {
  const [name, about, body] = [h("strong"), h("span.elf-muted"), h("div.elf-elf-body")];
  const element = h("details.elf-elf", {}, h("summary", {}, name, " ", about), body);
  let drawn = "";
  const update = (elf: Elf): void => {
    say(name, elf.name);
    say(about, `${plural(elf.tasks.length, "task")}, ${plural(elf.codes.length, "code")}`);
    // Elves change when a cell is run, so seldom: then the whole is made anew.
    const now = JSON.stringify([elf.doc, elf.tasks, elf.codes]);
    if (now === drawn) return;
    drawn = now;
    body.replaceChildren(...bodyOf(elf, open));
  };
  return { element, update };
}

function bodyOf(elf: Elf, open: (run: string) => void): HTMLElement[] {
  const doc = elf.doc ? [h("p.elf-doc", {}, elf.doc)] : [];
  const tasks = elf.tasks.map(({ signature, doc: said }) => h("li", {}, h("code", {}, signature), said ? h("p.elf-doc", {}, said) : null));
  const codes = elf.codes.map((code) => {
    const runs = (code.runs ?? []).map((run) => button(run.replace(/\.1$/, ""), `open the board of ${run}`, () => open(run), "elf-quiet"));
    return h("li", {}, h("span.elf-code", {}, revision(code)), h("span.elf-elf-runs", {}, ...runs));
  });
  return [
    ...doc,
    h("ul.elf-panel-list", { "aria-label": `tasks of ${elf.name}` }, ...tasks),
    h("h4", {}, "Codes, newest first"),
    h("ul.elf-panel-list", { "aria-label": `codes of ${elf.name}` }, ...codes),
  ];
}
