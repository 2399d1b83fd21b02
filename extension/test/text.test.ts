import { describe, expect, it } from "vitest";
import { HELP, commandOf } from "../src/keys";
import { Output, display } from "../src/parts/output";
import { traceback } from "../src/parts/traceback";
import { pieces } from "../src/run/ansi";

describe("terminal text", () => {
  it("is coloured by classes, and the ink goes on", () => {
    const first = pieces("a\u001b[1;31mb");
    expect(first.pieces).toEqual([{ text: "a", classes: "" }, { text: "b", classes: "elf-ansi-1 elf-ansi-bold" }]);
    expect(pieces("c\u001b[0md", first.ink).pieces).toEqual([{ text: "c", classes: "elf-ansi-1 elf-ansi-bold" }, { text: "d", classes: "" }]);
  });

  it("loses what moves a cursor, other sequences and direction marks", () => {
    expect(pieces("a\u001b[2Jb\u001b]0;title\u0007c\u202ed\u0000").pieces.map(({ text }) => text).join("")).toBe("abcd");
  });

  it("takes the bright and the 256 colours for the nearest of eight", () => {
    expect(pieces("\u001b[92mx\u001b[38;5;12my\u001b[38;2;1;2;3mz").pieces.map(({ classes }) => classes)).toEqual(["elf-ansi-2", "elf-ansi-4", ""]);
  });

});

describe("the output of a job", () => {
  const said = (text: string) => ({ stream: "stdout" as const, attempt: 1, text });
  const told = (start: number, ...texts: string[]) => ({ kind: "printed" as const, job: 3, start, pieces: texts.map(said) });

  it("stays text, whatever it holds", () => {
    const output = new Output();
    output.open(3);
    output.add(told(0, "<img src=x onerror=alert(1)>"));
    expect(output.log.querySelector("img")).toBeNull();
    expect(output.log.textContent).toContain("<img");
  });

  it("shows pieces that are told twice once", () => {
    const output = new Output();
    output.open(3);
    output.add(told(0, "a", "b"));
    output.add(told(1, "b", "c"));
    output.add({ ...told(0, "x"), job: 4 });
    expect(output.log.textContent).toBe("abc");
    expect(output.next).toBe(3);
  });

  it("forgets the oldest of very much", () => {
    const output = new Output();
    output.open(3);
    for (let piece = 0; piece < 40; piece++) output.add(told(piece, `${piece} ${"x".repeat(10_000)}\n`));
    expect((output.log.textContent ?? "").length).toBeLessThan(230_000);
    expect(output.log.textContent).toContain("39 xxx");
  });

  it("shows a progress bar's last state", () => {
    const output = new Output();
    output.open(3);
    output.add(told(0, "start\nloading", "\r20 %\n", "done"));
    expect(output.log.textContent).toBe("start\n20 %\ndone");
  });
});

describe("what a job displays", () => {
  it("is HTML only in a frame without scripts that may load nothing", () => {
    const frame = display({ stream: "display", attempt: 1, bundle: { "text/html": "<b>x</b>" } });
    expect(frame.getAttribute("sandbox")).toBe("allow-same-origin");
    expect(frame.getAttribute("srcdoc")).toContain("default-src 'none'");
  });

  it("is an image where it is one, also an SVG", () => {
    const image = (bundle: Record<string, string>) => display({ stream: "display", attempt: 1, text: "a figure", bundle });
    expect(image({ "image/png": "aGk=\n", "text/html": "x" }).getAttribute("src")).toBe("data:image/png;base64,aGk=");
    const drawing = image({ "image/svg+xml": "<svg onload='x'/>" });
    expect([drawing.tagName, drawing.getAttribute("alt")]).toEqual(["IMG", "a figure"]);
  });

  it("is else its words", () => {
    expect(display({ stream: "display", attempt: 1, text: "Figure(1)" }).textContent).toBe("Figure(1)");
  });
});

it("a traceback has a class a kind, and only text", () => {
  const trace = traceback([{ kind: "arrow", text: "----> 9 <script>" }, { kind: "error", text: "ValueError" }], "t");
  expect([...trace.children].map((row) => row.className)).toEqual(["elf-trace-arrow", "elf-trace-error"]);
  expect(trace.querySelector("script")).toBeNull();
});

describe("keys", () => {
  const key = (name: string) => ({ key: name });

  it("leave letters to a field and Enter to a button", () => {
    expect(commandOf(key("r"), "field")).toBeNull();
    expect(commandOf(key("Escape"), "field")).toBe("leave");
    expect(commandOf(key("Enter"), "button")).toBeNull();
    expect(commandOf(key("r"), "button")).toBe("retry");
    expect(commandOf(key("ArrowDown"), "text")).toBeNull();
  });

  it("are the browser's with Ctrl, Alt or Meta", () => {
    expect(commandOf({ key: "c", ctrlKey: true }, "elsewhere")).toBeNull();
    expect(commandOf({ key: "f", metaKey: true }, "elsewhere")).toBeNull();
  });

  it("of the list that ? shows all do something", () => {
    const named: Record<string, string> = { Esc: "Escape", "↑": "ArrowUp", "↓": "ArrowDown", "←": "ArrowLeft", "→": "ArrowRight", "−": "-" };
    for (const [keys] of HELP) for (const one of keys.split(" ")) expect(commandOf(key(named[one] ?? one), "elsewhere"), one).not.toBeNull();
  });
});
