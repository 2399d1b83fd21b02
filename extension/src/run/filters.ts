// Which jobs the list shows: one state or all, and words of which each must be found in the job's line.

import { STATES } from "../messages";
import type { Run } from "./run";

export interface Filter {
  /** Place in STATES; -1 for all. */
  state: number;
  words: string;
}

export const ALL: Filter = { state: -1, words: "" };

interface Wish {
  key: "any" | "task" | "worker" | "state";
  text: string;
}

/** `task:parse worker:worker-2 17` as three wishes. */
export function wishes(words: string): Wish[] {
  const found: Wish[] = [];
  for (const word of words.toLowerCase().split(/\s+/)) {
    const keyed = /^(task|worker|state):(.+)$/.exec(word);
    if (keyed) found.push({ key: keyed[1] as Wish["key"], text: keyed[2] });
    else if (word) found.push({ key: "any", text: word });
  }
  return found;
}

/** Tests one job; what depends on its task or worker alone is found out once for each of those. */
export function test(run: Run, filter: Filter): (job: number) => boolean {
  const { state, task, worker } = run.perJob;
  const asked = wishes(filter.words);
  const titles = run.tasks.map((_, index) => run.taskTitle(index).toLowerCase());
  const workers = run.workers.map((name) => name.toLowerCase());
  const tells = (wish: Wish, job: number): boolean => {
    if (wish.key === "state") return STATES[state[job]].startsWith(wish.text);
    const onWorker = worker[job] >= 0 && (workers[worker[job]] ?? "").includes(wish.text);
    if (wish.key === "worker") return onWorker;
    const title = titles[task[job]] ?? "";
    if (wish.key === "task") return title.includes(wish.text);
    return title.includes(wish.text) || run.label(job).toLowerCase().includes(wish.text) || onWorker;
  };
  return (job) => (filter.state < 0 || state[job] === filter.state) && asked.every((wish) => tells(wish, job));
}

/** The jobs that pass, in the order in which the flow called them. */
export function matching(run: Run, filter: Filter): Int32Array {
  const found = new Int32Array(run.jobs);
  let length = 0;
  if (filter.state < 0 && !filter.words.trim()) return found.map((_, job) => job);
  const passes = test(run, filter);
  for (let job = 0; job < run.jobs; job++) if (passes(job)) found[length++] = job;
  return found.subarray(0, length);
}
