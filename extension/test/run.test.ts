import { describe, expect, it } from "vitest";
import { STATES, type Patch } from "../src/messages";
import { Malformed, aligned, column } from "../src/run/columns";
import { matching, wishes } from "../src/run/filters";
import { duration, left, plural, size } from "../src/run/words";
import { buffersOf, random, randomJobs, runOf, snapshotOf } from "./random";

function patch(seq: number, changes: [job: number, state: number, worker: number][]): [Patch, ArrayBuffer[]] {
  const times = new Float64Array(changes.length).fill(5);
  const buffers = [
    Int32Array.from(changes, ([job]) => job).buffer,
    Uint8Array.from(changes, ([, state]) => state).buffer,
    new Int32Array(changes.length).fill(1).buffer,
    Int32Array.from(changes, ([, , worker]) => worker).buffer,
    times.buffer,
    times.slice().buffer,
  ];
  return [{ kind: "patch", seq, head: snapshotOf([]).head }, buffers];
}

describe("columns", () => {
  it("reads bytes that begin at an odd place of a message", () => {
    const inside = new Uint8Array(11);
    inside.set(new Uint8Array(Int32Array.from([7, -1]).buffer), 3);
    expect([...column("i4", new DataView(inside.buffer, 3))]).toEqual([7, -1]);
    expect(aligned(new DataView(inside.buffer, 3)).byteLength).toBe(8);
  });

  it("refuses a column of another length", () => {
    expect(() => column("i4", new ArrayBuffer(8), 3)).toThrow(Malformed);
    expect(() => column("i4", new ArrayBuffer(7))).toThrow(Malformed);
    expect(() => column("f8", undefined)).toThrow(Malformed);
  });
});

describe("a run", () => {
  it("counts states per task after any patches as if it had counted anew", () => {
    const next = random(1);
    const run = runOf(randomJobs(3, 60));
    for (let seq = 1; seq <= 40; seq++) {
      const changes = Array.from({ length: 5 }, () => [Math.floor(next() * 60), Math.floor(next() * 6), 0] as [number, number, number]);
      run.patch(...patch(seq, changes));
    }
    const anew = new Int32Array(3 * STATES.length);
    run.perJob.state.forEach((state, job) => anew[run.perJob.task[job] * STATES.length + state]++);
    expect(run.tallies).toEqual(anew);
    expect(run.totals.reduce((sum, number) => sum + number, 0)).toBe(60);
  });

  it("takes no patch out of turn", () => {
    const run = runOf([{ task: 0 }]);
    expect(run.patch(...patch(2, [[0, 1, 0]]))).toBeNull();
    expect(run.perJob.state[0]).toBe(0);
    expect([...(run.patch(...patch(1, [[0, 1, 0]])) ?? [])]).toEqual([0]);
    expect(run.workerName(0)).toBe("worker-1");
  });

  it("takes over a later snapshot of the same run, and of no other", () => {
    const run = runOf([{ task: 0 }, { task: 1 }]);
    const later = [{ task: 0, state: 2 }, { task: 1, state: 3 }];
    expect(run.absorb(snapshotOf(later, 9), buffersOf(later))).toBe(true);
    expect([run.done, run.failed, run.seq]).toEqual([1, 1, 9]);
    expect(run.absorb({ ...snapshotOf(later), run: "r2" }, buffersOf(later))).toBe(false);
  });

  it("knows what a job needs and what needs it", () => {
    const run = runOf([{ task: 0 }, { task: 1, values: [0] }, { task: 1, after: [0] }, { task: 2, values: [1] }]);
    expect([...run.childrenOf(0)]).toEqual([1, 2]);
    expect([...run.reach(3, "up")].sort()).toEqual([0, 1]);
    expect([...run.reach(0, "down")].sort()).toEqual([1, 2, 3]);
    expect(run.label(2)).toBe("task_parse[1]");
  });
});

describe("filters", () => {
  const run = runOf([{ task: 0, state: 3 }, { task: 1, state: 3 }, { task: 1 }, { task: 2, state: 2 }]);
  run.perJob.worker[1] = 1;

  it.each([
    [{ state: -1, words: "" }, [0, 1, 2, 3]],
    [{ state: 3, words: "" }, [0, 1]],
    [{ state: 3, words: "task:parse" }, [1]],
    [{ state: -1, words: "PARSE [1]" }, [2]],
    [{ state: -1, words: "worker:worker-2" }, [1]],
    [{ state: -1, words: "state:fail fetch" }, [0]],
    [{ state: -1, words: "nothing" }, []],
  ])("%j", (filter, jobs) => expect([...matching(run, filter)]).toEqual(jobs));

  it("reads keys that it does not know as words", () => {
    expect(wishes("a:b task:x")).toEqual([{ key: "any", text: "a:b" }, { key: "task", text: "x" }]);
  });
});

describe("words", () => {
  it.each([[0.05, "50 ms"], [0.44, "0.4 s"], [12, "12 s"], [130, "2 min 10 s"], [3 * 3600 + 300, "3 h 5 min"], [50 * 3600, "2 days 2 h"]])(
    "%d seconds",
    (seconds, words) => expect(duration(seconds)).toBe(words),
  );
  it("groups digits", () => expect(plural(12345, "job")).toBe("12\u202f345 jobs"));
  it("tells sizes", () => expect([size(999), size(1204), size(81e6), size(2.5e9)]).toEqual(["999 B", "1.2 kB", "81 MB", "2.5 GB"]));
  it("says what is left only when that is known", () => {
    expect(left(2, 10, 60)).toBe("");
    expect(left(50, 100, 300)).toBe("about 5 min left");
    expect(left(100, 100, 300)).toBe("");
  });
});
