// Made from elfbook/view/panelmessages.py by `python -m elfbook.view.typescript panelmessages`; do not edit.

import type { Asked, Told, Verb } from "../src/messages";

/**
 * `away`: there should be a server and it does not answer. `none`: nothing was started here, or it has
 * ended; `up` starts it.
 */
export type Reach = "connected" | "away" | "none";

/** A worker as it last said, or as its host says of one that is starting. */
export interface Worker {
  name: string;
  /** False while its kernel starts: it takes no jobs yet. */
  ready: boolean;
  /** Name of its machine; empty for one that has not spoken yet. */
  host?: string;
  pool?: string;
  /** Named elves that it has now. */
  holds?: string[];
  /** Named elves that it was started for; it takes nothing else. Empty for one that takes anything. */
  only?: string[];
  /** Label of the job it runs; empty when it is idle. */
  running?: string;
  /** Bytes of its kernel; 0 when unknown. */
  memory?: number;
  /** Cores its kernel keeps busy; 0 when unknown. */
  cpu?: number;
  /** `python3`. */
  kernel?: string;
  /** `3.13.1`; empty when unknown. */
  python?: string;
}

/** A task of an elf, as its newest code has it. */
export interface ElfTask {
  /** `task_hello`. */
  name: string;
  /** `task_hello(name, greeting="hello")`. */
  signature: string;
  /** All that it says of itself. */
  doc?: string;
}

/** One code of an elf that runs have used. */
export interface ElfCode {
  /** Its first eight digits, as a job's detail shows them. */
  digest: string;
  /** When the first of those runs was submitted, in seconds since the epoch; 0 when unknown. */
  first_at: number;
  /** Where it stood: `Cell In[4]`, or a file's path. */
  label?: string;
  /** The runs that were submitted with it, newest first, ten at most: `party.2`. */
  runs?: string[];
}

/** An elf that runs in the store have used. */
export interface Elf {
  /** The class: `Greeter`. */
  name: string;
  /** Newest first. */
  codes: ElfCode[];
  tasks: ElfTask[];
  /** All that the class says of itself. */
  doc?: string;
}

/** A run in a panel's list: what is known of it, and the words for that. */
export interface RunLine {
  /** `party.2`: by this it is asked for. */
  run: string;
  /** What a person types: `party` for the newest run of its flow, otherwise `party.2`. */
  name: string;
  flow: string;
  number: number;
  glyph: string;
  /** `done`, `failed`, `cancelled`, `running`, `waiting` or `paused`. */
  word: string;
  /** `4 of 6 done, 1 failed, 1 skipped`. */
  title: string;
  jobs: number;
  /** State (as in STATES) to the number of its jobs; states without jobs may be missing. */
  counts: Record<string, number>;
  settled: boolean;
  paused?: boolean;
  /** Seconds since the epoch; 0 when unknown. */
  submitted_at?: number;
  settled_at?: number | null;
  /** Up to three, a line each, of a run that has settled. */
  failures?: string[];
  /** Path of the notebook it was submitted from; empty when unknown. */
  notebook?: string;
  /** What would change something now. */
  can?: Verb[];
}

/** The mycelium as it is now; sent whole, at most about twice a second. */
export interface Overview {
  kind: "overview";
  reach: Reach;
  /** Why it is away or not there, in a sentence; empty while it is connected. */
  why?: string;
  /** The line to type that would help: `%elf up`; empty for none. */
  step?: string;
  /** `this machine only`, or the server's `host:port`. */
  place?: string;
  /** Where runs are kept: the state directory; empty for a server of somebody's own. */
  kept?: string;
  /** `durable`, `fast` or `memory`; empty while not connected. */
  durability?: string;
  /** What is amiss with the store or the host, a sentence each. */
  attention?: string[];
  workers?: Worker[];
  /** By name. */
  elves?: Elf[];
  /** Newest first: the last fifty, and before them whatever of the older ones has not settled. */
  runs?: RunLine[];
  /** True when there are older runs than the last of `runs`. */
  more?: boolean;
  /** Jobs that run now. */
  running?: number;
  /** Runs among `runs` that have settled with failed jobs, or have failed jobs already. */
  failed?: number;
}

/** The answer to More. */
export interface Older {
  kind: "older";
  id: number;
  /** Newest first, fifty at most. */
  runs: RunLine[];
  more?: boolean;
}

/** What became of a Do or an Up, or why a More or a board could not be had. */
export interface Reply {
  kind: "reply";
  id: number;
  /** A sentence for people, with the next step when it did not work. */
  words: string;
  ok: boolean;
}

/** What a board of this run is told; its buffers are the frame's. */
export interface FromBoard {
  kind: "from_board";
  run: string;
  message: Told;
  /** Bytes of each buffer. */
  sizes?: number[];
}

/** There is no board to be had of that run, and why. */
export interface NoBoard {
  kind: "no_board";
  run: string;
  words: string;
}

/**
 * Do this with the run, or with these of its jobs; answered by a Reply.
 *
 * A retry runs the code that the run has stored: the cells of a notebook are known to its kernel only.
 */
export interface Do {
  kind: "do";
  id: number;
  verb: Verb;
  /** `party.2`, or `party` for the newest run of the flow. */
  run: string;
  jobs?: number[];
  why?: string;
}

/** At least so many workers are to be ready on the server's machine; answered by a Reply once they are. */
export interface Up {
  kind: "up";
  id: number;
  workers: number;
}

/** The runs before this one (`party.2`) are wanted; answered by Older. */
export interface More {
  kind: "more";
  id: number;
  before: string;
}

/** The page is seen by somebody, or no longer is: then nothing is looked up for it. */
export interface Look {
  kind: "look";
  on: boolean;
}

/** What a board of this run asks. */
export interface ToBoard {
  kind: "to_board";
  run: string;
  message: Asked;
}

export type News = Overview | Older | Reply | FromBoard | NoBoard;

export type Wish = Do | Up | More | Look | ToBoard;
