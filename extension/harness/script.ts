// A run that exists only here: what a kernel would tell of it, step by step, always the same.

import { EDGES, STATES, type EdgeName, type Group, type Head, type Line, type Snapshot, type Task } from "../src/messages";
import { CANCELLED, DONE, FAILED, RUNNING, SKIPPED, WAITING } from "../src/run/words";

export const START = 1_790_000_000;
const WORKERS = 8;
/** The job of each thousand that fails: the third parse. */
const FAILS = 2;

export interface Job {
  task: number;
  number: number;
  values: number[];
  after: number[];
  turn: number[];
  rule: number[];
  parent: number[];
  state: number;
  attempts: number;
  worker: number;
  started: number;
  ended: number;
}

const TASKS: Task[] = [
  { elf: "Crawler", name: "", task: "task_fetch", doc: "The page as bytes." },
  { elf: "Crawler", name: "", task: "task_parse", doc: "Rows of the page." },
  { elf: "Crawler", name: "", task: "task_merge", doc: "Ten pages' rows in one table." },
  { elf: "Storage", name: "animals", task: "task_prepare", doc: "Makes room." },
  { elf: "Storage", name: "animals", task: "task_store" },
];

export const TRACE: Line[] = [
  { kind: "call", text: "Crawler.task_parse(page=task_fetch[2]) on worker-3, attempt 1 of 1" },
  { kind: "place", text: "Cell In[6], line 9" },
  { kind: "source", text: "      7     for row in rows(page):" },
  { kind: "source", text: "      8         d, m, y = row.split('/')" },
  { kind: "arrow", text: "----> 9         return datetime(int(y), int(m), int(d))" },
  { kind: "value", text: "             d = '31'" },
  { kind: "value", text: "             m = '02'" },
  { kind: "error", text: "ValueError: day is out of range for month" },
];

export class Script {
  readonly jobs: Job[] = [];
  seq = 0;
  now = START;
  paused = false;
  private next = 0;
  private readonly running: number[] = [];
  private readonly changed = new Set<number>();

  /** With `every` there are edges of all kinds, also of those that no run has so far. */
  constructor(
    amount: number,
    private readonly every = false,
  ) {
    const pages = Math.max(1, Math.floor((amount - 2) / 2.1));
    const merges = Math.max(1, amount - 2 - 2 * pages);
    this.add(3, 0, [], []);
    for (let page = 0; page < pages; page++) this.add(0, page, [], []);
    for (let page = 0; page < pages; page++) this.add(1, page, [1 + page], []);
    for (let merge = 0; merge < merges; merge++) {
      const own: number[] = [];
      for (let page = merge; page < pages; page += merges) own.push(1 + pages + page);
      this.add(2, merge, own, []);
    }
    const all = Array.from({ length: merges }, (_, merge) => 1 + 2 * pages + merge);
    this.add(4, 0, all, [0]);
    if (!every) return;
    for (let page = 1; page < pages; page++) this.jobs[1 + page].turn.push(page);
    this.jobs[1 + 2 * pages].parent.push(0);
    this.jobs[1 + pages].rule.push(0);
  }

  private add(task: number, number: number, values: number[], after: number[]): void {
    const none = { state: WAITING, attempts: 0, worker: -1, started: NaN, ended: NaN };
    this.jobs.push({ task, number, values, after, turn: [], rule: [], parent: [], ...none });
  }

  label(job: number): string {
    return `${TASKS[this.jobs[job].task].task}[${this.jobs[job].number}]`;
  }

  private parents(job: Job): number[] {
    return [...job.values, ...job.after, ...job.rule, ...job.parent];
  }

  /** Jobs end and others begin, as many as asked. */
  step(changes: number): void {
    for (let change = 0; change < changes; change++) {
      this.now += 0.02;
      if (!this.begin()) this.end();
    }
  }

  private begin(): boolean {
    if (this.paused) return false;
    for (; this.next < this.jobs.length && this.running.length < WORKERS; this.next++) {
      const job = this.jobs[this.next];
      if (job.state !== WAITING) continue;
      const states = this.parents(job).map((parent) => this.jobs[parent].state);
      if (states.some((state) => state === FAILED || state === SKIPPED || state === CANCELLED)) {
        this.set(this.next, { state: SKIPPED });
        continue;
      }
      if (states.some((state) => state !== DONE)) return false;
      const worker = [...Array(WORKERS).keys()].find((slot) => !this.running.some((at) => this.jobs[at].worker === slot)) ?? 0;
      this.set(this.next, { state: RUNNING, attempts: job.attempts + 1, worker, started: this.now });
      this.running.push(this.next++);
      return true;
    }
    return false;
  }

  private end(): void {
    const job = this.running.shift();
    if (job === undefined) return;
    const { task, number, attempts } = this.jobs[job];
    const fails = task === 1 && number % 1000 === FAILS && attempts === 1;
    this.set(job, { state: fails ? FAILED : DONE, ended: this.now });
  }

