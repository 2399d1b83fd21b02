// Made from elfbook/view/messages.py by `python -m elfbook.view.typescript`; do not edit.

export type StateName = "waiting" | "running" | "done" | "failed" | "skipped" | "cancelled";

/** A job's state travels as its place in this list. */
export const STATES = ["waiting", "running", "done", "failed", "skipped", "cancelled"] as const;

export type Verb = "retry" | "cancel" | "pause" | "resume";

export type EdgeName = "value" | "after" | "turn" | "rule" | "parent";

/** A file that a page gets after its first picture: Graphviz, and what draws on canvases. */
export type FileName = "graphviz.js" | "canvas.js";

/** A way in which one job depends on another: how it is told, drawn and named. */
export interface EdgeKind {
  name: EdgeName;
  legend: string;
  /** Said of a job before the labels of those that it depends on. */
  beside: string;
  /** True when they lead to it: they are placed before it, and marked with it when it is selected. */
  leads: boolean;
  width: number;
  /** Lengths of strokes and gaps; none for a line without gaps. */
  dash: number[];
}

/** All kinds of edges. A run tells of those that it has, in this order. */
export const EDGES: readonly EdgeKind[] = [
  {"name": "value", "legend": "needs the value", "beside": "needs", "leads": true, "width": 1.3, "dash": []},
  {"name": "after", "legend": "only comes after", "beside": "comes after", "leads": true, "width": 1.3, "dash": [5, 4]},
  {"name": "turn", "legend": "waits for its turn", "beside": "has its turn after", "leads": false, "width": 1.6, "dash": [1.6, 3.4]},
  {"name": "rule", "legend": "begun by a rule", "beside": "begun by a rule on", "leads": true, "width": 1.3, "dash": [9, 3, 2, 3]},
  {"name": "parent", "legend": "called by the job", "beside": "called by", "leads": true, "width": 3, "dash": []},
];

/** The jobs of one task of one elf instance: a row of the board, and a group of its graph. */
export interface Task {
  /** The class: `Greeter`. */
  elf: string;
  /** Of the instance; empty for one without a name. */
  name: string;
  /** `task_hello`. */
  task: string;
  /** First line of what the task says of itself. */
  doc?: string;
}

/** The state line: all that is said of the run as a whole, and changes while it goes on. */
export interface Head {
  /** `done`, `failed`, `cancelled`, `running`, `waiting` or `paused`. */
  outcome: string;
  /** `flow party: 4 of 6 jobs done, 1 failed, 1 skipped`. */
  title: string;
  settled: boolean;
  /** What `%elf` calls the run here: `party`, or `party.1` where the flow's name means another one. */
  reference?: string;
  /** Why jobs wait. */
  reasons?: string[];
  /** What can be done next: why, and the exact words to type. */
  steps?: [string, string][];
  /** Result, code, durability. */
  remarks?: string[];
  /** Seconds since the epoch; None before the first job has begun. */
  started_at?: number | null;
  ended_at?: number | null;
  /** Why this view no longer follows the run; empty while it does. */
  lost?: string;
}

/** A worker that has just answered. */
export interface WorkerNow {
  name: string;
  host: string;
  pool: string;
  /** Label of the job it runs; empty when it is idle. */
  running?: string;
  /** Bytes of its kernel; 0 when unknown. */
  memory?: number;
  /** Cores its kernel keeps busy; 0 when unknown. */
  cpu?: number;
}

/** One line of a traceback, with what it is for those who colour it. */
export interface Line {
  kind: "call" | "place" | "source" | "arrow" | "value" | "error" | "remark";
  text: string;
}

/** Failures of one type at one line. */
export interface Group {
  /** `task_parse × 37`, or the job's label where it is only one. */
  title: string;
  /** Type and message of the first, in one line. */
  error: string;
  /** The first hundred. */
  jobs: number[];
  count: number;
  /** The first one's traceback. */
  lines: Line[];
}

/** A piece of what a job printed or displayed. */
export interface Said {
  stream: "stdout" | "stderr" | "display";
  attempt: number;
  /** What was printed, or a display's plain text. */
  text?: string;
  /** MIME type to data, of a display that the notebook would show too. */
  bundle?: Record<string, string>;
}

/** How one attempt of a job ended. */
export interface Attempt {
  number: number;
  outcome: string;
  worker: string;
  ended_at: number;
  elapsed_s?: number | null;
  error?: string;
}

/** How far a running job is, as it says itself. */
export interface Moved {
  job: number;
  /** `30 % · 3/10 · reading`. */
  words: string;
  /** How much of it is done, 0 to 1; None when only the words say something. */
  share?: number | null;
}

/** A piece of the code that a job runs, as it was when the flow was submitted. */
export interface Source {
  /** `Cell In[4]`, or a file's path. */
  label: string;
  first_line: number;
  text: string;
  /** Of the notebook cell it stands in; empty if that is not known. */
  cell_id?: string;
}

