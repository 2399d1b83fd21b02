// What is asked before something is done that takes work away, or does it again.

import type { Verb } from "./messages";
import type { Run } from "./run/run";
import { RUNNING, SKIPPED, WAITING, plural } from "./run/words";

export interface Asking {
  words: string;
  yes: string;
  no: string;
}

/** Null for what can be taken back by another key: pause and resume. */
export function question(run: Run, verb: Verb, jobs: readonly number[]): Asking | null {
  const named = jobs.length === 1 ? run.label(jobs[0]) : plural(jobs.length, "job");
  if (verb === "cancel") {
    const { totals } = run;
    const all = `${plural(totals[RUNNING], "running job")} and ${plural(totals[WAITING], "waiting job")}`;
    const what = jobs.length ? named : `${run.name}: ${all}`;
    return { words: `Cancel ${what}? What has been done is kept.`, yes: "Cancel it", no: "Let it go on" };
  }
  if (verb === "retry") {
    const skipped = run.totals[SKIPPED] ? ` and ${plural(run.totals[SKIPPED], "skipped job")}` : "";
    const what = jobs.length ? named : `${plural(run.failed, "failed job")}${skipped}`;
    return { words: `Run ${what} again, with the code as it is now?`, yes: "Retry", no: "Leave it" };
  }
  return null;
}
