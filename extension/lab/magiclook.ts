// How `%%elf` lines look, for all editors of the page at once: their rules (magic.ts) ask for this attribute.

import type { Values } from "./settings";

export function showMagic(look: Values["magicLine"], body: HTMLElement = document.body): void {
  body.dataset["elfMagic"] = look;
}
