// What each key does, apart from the page so that it can be read and tested as a table.

export type Command =
  | "left"
  | "right"
  | "up"
  | "down"
  | "open"
  | "nextFailure"
  | "previousFailure"
  | "output"
  | "inputs"
  | "retry"
  | "cancel"
  | "pause"
  | "filter"
  | "graph"
  | "copy"
  | "help"
  | "leave"
  | "larger"
  | "smaller"
  | "fit";

/** What has the focus: a field takes letters, a button its own Enter, text that scrolls its arrows. */
export type Place = "field" | "button" | "text" | "elsewhere";

export interface Key {
  key: string;
  ctrlKey?: boolean;
  altKey?: boolean;
  metaKey?: boolean;
}

const KEYS: Record<string, Command> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  Enter: "open",
  f: "nextFailure",
  F: "previousFailure",
  l: "output",
  i: "inputs",
  r: "retry",
  c: "cancel",
  p: "pause",
  "/": "filter",
  g: "graph",
  y: "copy",
  "?": "help",
  Escape: "leave",
  "+": "larger",
  "=": "larger",
  "-": "smaller",
  "0": "fit",
};

/** The list that `?` shows. */
export const HELP: readonly [string, string][] = [
  ["↑ ↓ ← →", "move"],
  ["Enter", "open or close"],
  ["f F", "next, previous failure"],
  ["l", "output of the job"],
  ["i", "its arguments"],
  ["r", "retry (asks)"],
  ["c", "cancel (asks)"],
  ["p", "pause or resume"],
  ["/", "filter"],
  ["g", "graph or list"],
  ["+ − 0", "zoom, see all"],
  ["y", "copy the %elf line"],
  ["?", "this list"],
  ["Esc", "back to the notebook"],
];

/** What the key asks for; null when it is not the board's. */
export function commandOf({ key, ctrlKey, altKey, metaKey }: Key, place: Place): Command | null {
  if (ctrlKey || altKey || metaKey) return null;
  const command = KEYS[key] ?? null;
  if (place === "field") return key === "Escape" || key === "ArrowDown" ? command : null;
  if (place === "button" && key === "Enter") return null;
  if (place === "text" && (key === "Enter" || key.startsWith("Arrow"))) return null;
  return command;
}
