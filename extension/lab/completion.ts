// What Tab offers after `%elf` and `%%elf`, from what the mycelium holds: the same words as elfbook/entry/complete.py
// offers from what a notebook knows, also while its kernel is busy or not there.

import type { Overview, RunLine } from "./panelmessages";
import { DEFINE, FLOW, VERBS } from "./vocabulary";

export interface Flag {
  readonly name: string;
  readonly words: string;
  /** A value must follow. */
  readonly takes?: boolean;
  /** It may be given several times. */
  readonly many?: boolean;
  /** Kind of its value: `elf`, `kernel`. */
  readonly of?: string;
  /** Its values, when they are few. */
  readonly values?: readonly string[];
}

/** What follows a verb: kinds of words by place (`run`, `job`, `flow`, …), and flags. */
export interface Verb {
  readonly words: string;
  readonly places: readonly string[];
  readonly flags: readonly Flag[];
}

export interface Word {
  readonly text: string;
  /** `verb`, `flag`, `run`, `job`, `worker`, `elf`, `value`. */
  readonly kind: string;
  /** What it does, when that is known. */
  readonly words?: string;
}

const LINE = /^\s*%elf\s/;
const CELL = /^\s*%%elf\s/;

/** The line up to the cursor, when elfbook's words stand there: `%%elf` begins a cell, `%elf` any line. */
export function magicBefore(text: string, offset: number): string | null {
  const from = text.lastIndexOf("\n", offset - 1) + 1;
  const line = text.slice(from, offset);
  if (LINE.test(line)) return line;
  return CELL.test(line) && !text.slice(0, from).trim() ? line : null;
}

/** The part of the last word that has been typed. */
export function typed(line: string): string {
  return /\S*$/.exec(line)?.[0] ?? "";
}

/** Words that can stand where the last one of the line is being typed. */
export function offered(line: string, known: Overview | null): Word[] {
  const begun = typed(line);
  const words = line.slice(0, line.length - begun.length).split(/\s+/).filter(Boolean);
  const found = words[0] === "%%elf" ? afterCell(words.slice(1), known) : afterLine(words.slice(1), known);
  const first = new Map<string, Word>();
  for (const word of found) if (!first.has(word.text)) first.set(word.text, word);
  return [...first.values()].filter(({ text }) => text.startsWith(begun) && text !== begun);
}

function afterLine([verb, ...words]: string[], known: Overview | null): Word[] {
  if (verb === undefined) return verbs();
  const found = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
  return found ? afterVerb(found, words, known) : [];
}

function afterCell([verb, ...words]: string[], known: Overview | null): Word[] {
  if (verb === undefined) return [{ text: "flow", kind: "verb", words: FLOW.words }, ...flags(DEFINE, [])];
  return verb === "flow" ? afterVerb(FLOW, words, known) : [];
}

/** A flag's value, or the next operand, or a flag. */
function afterVerb(verb: Verb, words: string[], known: Overview | null): Word[] {
  const flag = verb.flags.find(({ name }) => name === words.at(-1));
  if (flag?.takes) return [...(flag.values ?? []).map((text) => ({ text, kind: "value" })), ...ofKind(flag.of ?? "", known)];
  const given = words.filter((word) => !word.startsWith("-")).length;
  return [...ofKind(verb.places[given] ?? "", known), ...flags(verb, words)];
}

function flags(verb: Verb, given: string[]): Word[] {
  const left = verb.flags.filter(({ name, many }) => many || !given.includes(name));
  return left.map(({ name, words }) => ({ text: name, kind: "flag", words }));
}

function verbs(): Word[] {
  return Object.entries(VERBS).map(([text, { words }]) => ({ text, kind: "verb", words }));
}

function ofKind(kind: string, known: Overview | null): Word[] {
  const runs = known?.runs ?? [];
  const workers = known?.workers ?? [];
  const jobs = workers.flatMap(({ running }) => (running ? [{ text: running, kind: "job" }] : []));
  const any = (first: readonly RunLine[]) => [...run(first), ...run(runs), ...jobs, ...workers.map(({ name: text }) => ({ text, kind: "worker" }))];
  switch (kind) {
    case "verb":
      return [...verbs(), { text: "flow", kind: "verb", words: FLOW.words }];
    case "run":
      return any([]);
    case "failed":
      return any(runs.filter(({ can }) => can?.includes("retry")));
    case "active":
      return any(runs.filter(({ settled }) => !settled));
    case "job":
      return jobs;
    case "elf":
      return workers.flatMap(({ holds = [], only = [] }) => [...holds, ...only]).map((text) => ({ text, kind: "elf" }));
    case "flow":
      return runs.map(({ flow, title: words }) => ({ text: flow, kind: "run", words }));
    default:
      return [];
  }
}

function run(lines: readonly RunLine[]): Word[] {
  return lines.map(({ name: text, title: words }) => ({ text, kind: "run", words }));
}
