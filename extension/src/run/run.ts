// A run as the page knows it: a snapshot that patches keep current.

import { STATES, type Group, type Head, type Moved, type Patch, type Snapshot, type Task, type Verb } from "../messages";
import { patchColumns, snapshotColumns, type Adjacency, type Bytes, type Columns, type Edges } from "./columns";
import { DONE, FAILED, RUNNING, WAITING, duration } from "./words";

export class Run {
  readonly flow: string;
  readonly number: number;
  readonly run: string;
  readonly jobs: number;
  readonly tasks: readonly Task[];
  readonly alt: string;
  can: readonly Verb[];
  workers: string[];
  head: Head;
  groups: readonly Group[];
  seq: number;
  /** How many jobs of task t are in state s: tallies[t * STATES.length + s]. */
  readonly tallies: Int32Array;
  readonly totals: Int32Array;
  /** Jobs whose state, worker or times have changed, and counts with every change: who draws compares it. */
  version = 0;
  /** How far running jobs say that they are. */
  moves: readonly Moved[] = [];
  private children: Adjacency | null = null;

  constructor(
    snapshot: Snapshot,
    readonly perJob: Columns,
  ) {
    this.flow = snapshot.flow;
    this.number = snapshot.number;
    this.run = snapshot.run;
    this.jobs = snapshot.jobs;
    this.tasks = snapshot.tasks;
    this.alt = snapshot.alt ?? "";
    this.can = snapshot.can ?? [];
    this.workers = [...snapshot.workers];
    this.head = snapshot.head;
    this.groups = snapshot.groups ?? [];
    this.seq = snapshot.seq;
    this.tallies = new Int32Array(this.tasks.length * STATES.length);
    this.totals = new Int32Array(STATES.length);
    for (let job = 0; job < this.jobs; job++) this.tally(job, 1);
  }

  static from(snapshot: Snapshot, buffers: readonly Bytes[]): Run {
    return new Run(snapshot, snapshotColumns(snapshot, buffers));
  }

  /** Takes over a later snapshot of the same run; false when it is of another, or has other jobs. */
  absorb(snapshot: Snapshot, buffers: readonly Bytes[]): boolean {
    const same = snapshot.run === this.run && snapshot.jobs === this.jobs;
    if (!same || snapshot.tasks.length !== this.tasks.length) return false;
    const fresh = snapshotColumns(snapshot, buffers);
    for (const name of ["state", "attempts", "worker", "started", "ended"] as const) {
      this.perJob[name].set(fresh[name]);
    }
    this.tallies.fill(0);
    this.totals.fill(0);
    for (let job = 0; job < this.jobs; job++) this.tally(job, 1);
    this.seq = snapshot.seq;
    this.head = snapshot.head;
    this.workers = [...snapshot.workers];
    this.groups = snapshot.groups ?? [];
    this.can = snapshot.can ?? [];
    this.version++;
    return true;
  }

  movedOf(job: number): Moved | undefined {
    return this.moves.find((moved) => moved.job === job);
  }

  /** The jobs that have changed; null when a patch is missing before this one, or it is known already. */
  patch(patch: Patch, buffers: readonly Bytes[]): Int32Array | null {
    if (patch.seq !== this.seq + 1) return null;
    const changes = patchColumns(buffers);
    const { state, attempts, worker, started, ended } = this.perJob;
    for (let index = 0; index < changes.job.length; index++) {
      const job = changes.job[index];
      if (job < 0 || job >= this.jobs) continue;
      this.tally(job, -1);
      state[job] = changes.state[index];
      attempts[job] = changes.attempts[index];
      worker[job] = changes.worker[index];
      started[job] = changes.started[index];
      ended[job] = changes.ended[index];
      this.tally(job, 1);
    }
    this.seq = patch.seq;
    this.head = patch.head;
    if (patch.more_workers?.length) this.workers.push(...patch.more_workers);
    if (patch.groups) this.groups = patch.groups;
    this.version++;
    return changes.job;
  }

