import { EditorState } from "@codemirror/state";
import { describe, expect, test } from "vitest";
import { chosen, containerOf } from "../lab/container";
import { marks } from "../lab/magic";
import { partsOf } from "../lab/magicline";
import { settleIn } from "../lab/settle";

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

describe("a settled run", () => {
  const PAGE = { "text/html": "<p>done</p>", "text/plain": "done" };
  const mark = (run: string) => ({ elfbook: { run } });
  const board = (model: string, metadata: object = mark("r1")) => ({
    data: { "application/vnd.jupyter.widget-view+json": { model_id: model }, "text/plain": "a board" },
    metadata,
  });
  const line = (metadata: object) => ({ data: { "text/plain": "its board is below" }, metadata });

  function settled(...shown: object[]): unknown[] {
    const all = [...shown];
    const outputs = { length: all.length, get: (index: number) => ({ toJSON: () => all[index] as object }), set: (index: number, to: object) => (all[index] = to) };
    settleIn(outputs, "m1", PAGE);
    return all.map((each) => (each as { data?: unknown }).data);
  }

  test("has its page in the line's place, and nothing in the board's", () => {
    expect(settled({ text: "printed" }, line(mark("r1")), board("m1"))).toEqual([undefined, PAGE, { "text/plain": "" }]);
  });
  test("has it in the board's place where no line of its own is before it", () => {
    expect(settled(board("m1"))).toEqual([PAGE]);
    expect(settled(line({}), board("m1", {}))).toEqual([line({}).data, PAGE]);
    expect(settled(line(mark("r2")), board("m1"))).toEqual([line({}).data, PAGE]);
  });
  test("leaves others' outputs alone", () => {
    expect(settled(line(mark("r1")), board("m2"))).toEqual([line({}).data, board("m2").data]);
  });
});
