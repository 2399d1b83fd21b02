// A question in its place: what would happen, and two buttons. Enter confirms, Esc keeps everything as it is.

import { button, focused, h } from "../dom";

export interface Question {
  words: string;
  yes: string;
  no: string;
  title: string;
  confirm(): void;
}

export class Ask {
  private element: HTMLElement | null = null;
  private before: Element | null = null;

  constructor(private readonly root: HTMLElement) {}

  get open(): boolean {
    return this.element !== null;
  }

  show(question: Question, below: HTMLElement): void {
    this.close(false);
    this.before = focused(this.root);
    const confirm = button(question.yes, question.title, () => {
      this.close();
      question.confirm();
    }, "elf-button elf-yes");
    const keep = button(question.no, "Esc", () => this.close());
    this.element = h("div.elf-ask", { role: "group", "aria-label": question.words }, h("span", {}, question.words), confirm, keep);
    below.after(this.element);
    confirm.focus({ preventScroll: true });
  }

  /** The focus goes back to where it was when the question came. */
  close(back = true): void {
    if (!this.element) return;
    this.element.remove();
    this.element = null;
    const before = this.before as HTMLElement | null;
    if (back) (before?.isConnected && this.root.contains(before) ? before : this.root).focus({ preventScroll: true });
  }
}
