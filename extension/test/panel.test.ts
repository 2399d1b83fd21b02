import { beforeEach, describe, expect, test, vi } from "vitest";
import { magicBefore, offered } from "../lab/completion";
import type { Connection } from "../lab/connection";
import { PanelView } from "../lab/panel";
import type { Overview, Reply, RunLine } from "../lab/panelmessages";
import { showMagic } from "../lab/magiclook";
import { DEFAULTS, settingsFrom } from "../lab/settings";
import { StatusView } from "../lab/status";
import { olderNow, question, status, uses } from "../lab/wording";
import schema from "../lab/schemas/settings.json";

function line(given: Partial<RunLine> = {}): RunLine {
  const base = { run: "party.1", name: "party", flow: "party", number: 1, glyph: "●", word: "running", title: "4 of 6 done", jobs: 6 };
  return { ...base, counts: { done: 4, running: 2 }, settled: false, can: ["cancel", "pause"], ...given };
}

function overview(given: Partial<Overview> = {}): Overview {
  return { kind: "overview", reach: "connected", durability: "durable", place: "this machine only", ...given };
}

class Fake implements Connection {
  standing: Connection["standing"] = "open";
  why = "";
  overview: Overview | null = null;
  listeners = new Set<() => void>();
  act = vi.fn((): Promise<Reply> => Promise.resolve({ kind: "reply", id: 1, words: "told", ok: true }));
  older = vi.fn(() => Promise.resolve({ kind: "older" as const, id: 1, runs: [line({ run: "old.1", name: "old" })] }));
  again = vi.fn();
  openBoard = vi.fn();
  drawBoard = vi.fn();
  file = vi.fn();
  dispose = vi.fn();
  onChange(tell: () => void): () => void {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  }
  tell(given: Partial<Pick<Fake, "standing" | "why" | "overview">>): void {
    Object.assign(this, given);
    for (const each of this.listeners) each();
  }
}

let fake: Fake;
let opened: string[];
let root: HTMLElement;
beforeEach(() => {
  document.body.replaceChildren();
  fake = new Fake();
  opened = [];
  const view = new PanelView({ connection: fake, workers: () => 3, open: (run) => opened.push(run) });
  root = view.element;
  document.body.append(root);
});

const find = (selector: string) => root.querySelector<HTMLElement>(selector);
const named = (words: string) => [...root.querySelectorAll("button")].find(({ textContent }) => textContent === words);
const shown = (element?: HTMLElement | null) => Boolean(element) && !element?.closest("[hidden]");

