// The timeline, folded in until somebody opens it; what draws it is loaded then.

import type { Board, Part } from "../board";
import { h } from "../dom";
import type { Lanes } from "../graph/lanes";

export class Timeline implements Part {
  readonly element: HTMLDetailsElement;
  private readonly box = h("div.elf-timeline-box");
  private lanes: Lanes | null = null;
  private over = false;

  constructor(private readonly board: Board) {
    this.element = h("details.elf-section.elf-fold", {}, h("summary", {}, "timeline"), this.box);
    this.element.addEventListener("toggle", () => void this.open());
  }

  private async open(): Promise<void> {
    const { board } = this;
    const made = this.element.open && !this.lanes && (await board.canvases("the timeline"));
    if (made && !this.lanes && !this.over) this.lanes = new made.Lanes(board, this.box);
    this.update();
  }

  update(): void {
    if (this.element.open) this.lanes?.update();
  }

  dispose(): void {
    this.over = true;
    this.lanes?.dispose();
  }
}
