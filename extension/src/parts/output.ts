// What the open job prints and displays, as it comes.

import { h, region } from "../dom";
import type { Printed, Said } from "../messages";
import { pieces, type Ink } from "../run/ansi";
import { count } from "../run/words";

/** Characters that stay on the page; older ones give way. */
const MOST = 200_000;
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

// No scripts, no forms, nothing from anywhere: two locks, the sandbox and the policy. The frame shares this page's
// origin only so that its height can be read; without scripts nothing inside can make use of that.
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:";

export class Output {
  readonly element: HTMLElement;
  readonly log: HTMLElement;
  private job = -1;
  /** Number of the next piece. */
  next = 0;
  private characters = 0;
  private attempt = 0;
  private ink: Record<string, Ink> = {};

  constructor() {
    this.log = h("div.elf-log", region("output"));
    this.element = h("section.elf-output", {}, h("strong", {}, "output"), this.log);
    this.element.hidden = true;
  }

  open(job: number): void {
    if (job === this.job) return;
    this.job = job;
    this.next = this.characters = this.attempt = 0;
    this.ink = {};
    this.log.replaceChildren();
    this.element.hidden = true;
  }

  add(printed: Printed): void {
    if (printed.job !== this.job) return;
    // Pieces may be told again after a break; each is shown once.
    const fresh = printed.pieces.slice(Math.max(0, this.next - printed.start));
    if (printed.skipped && printed.start >= this.next) this.remark(`${count(printed.skipped)} characters left out`);
    this.next = Math.max(this.next, printed.start + printed.pieces.length);
    if (!fresh.length) return;
    this.element.hidden = false;
    const { log } = this;
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    for (const piece of fresh) this.show(piece);
    this.trim();
    if (follows) log.scrollTop = log.scrollHeight;
  }

  private remark(words: string): void {
    this.log.append(h("div.elf-muted", {}, words));
  }

  private show(piece: Said): void {
    if (piece.attempt !== this.attempt) {
      if (this.attempt) this.remark(`attempt ${piece.attempt}`);
      this.attempt = piece.attempt;
      this.ink = {};
    }
    if (piece.stream === "display") this.log.append(display(piece));
    else this.print(piece.stream, piece.text ?? "");
  }

  private print(stream: string, text: string): void {
    const { pieces: shown, ink } = pieces(text, this.ink[stream]);
    this.ink[stream] = ink;
    this.characters += text.length;
    const last = this.log.lastElementChild as HTMLElement | null;
    const same = last?.dataset.stream === stream && (last.textContent?.length ?? 0) < 20_000;
    const block = same ? last : h("pre", { class: `elf-print elf-${stream}`, "data-stream": stream });
    // A carriage return at the start goes back over the line that is there: a progress bar.
    if (text.startsWith("\r") && same) unwind(block);
    for (const { text: part, classes } of shown) block.append(classes ? h("span", { class: classes }, part) : part);
    if (!same) this.log.append(block);
  }

  private trim(): void {
    while (this.characters > MOST && this.log.childElementCount > 1) {
      const first = this.log.firstElementChild as HTMLElement;
      this.characters -= first.dataset.stream ? (first.textContent?.length ?? 0) : 0;
      first.remove();
    }
  }
}

function unwind(block: HTMLElement): void {
  const text = block.textContent ?? "";
  const end = text.lastIndexOf("\n");
  const keep = end < 0 ? "" : text.slice(0, end + 1);
  block.replaceChildren(keep);
}

/** An image as an image, HTML in a frame in which nothing runs, everything else as text. */
export function display({ text = "", bundle = {} }: Said): HTMLElement {
  const image = IMAGES.find((mime) => bundle[mime]);
  if (image) {
    const data = bundle[image].replace(/\s/g, "");
    return h("img.elf-figure", { src: `data:${image};base64,${data}`, alt: text || "figure" });
  }
  const drawing = bundle["image/svg+xml"];
  // As an image even an SVG can neither run a script nor load anything.
  if (drawing) {
    return h("img.elf-figure", { src: `data:image/svg+xml,${encodeURIComponent(drawing)}`, alt: text || "figure" });
  }
  if (bundle["text/html"]) return framed(bundle["text/html"], text);
  return h("pre.elf-print", {}, ...pieces(text || (bundle["text/plain"] ?? "")).pieces.map(({ text }) => text));
}

function framed(html: string, title: string): HTMLElement {
  const frame = h("iframe.elf-frame", { sandbox: "allow-same-origin", title: title || "what the job displayed" });
  const style = "body{margin:4px;font:13px system-ui,sans-serif;color:#111;background:#fff}";
  const table = "table{border-collapse:collapse}td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #ddd}";
  // Links lead nowhere: new windows are forbidden to the frame.
  const head = `<meta http-equiv="Content-Security-Policy" content="${POLICY}"><base target="_blank"><style>${style}${table}</style>`;
  frame.addEventListener("load", () => {
    const tall = frame.contentDocument?.documentElement.scrollHeight ?? 0;
    if (tall) frame.style.height = `${Math.min(480, tall + 4)}px`;
  });
  frame.setAttribute("srcdoc", `<!doctype html>${head}${html}`);
  return frame;
}