describe("the panel", () => {
  test("says what is there, and how to begin", async () => {
    expect(root.textContent).toContain("looking …");
    fake.tell({ overview: overview({ reach: "none", why: "Nothing was started here.", step: "%elf up", durability: "" }) });
    expect(root.textContent).toContain("Nothing was started here.");
    named("Start 3 workers")?.click();
    expect(fake.act).toHaveBeenCalledWith({ kind: "up", workers: 3 });
    expect(named("Start 3 workers")?.disabled).toBe(true);
    await vi.waitFor(() => expect(root.textContent).toContain("told"));
    fake.tell({ overview: overview({ workers: [{ name: "worker-1", ready: true, memory: 56e6, cpu: 0.5 }] }) });
    expect(shown(named("Start 3 workers"))).toBe(false);
    expect(find(".elf-panel-worker")?.textContent).toContain("50 %, 56 MB");
  });

  test("without a way to the mycelium it says why, and tries again when asked", () => {
    fake.tell({ standing: "absent", why: "no part of elfbook: see …" });
    expect(root.textContent).toContain("no part of elfbook: see …");
    expect(shown(named("Start 3 workers"))).toBe(false);
    named("Try again")?.click();
    expect(fake.again).toHaveBeenCalledOnce();
  });

  test("what was known stays, greyed, while nobody answers", () => {
    fake.tell({ overview: overview({ runs: [line()] }) });
    expect(find(".elf-panel-old")).toBeNull();
    fake.tell({ standing: "connecting", why: "away" });
    expect(find(".elf-panel-old")?.textContent).toContain("party");
  });

  test("text of others is text", () => {
    const evil = "<img src=x onerror=alert(1)>";
    const elf = { name: evil, codes: [{ digest: evil, first_at: 0, label: evil, runs: [evil] }], tasks: [{ name: evil, signature: evil, doc: evil }], doc: evil };
    const runs = [line({ run: evil, name: evil, title: evil, failures: [evil], glyph: evil, word: evil })];
    fake.tell({ overview: overview({ runs, elves: [elf], workers: [{ name: evil, ready: true, running: evil }], attention: [evil], why: evil, place: evil }) });
    expect(root.querySelector("img")).toBeNull();
    expect(root.textContent?.split(evil).length).toBeGreaterThan(14);
  });

  test("a run is opened, and asks before it is cancelled", async () => {
    fake.tell({ overview: overview({ runs: [line()] }) });
    find(".elf-run-open")?.click();
    expect(opened).toEqual(["party.1"]);
    named("Cancel")?.click();
    expect(fake.act).not.toHaveBeenCalled();
    expect(find(".elf-ask")?.textContent).toContain("Cancel party: 2 running jobs?");
    fake.tell({ overview: overview({ runs: [line({ title: "5 of 6 done" })] }) });
    expect(find(".elf-ask"), "news do not take the question away").not.toBeNull();
    named("Cancel it")?.click();
    expect(fake.act).toHaveBeenCalledWith({ kind: "do", verb: "cancel", run: "party.1" });
    await vi.waitFor(() => expect(find(".elf-run .elf-panel-said")?.textContent).toBe("told"));
    named("Pause")?.click();
    expect(fake.act).toHaveBeenLastCalledWith({ kind: "do", verb: "pause", run: "party.1" });
  });

  test("Esc keeps everything as it is", () => {
    fake.tell({ overview: overview({ runs: [line()] }) });
    named("Cancel")?.click();
    find(".elf-yes")?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(find(".elf-ask")).toBeNull();
    expect(fake.act).not.toHaveBeenCalled();
  });

  test("arrows go from run to run; Tab meets one of them; news keep the focus", () => {
    const runs = ["a", "b", "c"].map((name) => line({ run: `${name}.1`, name }));
    fake.tell({ overview: overview({ runs }) });
    const open = [...root.querySelectorAll<HTMLElement>(".elf-run-open")];
    const press = (key: string) => document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    open[0]?.focus();
    expect(open.map(({ tabIndex }) => tabIndex)).toEqual([0, -1, -1]);
    press("ArrowDown");
    expect(document.activeElement).toBe(open[1]);
    expect(open.map(({ tabIndex }) => tabIndex)).toEqual([-1, 0, -1]);
    press("End");
    expect(document.activeElement).toBe(open[2]);
    fake.tell({ overview: overview({ runs: [line({ run: "new.1", name: "new" }), ...runs] }) });
    expect(document.activeElement).toBe(open[2]);
    expect(open[2]?.tabIndex).toBe(0);
    press("Home");
    expect(document.activeElement?.textContent).toContain("new");
  });

  test("older runs come when they are asked for", async () => {
    fake.tell({ overview: overview({ runs: [line()], more: true }) });
    named("Older runs")?.click();
    expect(fake.older).toHaveBeenCalledWith("party.1");
    await vi.waitFor(() => expect(root.querySelectorAll(".elf-run")).toHaveLength(2));
    expect(shown(named("Older runs"))).toBe(false);
  });
});

describe("words", () => {
  test("the status counts", () => {
    expect(status({ standing: "open", why: "", overview: overview({ running: 2, failed: 1 }) })).toBe("connected, 2 running, 1 failed");
    expect(status({ standing: "away", why: "", overview: overview({ running: 2 }) })).toBe("Jupyter's server is away");
    expect(status({ standing: "open", why: "", overview: overview({ reach: "none", failed: 1 }) })).toBe("not started");
    const view = new StatusView(fake, () => opened.push("panel"));
    fake.tell({ overview: overview({ running: 1 }) });
    expect(view.element.textContent).toBe("elfbook ✓ connected, 1 running");
    view.element.querySelector("button")?.click();
    expect(opened).toEqual(["panel"]);
  });

  test("questions", () => {
    const ended = line({ counts: { done: 1, failed: 2, skipped: 1 } });
    expect(question(ended, "retry")?.words).toBe("Run 2 failed jobs and 1 skipped job of party again, with the code that the run has stored?");
    expect(question(ended, "resume")).toBeNull();
    expect(question(line({ counts: {} }), "cancel")?.words).toBe("Cancel party? What has been done is kept.");
  });

  test("what is not known of a worker is left out", () => {
    expect(uses({ name: "w", ready: false })).toBe("");
    expect(uses({ name: "w", ready: true, cpu: 1.2, memory: 85e6 })).toBe("120 %, 85 MB");
  });

  test("older runs stay in order and as they were told last", () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => line({ run: `${name}.1`, name })) as [RunLine, RunLine, RunLine];
    const done = { ...b, word: "done" };
    const names = (lines: RunLine[]) => lines.map(({ run, word }) => `${run} ${word}`);
    expect(olderNow([a, b], [], overview({ runs: [a] }))).toEqual([]);
    expect(names(olderNow([a, b, c], [c], overview({ runs: [a] }))), "b has no room any more").toEqual(["b.1 running", "c.1 running"]);
    expect(names(olderNow([a, done, c], [b, c], overview({ runs: [a] })))).toEqual(["b.1 done", "c.1 running"]);
    expect(names(olderNow([a, b, c], [b, c], overview({ runs: [b, a] }))), "b is among the newest again").toEqual(["c.1 running"]);
  });
});

