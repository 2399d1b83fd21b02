// The panel's words about what it is told.

import type { Verb } from "../src/messages";
import type { Asking } from "../src/questions";
import { plural, size } from "../src/run/words";
import type { Connection } from "./connection";
import type { ElfCode, Overview, RunLine, Worker } from "./panelmessages";

type Heard = Pick<Connection, "standing" | "why" | "overview">;

/** How the mycelium is, as a sign, a word and a colour (`elf-ink-…`). */
export interface Standing {
  readonly glyph: string;
  readonly word: string;
  readonly ink: "done" | "running" | "waiting" | "failed";
}

export function standing({ standing: way, overview }: Heard): Standing {
  if (way === "absent") return { glyph: "✗", word: "no way to the mycelium", ink: "failed" };
  if (way === "away") return { glyph: "✗", word: "Jupyter's server is away", ink: "failed" };
  if (way === "connecting") return { glyph: "○", word: "connecting …", ink: "waiting" };
  if (!overview) return { glyph: "○", word: "looking …", ink: "waiting" };
  if (overview.reach === "connected") return { glyph: "✓", word: "connected", ink: "done" };
  if (overview.reach === "away") return { glyph: "✗", word: "away", ink: "failed" };
  return { glyph: "○", word: "not started", ink: "waiting" };
}

/** What is told is of now, and not only what was known last. */
export function current({ standing: way, overview }: Heard): boolean {
  return way === "open" && overview?.reach === "connected";
}

const KEPT: Record<string, string> = {
  durable: "durable: on disk before it counts",
  fast: "fast: a power cut loses the last moments",
  memory: "in memory: gone when the server ends",
};

export function durability(word = ""): string {
  return KEPT[word] ?? word;
}

/** For the status bar: `connected, 2 running, 1 failed`. */
export function status(heard: Heard): string {
  const { word } = standing(heard);
  if (!current(heard)) return word;
  const { running = 0, failed = 0 } = heard.overview ?? {};
  return [word, running && `${running} running`, failed && `${failed} failed`].filter(Boolean).join(", ");
}

/** Null for what can be taken back: pause and resume. */
export function question({ name, counts }: RunLine, verb: Verb): Asking | null {
  const number = (state: string) => counts[state] ?? 0;
  if (verb === "cancel") {
    const what = [
      number("running") && plural(number("running"), "running job"),
      number("waiting") && plural(number("waiting"), "waiting job"),
    ].filter(Boolean);
    return { words: `Cancel ${[name, what.join(" and ")].filter(Boolean).join(": ")}? What has been done is kept.`, yes: "Cancel it", no: "Let it go on" };
  }
  if (verb !== "retry") return null;
  const what = [
    number("failed") && plural(number("failed"), "failed job"),
    number("skipped") && plural(number("skipped"), "skipped job"),
    number("cancelled") && plural(number("cancelled"), "cancelled job"),
  ].filter(Boolean);
  const which = what.length ? `${listed(what as string[])} of ${name}` : name;
  return { words: `Run ${which} again, with the code that the run has stored?`, yes: "Retry", no: "Leave it" };
}

export function listed(words: readonly string[]): string {
  return words.length < 3 ? words.join(" and ") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** What it does now. */
export function doing({ ready, running, only }: Worker): string {
  if (!ready) return "starting …";
  if (running) return running;
  return only?.length ? `idle, only for ${listed(only)}` : "idle";
}

/** `120 %, 85 MB`: what its kernel uses, as far as that is known. */
export function uses({ cpu, memory }: Worker): string {
  return [cpu === undefined ? "" : `${Math.round(cpu * 100)} %`, memory ? size(memory) : ""].filter(Boolean).join(", ");
}

/** Time of day; with the date when it is another day. */
export function at(seconds: number, now = Date.now()): string {
  const then = new Date(seconds * 1000);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (then.toDateString() === new Date(now).toDateString()) return time;
  return `${then.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

export function revision({ digest, label, first_at: first }: ElfCode): string {
  return [digest, label, first ? at(first) : ""].filter(Boolean).join(", ");
}

/** The runs before those of an overview, as they were told last. `before` is what was shown until now. */
export function olderNow(before: readonly RunLine[], older: readonly RunLine[], overview: Overview): RunLine[] {
  if (!older.length) return [];
  const listed = new Set((overview.runs ?? []).map(({ run }) => run));
  const last = new Map(before.map((line) => [line.run, line]));
  const known = new Set(older.map(({ run }) => run));
  // What the list of the newest has no room for any more stands before the older ones.
  const left = before.filter(({ run }) => !listed.has(run) && !known.has(run));
  return [...left, ...older.filter(({ run }) => !listed.has(run)).map((line) => last.get(line.run) ?? line)];
}