  private set(job: number, to: Partial<Job>): void {
    Object.assign(this.jobs[job], to);
    this.changed.add(job);
  }

  retry(): void {
    this.jobs.forEach(({ state }, job) => {
      if (state === FAILED || state === SKIPPED) this.set(job, { state: WAITING, started: NaN, ended: NaN });
    });
    this.next = 0;
  }

  cancel(): void {
    this.jobs.forEach(({ state }, job) => {
      if (state === WAITING || state === RUNNING) this.set(job, { state: CANCELLED });
    });
    this.running.length = 0;
    this.next = this.jobs.length;
  }

  private amount(state: number): number {
    return this.jobs.reduce((sum, job) => sum + (job.state === state ? 1 : 0), 0);
  }

  get settled(): boolean {
    return this.amount(WAITING) + this.amount(RUNNING) === 0;
  }

  head(): Head {
    const [done, failed] = [this.amount(DONE), this.amount(FAILED)];
    const { settled } = this;
    const ended = this.amount(CANCELLED) ? "cancelled" : failed ? "failed" : "done";
    const outcome = settled ? ended : this.paused ? "paused" : "running";
    const retry: [string, string] = ["correct the cell, then", "%elf retry crawl"];
    const other: [string, string] = settled
      ? ["or look closer:", "%elf show crawl/task_parse[2]"]
      : ["or stop it with", "%elf cancel crawl"];
    return {
      outcome,
      title: `flow crawl: ${done} of ${this.jobs.length} jobs done`,
      settled,
      started_at: START,
      ended_at: settled ? this.now : null,
      steps: failed ? [retry, other] : [],
      remarks: ["code: Crawler v2, Storage v1", "kept on this machine"],
    };
  }

  groups(): Group[] {
    const jobs = [...this.jobs.keys()].filter((job) => this.jobs[job].state === FAILED);
    if (!jobs.length) return [];
    const title = jobs.length > 1 ? `task_parse × ${jobs.length}` : this.label(jobs[0]);
    const error = "ValueError: day is out of range for month";
    return [{ title, error, jobs: jobs.slice(0, 100), count: jobs.length, lines: TRACE }];
  }

  snapshot(): { message: Snapshot; buffers: DataView[] } {
    const { jobs } = this;
    const edges = this.every ? EDGES.map(({ name }) => name) : (["value", "after"] as const);
    const lists = (name: EdgeName) => {
      const key = name === "value" ? "values" : name;
      const starts = Int32Array.from({ length: jobs.length + 1 });
      jobs.forEach((job, index) => (starts[index + 1] = starts[index] + job[key].length));
      return [starts, Int32Array.from(jobs.flatMap((job) => job[key]))];
    };
    const columns = [...this.columns([...jobs.keys()], true), ...edges.flatMap(lists)];
    const message: Snapshot = {
      kind: "snapshot",
      seq: this.seq,
      flow: "crawl",
      number: 1,
      run: "r1",
      jobs: jobs.length,
      tasks: TASKS,
      workers: Array.from({ length: WORKERS }, (_, index) => `worker-${index + 1}`),
      head: this.head(),
      now: this.now,
      edges: [...edges],
      groups: this.groups(),
      alt: "task_fetch leads to task_parse, task_parse to task_merge, task_merge to task_store",
      can: ["retry", "cancel", "pause", "resume"],
    };
    return { message, buffers: columns.map(shifted) };
  }

  /** What has changed since the last time. */
  patch(): { message: { kind: "patch"; seq: number; head: Head; now: number; groups: Group[] }; buffers: DataView[] } {
    const jobs = [...this.changed];
    this.changed.clear();
    const buffers = [Int32Array.from(jobs), ...this.columns(jobs, false)].map(shifted);
    return { message: { kind: "patch", seq: ++this.seq, head: this.head(), now: this.now, groups: this.groups() }, buffers };
  }

  private columns(of: number[], all: boolean): ArrayBufferView[] {
    const jobs = of.map((job) => this.jobs[job]);
    const own = all ? [Int32Array.from(jobs, (job) => job.task), Int32Array.from(jobs, (job) => job.number)] : [];
    return [
      Uint8Array.from(jobs, (job) => job.state),
      ...own,
      Int32Array.from(jobs, (job) => job.attempts),
      Int32Array.from(jobs, (job) => job.worker),
      Float64Array.from(jobs, (job) => job.started),
      Float64Array.from(jobs, (job) => job.ended),
    ];
  }

  stateName(job: number): (typeof STATES)[number] {
    return STATES[this.jobs[job].state];
  }
}

/** The bytes inside a larger message, at an odd place, as a host may hand them over. */
function shifted(view: ArrayBufferView): DataView {
  const inside = new Uint8Array(view.byteLength + 3);
  inside.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), 3);
  return new DataView(inside.buffer, 3);
}