describe("completion", () => {
  const known = overview({
    runs: [line(), line({ run: "crawl.2", name: "crawl", flow: "crawl", settled: true, can: ["retry"] })],
    workers: [{ name: "worker-1", ready: true, running: "task_a[1]", holds: ["calc1"] }],
  });
  const first = (text: string) => offered(text, known).map(({ text: word, kind }) => `${kind} ${word}`)[0];

  // The cases of tests/test_magics.py, and what a mycelium adds.
  test.each([
    ["%elf ", "verb up"],
    ["%elf re", "verb retry"],
    ["%elf help fl", "verb flow"],
    ["%elf retry ", "run crawl"],
    ["%elf cancel ", "run party"],
    ["%elf show w", "worker worker-1"],
    ["%elf logs ", "job task_a[1]"],
    ["%elf retry party --", "flag --same-code"],
    ["%elf up --elf ", "elf calc1"],
    ["%elf up 1 --elf a --el", "flag --elf"],
    ["%%elf ", "verb flow"],
    ["%%elf flow pa", "run party"],
    ["%%elf flow party --w", "flag --wait"],
    ["%%elf flow party --priority h", "value high"],
    ["%%elf flow party --retries ", undefined],
    ["%elf zzz ", undefined],
    ["%elf constructor ", undefined],
  ])("%j", (text, word) => expect(first(text)).toBe(word));

  test("each word once, none of them typed already, none twice given", () => {
    const words = offered("%elf retry ", known).map(({ text }) => text);
    expect(new Set(words).size).toBe(words.length);
    expect(offered("%elf up", known)).toEqual([]);
    expect(offered("%elf retry party --wait ", known).map(({ text }) => text)).not.toContain("--wait");
    expect(offered("%elf retry ", null).every(({ kind }) => kind === "flag")).toBe(true);
  });

  test.each([
    ["%elf re", "%elf re"],
    ["x = 1\n  %elf re", "  %elf re"],
    ["\n%%elf fl", "%%elf fl"],
    ["x = 1\n%%elf fl", null],
    ["%elfin ", null],
    ["%elf", null],
    ["elf = 1", null],
  ])("where it stands: %j", (text, expected) => expect(magicBefore(text, text.length)).toBe(expected));
});

describe("settings", () => {
  test("the defaults are the schema's", () => {
    expect(Object.fromEntries(Object.entries(schema.properties).map(([name, each]) => [name, each.default]))).toEqual(DEFAULTS);
  });

  test("a change is heard", async () => {
    let changed = (): void => undefined;
    const loaded = { composite: { statusItem: false } as object, changed: { connect: (tell: () => void) => void (changed = tell) } };
    const settings = settingsFrom({ load: () => Promise.resolve(loaded) });
    const heard: string[] = [];
    settings.onChange(() => heard.push(settings.now.magicLine));
    await settings.loaded;
    expect(settings.now).toEqual({ ...DEFAULTS, statusItem: false });
    loaded.composite = { magicLine: "plain" };
    changed();
    expect(heard).toEqual(["bar", "plain"]);
    showMagic(settings.now.magicLine);
    expect(document.body.dataset["elfMagic"]).toBe("plain");
  });

  test("where there are none, the defaults hold", async () => {
    const settings = settingsFrom({ load: () => Promise.reject(new Error("no schema")) });
    await settings.loaded;
    expect(settings.now).toEqual(DEFAULTS);
    await settingsFrom(null).loaded;
  });
});
