// What an output shows of its run, with boards that the test draws.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Connection } from "../lab/connection";
import type { Wanted } from "../lab/drawing";
import { RunOutput, type Layers } from "../lab/output";
import { STANDING } from "../src/host";

const GRACE_MS = 3000;
const RUN = { run: "crawl.1", id: "i1", settled: false };

class Fake {
  standing = "open";
  why = "";
  overview: object | null = { reach: "connected" };
  boards: { run: string; wanted: Wanted }[] = [];
  ended = 0;
  private tell: () => void = () => undefined;
  onChange(tell: () => void): () => void {
    this.tell = tell;
    return () => (this.tell = () => undefined);
  }
  drawBoard(_element: HTMLElement, run: string, wanted: Wanted): () => void {
    this.boards.push({ run, wanted });
    return () => this.ended++;
  }
  change(changes: Partial<Fake>): void {
    Object.assign(this, changes);
    this.tell();
  }
}

let fake: Fake;
let layers: Layers;
let output: RunOutput;
const opened = vi.fn();

beforeEach(() => {
  vi.useFakeTimers();
  fake = new Fake();
  layers = { page: document.createElement("div"), kernel: document.createElement("div"), server: document.createElement("div") };
  output = new RunOutput(fake as unknown as Connection, layers, opened);
});
afterEach(() => {
  output.dispose();
  vi.useRealTimers();
});

const front = () => Object.entries(layers).filter(([, each]) => !each.classList.contains("elf-behind")).map(([name]) => name);
const stand = (layer: keyof Layers, live: boolean) => {
  const board = document.createElement("div");
  layers[layer].append(board);
  board.dispatchEvent(new CustomEvent(STANDING, { bubbles: true, detail: live }));
};

describe("a run that goes on", () => {
  test("is shown by its page, then by its kernel's board, and nobody else is asked", () => {
    output.update(RUN);
    expect([front(), output.line.hidden]).toEqual([["page"], true]);
    stand("kernel", true);
    expect(front()).toEqual(["kernel"]);
    vi.advanceTimersByTime(2 * GRACE_MS);
    expect([fake.boards, output.line.hidden, output.open.hidden]).toEqual([[], true, true]);
  });

  test("is shown by the server's board where no kernel speaks, once that is drawn", () => {
    output.update(RUN);
    vi.advanceTimersByTime(GRACE_MS);
    expect(fake.boards).toMatchObject([{ run: "crawl.1", wanted: { id: "i1", keeps: true } }]);
    expect([front(), output.line.hidden]).toEqual([["page"], false]);
    expect(output.line.textContent).toBe("The page as this file has kept it. Asking for its board …");
    stand("server", true);
    expect([front(), output.line.hidden]).toEqual([["server"], true]);
    fake.change({});
    expect(fake.boards.length).toBe(1);
  });

  test("goes over to the server when its kernel is lost, and back", () => {
    output.update(RUN);
    stand("kernel", true);
    vi.advanceTimersByTime(GRACE_MS);
    stand("kernel", false);
    expect([front(), fake.boards.length]).toEqual([["kernel"], 1]);
    stand("server", true);
    expect(front()).toEqual(["server"]);
    stand("kernel", true);
    expect([front(), fake.ended]).toEqual([["kernel"], 1]);
  });

  test("stays on its grey board while nobody has a better one", () => {
    fake.change({ standing: "away", why: "Nobody answers." });
    output.update(RUN);
    stand("kernel", true);
    vi.advanceTimersByTime(GRACE_MS);
    stand("kernel", false);
    expect([front(), fake.boards]).toEqual([["kernel"], []]);
    fake.change({ standing: "open" });
    stand("server", true);
    stand("server", false);
    expect(front()).toEqual(["server"]);
  });

  test.each([
    [{ standing: "absent", why: "No such extension." }, "No such extension."],
    [{ overview: { reach: "none", why: "Nothing was started here." } }, "Nothing was started here."],
  ])("is told of by its page, and why, where nobody can be asked: %o", (changes, why) => {
    fake.change(changes);
    output.update(RUN);
    vi.advanceTimersByTime(GRACE_MS);
    expect([fake.boards, front()]).toEqual([[], ["page"]]);
    expect(output.line.textContent).toBe(`The page as this file has kept it. ${why}`);
    fake.change({ standing: "open", why: "", overview: { reach: "connected" } });
    expect(fake.boards.length).toBe(1);
  });

  test("that the mycelium does not know is asked for once, and again when it has come back", () => {
    output.update(RUN);
    vi.advanceTimersByTime(GRACE_MS);
    fake.boards[0]?.wanted.refused?.("no such run");
    expect([front(), fake.ended]).toEqual([["page"], 1]);
    expect(output.line.textContent).toContain("no such run");
    fake.change({ overview: { reach: "connected" } });
    expect(fake.boards.length).toBe(1);
    fake.change({ standing: "away" });
    fake.change({ standing: "open" });
    expect(fake.boards.length).toBe(2);
  });

  test("is kept on its board when the file keeps another page of it", () => {
    output.update(RUN);
    stand("kernel", true);
    output.update({ ...RUN });
    expect(front()).toEqual(["kernel"]);
  });
});

describe("the page alone", () => {
  test("is what a settled run shows, with the way to its board", () => {
    output.update({ ...RUN, settled: true });
    vi.advanceTimersByTime(GRACE_MS);
    expect([front(), fake.boards, output.line.hidden, output.open.hidden]).toEqual([["page"], [], true, false]);
    output.open.click();
    expect(opened).toHaveBeenLastCalledWith({ ...RUN, settled: true });
    fake.change({ overview: { reach: "none" } });
    expect(output.open.hidden).toBe(true);
  });

  test("comes back when the run has settled, and the server's board is ended", () => {
    output.update(RUN);
    vi.advanceTimersByTime(GRACE_MS);
    stand("server", true);
    output.update({ ...RUN, settled: true });
    expect([front(), fake.ended]).toEqual([["page"], 1]);
  });

  test("is all that an untrusted notebook shows", () => {
    output.update(null);
    vi.advanceTimersByTime(GRACE_MS);
    stand("kernel", true);
    expect([front(), fake.boards, output.line.hidden, output.open.hidden]).toEqual([["page"], [], true, true]);
  });
});
