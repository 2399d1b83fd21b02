// The keys, on demand.

import { h } from "../dom";
import { HELP } from "../keys";

export function helpList(): HTMLElement {
  const rows = HELP.map(([keys, words]) => h("div", {}, h("dt", {}, h("kbd", {}, keys)), h("dd", {}, words)));
  const list = h("div.elf-help", { role: "group", "aria-label": "keys" }, h("dl", {}, ...rows));
  list.hidden = true;
  return list;
}
