// The item in JupyterLab's status bar: whether there is a connection, what runs, what has failed.

import { h, say } from "../src/dom";
import type { Connection } from "./connection";
import { standing, status } from "./wording";

export class StatusView {
  readonly element: HTMLElement;
  private readonly button: HTMLButtonElement;
  private readonly end: () => void;

  constructor(
    private readonly connection: Connection,
    open: () => void,
  ) {
    this.button = h("button.elf-status-button", { type: "button", title: "open elfbook's panel", onclick: open });
    this.element = h("div.elf-status", {}, this.button);
    this.end = connection.onChange(() => this.update());
    this.update();
  }

  private update(): void {
    say(this.button, `elfbook ${standing(this.connection).glyph} ${status(this.connection)}`);
  }

  dispose(): void {
    this.end();
  }
}
