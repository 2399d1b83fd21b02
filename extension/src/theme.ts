// The theme's colours for what cannot use style sheets: a canvas. A probe element carries our variables with a
// transition, so its end tells when they have really changed: the page's theme attribute changes before that.

import { SEEN_ONLY, h } from "./dom";
import { STATES } from "./messages";

const NAMES = [...STATES, "fg", "muted", "line", "bg", "accent"] as const;
type Name = (typeof NAMES)[number];
export type Colours = Record<Name, string>;

export class Theme {
  readonly element: HTMLElement;
  colours: Colours;
  private readonly watcher: ResizeObserver;
  private readonly probes: [Name, HTMLElement][];

  constructor(root: HTMLElement, onchange: () => void) {
    this.probes = NAMES.map((name) => [name, h("i.elf-probe", { style: `color: var(--elf-${name})` })]);
    this.element = h("div.elf-probes", SEEN_ONLY, ...this.probes.map(([, probe]) => probe));
    root.append(this.element);
    this.colours = this.read();
    const changed = () => {
      this.refresh();
      onchange();
    };
    this.element.addEventListener("transitionend", changed);
    // Nothing is in transition while it is hidden: coming back, it has a size again.
    this.watcher = new ResizeObserver(changed);
    this.watcher.observe(root);
  }

  /** For a first drawing: an element has no computed colours before it is in the page. */
  refresh(): void {
    this.colours = this.read();
  }

  dispose(): void {
    this.watcher.disconnect();
  }

  private read(): Colours {
    return Object.fromEntries(this.probes.map(([name, probe]) => [name, getComputedStyle(probe).color])) as Colours;
  }
}
