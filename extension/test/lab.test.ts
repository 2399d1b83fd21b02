import { EditorState } from "@codemirror/state";
import { describe, expect, test } from "vitest";
import { chosen, containerOf } from "../lab/container";
import { marks } from "../lab/magic";
import { partsOf } from "../lab/magicline";
import { keepIn } from "../lab/keep";
import { RUN } from "../lab/output";

/** What stands in the line, each part with its kind. */
function read(line: string): string[] {
  return partsOf(line).map(({ kind, from, to }) => `${kind} ${line.slice(from, to)}`);
}

describe("the parts of a magic line", () => {
  test.each<[string, string[]]>([
    ["", []],
    ["x = 1", []],
    ["%elf up 2", []],
    ["%%elfin", []],
    ["'%%elf'", []],
    ["%%elf", ["magic %%elf"]],
    ["  %%elf  ", ["magic %%elf"]],
    ["%%elf flow crawl", ["magic %%elf", "verb flow", "name crawl"]],
    ["%%elf flow crawl;", ["magic %%elf", "verb flow", "name crawl"]],
    ["%%elf flow flow flow", ["magic %%elf", "verb flow", "name flow", "name flow"]],
    ["%%elf --retries flow", ["magic %%elf", "option --retries"]],
    ["%%elf flow a --timeout 90s -o x", ["magic %%elf", "verb flow", "name a", "option --timeout", "number 90s", "option -o"]],
    ["%%elf flow a --on 'x # y' # z 'w", ["magic %%elf", "verb flow", "name a", "option --on", "text 'x # y'", "comment # z 'w"]],
    ["%%elf a#b", ["magic %%elf"]],
    ['%%elf "never closed', ["magic %%elf", 'text "never closed']],
    ["%%elf it's;", ["magic %%elf", "text it's"]],
    ["%%elf ;;", ["magic %%elf"]],
  ])("%s", (line, parts) => expect(read(line)).toEqual(parts));

  test("any text is read, in order and without overlaps", () => {
    const letters = "%elf flow-'\"#;1s \t\\ä";
    let seed = 7;
    const next = (below: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
    for (let count = 0; count < 3000; count += 1) {
      const line = "%%elf " + Array.from({ length: next(14) }, () => letters[next(letters.length)]).join("");
      let end = 0;
      for (const { from, to } of partsOf(line)) {
        expect(from).toBeGreaterThanOrEqual(end);
        expect(to).toBeGreaterThan(from);
        end = to;
      }
      expect(end).toBeLessThanOrEqual(line.length);
    }
  });
});

describe("marks in a cell", () => {
  const marked = (doc: string) => {
    const found: string[] = [];
    marks(EditorState.create({ doc })).between(0, doc.length, (from, to, { spec }) => {
      found.push(`${(spec as { class: string }).class} ${doc.slice(from, to)}`.trim());
    });
    return found;
  };

  test("the first line that says something", () => {
    expect(marked("\n \n%%elf flow a\n%%elf flow b")).toEqual([
      "elf-magic-line",
      "elf-magic %%elf flow a",
      "elf-magic-magic %%elf",
      "elf-magic-verb flow",
      "elf-magic-name a",
    ]);
  });

  test.each(["", "\n\n", "x = 1\n%%elf"])("none in %j", (doc) => expect(marked(doc)).toEqual([]));
});

describe("a container", () => {
  const shared = (what: unknown, loaded?: unknown) => ({ get: () => Promise.resolve(() => what), loaded });

  test("takes the module in use, otherwise the newest", () => {
    const [old, recent] = [shared("old"), shared("recent")];
    expect(chosen({ "4.9.1": old, "4.10.0": recent })).toBe(recent);
    const used = shared("used", 1);
    expect(chosen({ "4.9.1": used, "4.10.0": recent })).toBe(used);
    expect(chosen({})).toBeUndefined();
  });

  test("gives a module what it needs, and runs it once", async () => {
    let runs = 0;
    const container = containerOf({
      "./extension": {
        needs: ["a", "b"],
        body: (require, module) => {
          runs += 1;
          module.exports = { default: [require("b"), require("a")] };
        },
      },
    });
    container.init({ a: { "1.0.0": shared("A") }, b: { "1.0.0": { get: () => () => "B" } } });
    const [one, other] = await Promise.all([container.get("./extension"), container.get("./extension")]);
    expect(one()).toEqual({ default: ["B", "A"] });
    expect(other()).toBe(one());
    expect(runs).toBe(1);
  });

  test("says what is missing", async () => {
    const container = containerOf({ "./extension": { needs: ["c"], body: () => undefined } });
    container.init({});
    await expect(container.get("./extension")).rejects.toThrow("this page shares no c");
    await expect(container.get("./style")).rejects.toThrow("no module ./style");
  });
});

describe("what a file keeps", () => {
  const PAGE = { "text/html": "<p>now</p>", "text/plain": "now" };
  const DRAWN = { "application/vnd.jupyter.widget-view+json": { model_id: "m1" }, "text/html": "<p>then</p>", "text/plain": "a board" };
  const mark = (run: string) => ({ elfbook: { run } });
  const board = (id: string, more: object = { line: true }) => ({
    data: { [RUN]: { run: "r1", id, settled: false, ...more }, ...DRAWN },
    metadata: mark("r1"),
  });
  const line = (run: string) => ({ data: { "text/html": "below", "text/plain": "then" }, metadata: mark(run) });
  const SETTLED = { [RUN]: { run: "r1", id: "i1", settled: true }, ...PAGE };

  function kept(settled: boolean, ...shown: object[]): unknown[] {
    const all = [...shown];
    const outputs = { length: all.length, get: (index: number) => ({ toJSON: () => all[index] as object }), set: (index: number, to: object) => (all[index] = to) };
    keepIn(outputs, { kind: "page", id: "i1", bundle: PAGE, settled });
    return all.map((each) => (each as { data?: unknown }).data);
  }

  test("of a run that has settled is its page in the line's place, and nothing in the board's", () => {
    expect(kept(true, { text: "printed" }, line("r1"), board("i1"))).toEqual([undefined, SETTLED, { "text/plain": "" }]);
    expect(kept(true, line("r1"), board("i1"), line("r1"), board("i1"))).toEqual([SETTLED, { "text/plain": "" }, SETTLED, { "text/plain": "" }]);
  });
  test("of it in the board's place where the output before it is no line about it", () => {
    expect(kept(true, board("i1"))).toEqual([SETTLED]);
    expect(kept(true, line("r2"), board("i1"))).toEqual([line("r2").data, SETTLED]);
    expect(kept(true, board("i1", {}), board("i1", {}))).toEqual([SETTLED, SETTLED]);
  });
  test("of one that goes on is its page as it is now behind the board, and its words in the line", () => {
    const { data } = board("i1");
    expect(kept(false, line("r1"), board("i1"))).toEqual([{ "text/html": "below", "text/plain": "now" }, { ...data, "text/html": "<p>now</p>" }]);
    expect(kept(false, board("i1", {}))).toEqual([{ ...board("i1", {}).data, ...PAGE }]);
  });
  test("of other runs, and of one that has settled before, stays as it is", () => {
    const settled = { data: { [RUN]: { run: "r1", id: "i1", settled: true }, "text/html": "<p>before</p>" } };
    for (const is of [true, false]) {
      expect(kept(is, line("r1"), board("i2"))).toEqual([line("r1").data, board("i2").data]);
      expect(kept(is, settled, { text: "printed" })).toEqual([settled.data, undefined]);
    }
  });
});
