// Which property names esbuild may make short: names of members that are declared in our own sources, and that no
// browser API, no message and no string has. So a renamed one can be met nowhere but in the bundle itself.
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";

const IDENTIFIER = /[A-Za-z_$][\w$]*/g;
/** What anywidget looks for. */
const ASKED_FOR = ["render", "initialize", "model", "el", "send", "on", "off"];

async function sources(folder) {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".ts")).sort();
  return Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), "utf8")]));
}

/** Every member in TypeScript's own declarations of the browser and the language. */
async function foreign() {
  const folder = join(ts.getDefaultLibFilePath({}), "..");
  const names = (await readdir(folder)).filter((name) => /^lib\.(dom|es|webworker).*\.d\.ts$/.test(name));
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  // A line of such a file that declares a member begins with its name.
  const declared = /^\s+(?:readonly |get |set |static )*([A-Za-z_$][\w$]*)\??[:(<]/gm;
  return texts.flatMap((text) => Array.from(text.matchAll(declared), ([, name]) => name));
}

function walk(node, members, strings) {
  if (ts.isStringLiteralLike(node)) strings.add(node.text);
  const declares =
    ts.isClassElement(node) || ts.isTypeElement(node) || (ts.isParameter(node) && ts.canHaveModifiers(node) && node.modifiers);
  if (declares && node.name && ts.isIdentifier(node.name)) members.add(node.name.text);
  ts.forEachChild(node, (child) => walk(child, members, strings));
}

/** A pattern of the names for esbuild's `mangleProps`; `open` are folders whose names stay as they are. */
export async function shortened(folder, open = []) {
  const [members, strings] = [new Set(), new Set()];
  const kept = new Set([...ASKED_FOR, ...(await foreign())]);
  for (const [name, text] of await sources(folder)) {
    // Its comments are prose.
    const told = name === "messages.ts" ? text.replace(/\/\*.*?\*\//gs, "") : "";
    for (const word of told.match(IDENTIFIER) ?? []) kept.add(word);
    walk(ts.createSourceFile(name, text, ts.ScriptTarget.Latest), members, strings);
  }
  for (const each of open) for (const [, text] of await sources(each)) for (const word of text.match(IDENTIFIER) ?? []) kept.add(word);
  const names = [...members].filter((name) => !kept.has(name) && !strings.has(name)).sort();
  return new RegExp(`^(${names.join("|")})$`);
}