/**
 * Everything about a run at one moment.
 *
 * Buffers, each with an entry a job unless said otherwise: state (uint8), task (int32, place in
 * `tasks`), number (int32, the `2` of `task_hello[2]`), attempts (int32), worker (int32, place in
 * `workers`, -1 for none), started and ended (float64, seconds since the epoch, NaN for not yet);
 * then for each kind in `edges` the lists of parents: starts (int32, jobs + 1 entries) and parents
 * (int32). Job j depends that way on parents[starts[j] : starts[j + 1]].
 */
export interface Snapshot {
  kind: "snapshot";
  /** Number of the last patch that is in it. */
  seq: number;
  flow: string;
  /** Which run of the flow it is, from 1. */
  number: number;
  /** `party.2`. */
  run: string;
  jobs: number;
  tasks: Task[];
  workers: string[];
  head: Head;
  /** The clock by which the times are, when this was told; 0 when there is none. */
  now?: number;
  /** The kinds of edges there are. */
  edges?: EdgeName[];
  groups?: Group[];
  /** The graph in words. */
  alt?: string;
  /** What may be asked of the run from here. */
  can?: Verb[];
  /** Tells the run from all others, of other mycelia too, that bear its name. */
  id?: string;
}

/**
 * What has changed since the patch before.
 *
 * Buffers, each with an entry a changed job: job (int32), state (uint8), attempts (int32), worker
 * (int32), started and ended (float64).
 */
export interface Patch {
  kind: "patch";
  /** One more than that of the patch before; a board that misses one says Hello again. */
  seq: number;
  head: Head;
  /** As in the snapshot. */
  now?: number;
  /** Appended to the snapshot's `workers`. */
  more_workers?: string[];
  /** The groups of failures, the fifty largest at most; None when they are as they were. */
  groups?: Group[] | null;
}

/** How far the running jobs are that say so, and again whenever one has moved. The first hundred. */
export interface Moves {
  kind: "moves";
  jobs: Moved[];
}

/** The workers there are; told while a board shows them. */
export interface Census {
  kind: "census";
  workers: WorkerNow[];
}

/** Everything known of one job, and again whenever it changes while it is open. */
export interface Detail {
  kind: "detail";
  job: number;
  label: string;
  task: string;
  state: StateName;
  /** Why it waits; why it was skipped, cancelled or lost. */
  reason: string;
  attempts: Attempt[];
  attempt: number;
  worker: string;
  started_at: number | null;
  ended_at: number | null;
  /** Name and preview; a value that comes from another job is told as its label. */
  arguments: [string, string][];
  /** Preview; empty without one. */
  result: string;
  /** Bytes of the result. */
  size: number;
  /** `Greeter v2`, or the first digits of its digest. */
  revision: string;
  source: Source[];
  /** Of the traceback. */
  lines: Line[];
  /** Place of the call in the flow's cell. */
  called_at: string;
}

/** What the open job has printed and displayed, from piece number `start` on. */
export interface Printed {
  kind: "printed";
  job: number;
  start: number;
  pieces: Said[];
  /** Characters left out before the first piece, because they are too many for a page. */
  skipped?: number;
}

/** What became of an Act. */
export interface Answer {
  kind: "answer";
  id: number;
  words: string;
  ok: boolean;
}

/** A file that a page needs but once: one buffer, its bytes; an empty one if there is no such file. */
export interface Asset {
  kind: "asset";
  name: FileName;
}

/**
 * The run's page as it is now, for those of its outputs that show a board and that nobody else can reach.
 *
 * While the run goes on it is what their file keeps; once it has settled it takes their place.
 */
export interface Page {
  kind: "page";
  /** Of the run, as in the snapshot. */
  id: string;
  /** MIME type to data. */
  bundle: Record<string, string>;
  settled: boolean;
}

/** Said every two seconds while nothing else is: a board that hears nothing for six is alone. */
export interface Alive {
  kind: "alive";
}

/** A view is there and wants a Snapshot; said again every 30 s, when it only says that it is there. */
export interface Hello {
  kind: "hello";
  view: string;
  again?: boolean;
}

/** A view is gone. */
export interface Bye {
  kind: "bye";
  view: string;
}

/** A view shows this job: Detail and Printed are wanted, from piece number `start` on. -1 for none. */
export interface Open {
  kind: "open";
  view: string;
  job: number;
  start?: number;
}

/** Patches up to this one have been drawn; no more than 48 are sent without one. */
export interface Ack {
  kind: "ack";
  seq: number;
}

/** A view shows the workers, or no longer does. */
export interface Count {
  kind: "count";
  view: string;
  on: boolean;
}

/** Do this with the jobs, or with the whole run when none is named. */
export interface Act {
  kind: "act";
  /** Of the Answer. */
  id: number;
  verb: Verb;
  jobs?: number[];
  why?: string;
}

/** The page needs this file; answered by an Asset. */
export interface Want {
  kind: "want";
  name: FileName;
}

export type Told = Snapshot | Patch | Moves | Census | Detail | Printed | Answer | Asset | Page | Alive;

export type Asked = Hello | Bye | Open | Ack | Count | Act | Want;
