import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { hostOf, type Model } from "../src/hosts/anywidget";
import widget from "../src/hosts/anywidget";
import type { Asked, Head, Moved, Told } from "../src/messages";
import { buffersOf, snapshotOf } from "./random";

type Heard = (message: Told, buffers: DataView[]) => void;

class FakeModel implements Model {
  readonly sent: Asked[] = [];
  readonly listeners = new Set<Heard>();

  send(content: unknown): void {
    this.sent.push(content as Asked);
  }

  on(_event: "msg:custom", tell: Heard): void {
    this.listeners.add(tell);
  }

  off(_event: "msg:custom", tell: Heard): void {
    this.listeners.delete(tell);
  }

  tell(message: Told, buffers: ArrayBuffer[] = []): void {
    for (const tell of [...this.listeners]) tell(message, buffers.map((buffer) => new DataView(buffer)));
  }

  kinds(): string[] {
    return this.sent.map(({ kind }) => kind);
  }
}

const JOBS = [{ task: 0 }, { task: 1, values: [0] }];
const NONE = [Int32Array, Uint8Array, Int32Array, Int32Array, Float64Array, Float64Array].map((Kind) => new Kind(0).buffer as ArrayBuffer);
const head = (more: Partial<Head> = {}): Head => ({ ...snapshotOf(JOBS).head, ...more });

let model: FakeModel;
let element: HTMLElement;
let end: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel();
  element = document.createElement("div");
  document.body.append(element);
  end = widget.render({ model, el: element });
});

afterEach(() => {
  end();
  element.remove();
  vi.useRealTimers();
});

const begin = (seq = 0) => {
  vi.advanceTimersByTime(300);
  model.tell(snapshotOf(JOBS, seq), buffersOf(JOBS));
  vi.advanceTimersByTime(50);
};
const lost = () => element.querySelector(".elf-lost-line");

describe("progress", () => {
  const row = (job: number) => element.querySelector<HTMLElement>(`.elf-job[data-job="${job}"]`);
  const moves = (...jobs: Moved[]) => {
    model.tell({ kind: "moves", jobs });
    vi.advanceTimersByTime(50);
  };

  it("is text and a share in its row, and gone when it is not told any more", () => {
    begin();
    moves({ job: 1, words: "25 %  <b>x</b>", share: 0.25 });
    expect(row(1)?.textContent).toContain("25 %  <b>x</b>");
    expect(row(1)?.querySelector("b")).toBeNull();
    expect([0, 1].map((job) => row(job)?.style.getPropertyValue("--elf-share"))).toEqual(["0", "0.25"]);
    moves({ job: 0, words: "nearly" });
    expect(row(1)?.textContent).not.toContain("25 %");
    expect(row(0)?.textContent).toContain("nearly");
    moves();
    expect(row(0)?.textContent).not.toContain("nearly");
  });
});

describe("a widget's view", () => {
  it("says hello when the model can be spoken to, and every 30 s that it is there", () => {
    expect(model.kinds()).toEqual([]);
    begin();
    vi.advanceTimersByTime(30_000);
    const hellos = model.sent.filter((message) => message.kind === "hello");
    expect(hellos.map(({ again }) => again)).toEqual([false, true]);
  });

  it("asks for everything again as long as it has nothing", () => {
    vi.advanceTimersByTime(30_300);
    expect(model.sent.filter((message) => message.kind === "hello").map(({ again }) => again)).toEqual([false, false]);
  });

  it("says bye, hears nothing any more and leaves nothing behind", () => {
    begin();
    end();
    expect(model.kinds()).toContain("bye");
    expect([...element.children]).toEqual([]);
    expect(model.listeners.size).toBe(0);
  });

  it("is one of several, told apart by name", () => {
    const second = widget.render({ model, el: element });
    vi.advanceTimersByTime(300);
    expect(new Set(model.sent.map((message) => (message.kind === "hello" ? message.view : "")))).toHaveProperty("size", 2);
    second();
  });

  it("acknowledges every sixteenth patch that is drawn", () => {
    begin();
    for (let seq = 1; seq <= 40; seq++) {
      model.tell({ kind: "patch", seq, head: head() }, NONE);
      vi.advanceTimersByTime(50);
    }
    expect(model.sent.filter((message) => message.kind === "ack")).toEqual([{ kind: "ack", seq: 16 }, { kind: "ack", seq: 32 }]);
  });

  it("asks for a snapshot when a patch is missing or malformed, but not with every patch", () => {
    begin();
    vi.advanceTimersByTime(2000);
    model.sent.length = 0;
    for (const seq of [5, 6, 7]) model.tell({ kind: "patch", seq, head: head() }, NONE);
    expect(model.kinds()).toEqual(["hello"]);
    vi.advanceTimersByTime(2000);
    model.tell({ kind: "patch", seq: 1, head: head() }, []);
    expect(model.kinds()).toEqual(["hello", "hello"]);
  });

  it("greys out after six seconds of silence, says what to type, and comes back", () => {
    begin();
    vi.advanceTimersByTime(4000);
    expect(lost()?.textContent).toBe("");
    vi.advanceTimersByTime(4000);
    expect(lost()?.textContent).toContain("%elf attach crawl");
    expect(element.querySelector(".elf-lost")).not.toBeNull();
    model.tell({ kind: "alive" });
    expect(element.querySelector(".elf-lost")).toBeNull();
    expect(lost()?.hasAttribute("hidden")).toBe(true);
  });

  it("tells why the kernel no longer follows the run", () => {
    begin();
    model.tell({ kind: "patch", seq: 1, head: head({ lost: "the mycelium is gone. %elf attach crawl  follows it again" }) }, NONE);
    expect(lost()?.textContent).toContain("the mycelium is gone");
    expect(lost()?.textContent?.match(/%elf attach/g)).toHaveLength(1);
  });

  it("names its run by the number as soon as the flow's name means another one", () => {
    begin();
    const titles = () => [...element.querySelectorAll<HTMLElement>(".elf-stateline button")].map(({ title }) => title);
    expect(element.querySelector(".elf-flow")?.textContent).toBe("flow crawl");
    expect(titles()).toContain("%elf cancel crawl");
    model.tell({ kind: "patch", seq: 1, head: head({ reference: "crawl.1" }) }, NONE);
    vi.advanceTimersByTime(50);
    expect(element.querySelector(".elf-flow")?.textContent).toBe("flow crawl.1");
    expect(titles()).toContain("%elf cancel crawl.1");
    vi.advanceTimersByTime(8000);
    expect(lost()?.textContent).toContain("%elf attach crawl.1");
  });

  it("keeps a settled run readable when its kernel is gone", () => {
    begin();
    model.tell({ kind: "patch", seq: 1, head: head({ outcome: "done", settled: true }) }, NONE);
    vi.advanceTimersByTime(8000);
    expect(lost()?.textContent).toContain("how the run ended");
    expect(element.querySelector(".elf-lost")).toBeNull();
  });

  it("copies a file that it is given", async () => {
    const bytes = hostOf(model).asset("graphviz.js");
    const other = new Uint8Array([0, 1, 2, 3]);
    for (const tell of model.listeners) tell({ kind: "asset", name: "graphviz.js" }, [new DataView(other.buffer, 1)]);
    expect([...new Uint8Array(await bytes)]).toEqual([1, 2, 3]);
  });
});
