// Random cases that are the same every time.

import type { EdgeName, Snapshot } from "../src/messages";
import { Run } from "../src/run/run";

/** Numbers from 0 up to, but not including, 1. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export interface Shape {
  task: number;
  values?: number[];
  after?: number[];
  turn?: number[];
  state?: number;
}

export const TASKS = ["fetch", "parse", "report"].map((name) => ({ elf: "Crawler", name: "", task: `task_${name}` }));

const KEYS = ["values", "after", "turn"] as const;
const NAMES: EdgeName[] = ["value", "after", "turn"];

function lists(jobs: Shape[], key: (typeof KEYS)[number]): ArrayBuffer[] {
  const starts = new Int32Array(jobs.length + 1);
  jobs.forEach((job, index) => (starts[index + 1] = starts[index] + (job[key]?.length ?? 0)));
  return [starts.buffer, Int32Array.from(jobs.flatMap((job) => job[key] ?? [])).buffer];
}

export function buffersOf(jobs: Shape[]): ArrayBuffer[] {
  const numbers = new Map<number, number>();
  const number = jobs.map(({ task }) => {
    numbers.set(task, (numbers.get(task) ?? -1) + 1);
    return numbers.get(task) ?? 0;
  });
  const none = () => new Float64Array(jobs.length).fill(NaN).buffer;
  return [
    Uint8Array.from(jobs, (job) => job.state ?? 0).buffer,
    Int32Array.from(jobs, (job) => job.task).buffer,
    Int32Array.from(number).buffer,
    new Int32Array(jobs.length).buffer,
    new Int32Array(jobs.length).fill(-1).buffer,
    none(),
    none(),
    ...KEYS.flatMap((key) => lists(jobs, key)),
  ];
}

export function snapshotOf(jobs: Shape[], seq = 0): Snapshot {
  const head = { outcome: "running", title: "flow crawl", settled: false };
  const names = { flow: "crawl", number: 1, run: "r1", tasks: TASKS, workers: ["worker-1", "worker-2"] };
  return { kind: "snapshot", seq, jobs: jobs.length, head, now: 1000, edges: NAMES, ...names };
}

export function runOf(jobs: Shape[]): Run {
  return Run.from(snapshotOf(jobs), buffersOf(jobs));
}

/** A graph in which every parent comes before its children. */
export function randomJobs(seed: number, amount: number): Shape[] {
  const next = random(seed);
  const parents = (job: number) => {
    const wanted = Math.floor(next() * 3);
    return [...new Set(Array.from({ length: job ? wanted : 0 }, () => Math.floor(next() * job)))];
  };
  return Array.from({ length: amount }, (_, job) => ({ task: Math.floor(next() * 3), values: parents(job), after: next() < 0.2 ? parents(job) : [] }));
}
