// How states, numbers and lengths of time are written; the same words as elfbook/words.py.

import { STATES, type StateName } from "../messages";

export const GLYPHS: Record<string, string> = {
  waiting: "○",
  running: "●",
  done: "✓",
  failed: "✗",
  skipped: "↷",
  cancelled: "⊘",
  paused: "‖",
};

export const [WAITING, RUNNING, DONE, FAILED, SKIPPED, CANCELLED] = STATES.keys();

export function stateName(code: number): StateName {
  return STATES[code] ?? "waiting";
}

/** The number with its digits in groups; the thin space does not break. */
export function count(number: number): string {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function plural(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

/** `0.4 s`, `2 min 10 s`, `3 h 5 min`. */
export function duration(seconds: number): string {
  const length = Math.max(0, seconds);
  if (length < 0.0995) return `${Math.round(length * 1000)} ms`;
  if (length < 9.95) return `${length.toFixed(1)} s`;
  const whole = Math.round(length);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return twoUnits(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(length / 60);
  if (minutes < 48 * 60) return twoUnits(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(length / 3600);
  return twoUnits(Math.floor(hours / 24), "days", hours % 24, "h");
}

/** A length of time that ticks: whole seconds, so that the line stays calm. */
export function elapsed(seconds: number): string {
  return seconds < 9.95 ? `${Math.floor(Math.max(0, seconds))} s` : duration(seconds);
}

/** What is left, as coarsely as it is known: `about 5 min left`; empty when nothing can be said. */
export function left(finished: number, total: number, seconds: number): string {
  if (finished < 5 || seconds < 3 || finished >= total) return "";
  const rest = (seconds * (total - finished)) / finished;
  if (rest < 10) return "a few seconds left";
  if (rest < 55) return `about ${Math.round(rest / 10) * 10} s left`;
  if (rest < 3600) return `about ${Math.round(rest / 60)} min left`;
  return `about ${Math.round(rest / 3600)} h left`;
}

/** `12 kB`. */
export function size(bytes: number): string {
  let amount = bytes;
  for (const unit of ["B", "kB", "MB"]) {
    if (amount < 999.5) return `${unit === "B" || amount >= 9.95 ? amount.toFixed(0) : amount.toFixed(1)} ${unit}`;
    amount /= 1000;
  }
  return `${amount.toFixed(1)} GB`;
}