  private tally(job: number, by: number): void {
    const code = this.perJob.state[job];
    this.tallies[this.perJob.task[job] * STATES.length + code] += by;
    this.totals[code] += by;
  }

  get finished(): number {
    return this.jobs - this.totals[WAITING] - this.totals[RUNNING];
  }

  get done(): number {
    return this.totals[DONE];
  }

  get failed(): number {
    return this.totals[FAILED];
  }

  /** What `%elf` calls the run: `crawl`, or `crawl.1` where the flow's name means another one. */
  get reference(): string {
    return this.head.reference || this.name;
  }

  /** `crawl`, or `crawl.2`: what tells it apart from other runs wherever it is read. */
  get name(): string {
    return this.number > 1 ? `${this.flow}.${this.number}` : this.head.reference || this.flow;
  }

  /** How many jobs of the task are in each state. */
  talliesOf(task: number): Int32Array {
    return this.tallies.subarray(task * STATES.length, (task + 1) * STATES.length);
  }

  label(job: number): string {
    return `${this.tasks[this.perJob.task[job]]?.task ?? "job"}[${this.perJob.number[job]}]`;
  }

  /** The label with its elf in front where another elf has a task of this name, as `%elf` tells them apart. */
  fullLabel(job: number): string {
    const own = this.tasks[this.perJob.task[job]];
    const alike = this.tasks.filter(({ task }) => task === own?.task).length > 1;
    return alike ? `${own.name || own.elf}.${this.label(job)}` : this.label(job);
  }

  /** `Greeter("office").task_hello`. */
  taskTitle(index: number): string {
    const task = this.tasks[index];
    return `${task.elf}${task.name ? `("${task.name}")` : ""}.${task.task}`;
  }

  workerName(job: number): string {
    return this.workers[this.perJob.worker[job]] ?? "";
  }

  /** Seconds between start and end, or until `now` while it runs; NaN before. */
  elapsed(job: number, now: number): number {
    const { started, ended, state } = this.perJob;
    if (state[job] === RUNNING) return now - started[job];
    return ended[job] - started[job];
  }

  /** The same in words; empty before it has begun. */
  lasted(job: number, now: number): string {
    const seconds = this.elapsed(job, now);
    return Number.isFinite(seconds) ? duration(seconds) : "";
  }

  /** The jobs on which the job depends in each of those ways. */
  parentsOf(job: number, edges: readonly Edges[]): number[] {
    const parents = edges.flatMap(({ starts, list }) => [...list.subarray(starts[job], starts[job + 1])]);
    return parents.filter((parent) => parent >= 0 && parent < this.jobs);
  }

  /** The ways of depending that lead from job to job. */
  get leading(): readonly Edges[] {
    return this.perJob.edges.filter(({ kind }) => kind.leads);
  }

  childrenOf(job: number): Int32Array {
    this.children ??= turned(this);
    return this.children.list.subarray(this.children.starts[job], this.children.starts[job + 1]);
  }

  /** Everything that the job needs, or that needs it; without the job. */
  reach(job: number, way: "up" | "down"): Set<number> {
    const seen = new Set<number>();
    const todo = [job];
    const { leading } = this;
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      const next = way === "up" ? this.parentsOf(at, leading) : this.childrenOf(at);
      for (const other of next) {
        if (seen.has(other) || other === job) continue;
        seen.add(other);
        todo.push(other);
      }
    }
    return seen;
  }
}

/** Children out of parents, in two passes: how many, then which. */
function turned(run: Run): Adjacency {
  const starts = new Int32Array(run.jobs + 1);
  const { leading } = run;
  for (let job = 0; job < run.jobs; job++) for (const parent of run.parentsOf(job, leading)) starts[parent + 1]++;
  for (let job = 0; job < run.jobs; job++) starts[job + 1] += starts[job];
  const next = starts.slice();
  const list = new Int32Array(starts[run.jobs]);
  for (let job = 0; job < run.jobs; job++) for (const parent of run.parentsOf(job, leading)) list[next[parent]++] = job;
  return { starts, list };
}
