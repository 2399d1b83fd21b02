// Makes the prebuilt extension: the sources as one function, within the container that JupyterLab loads.
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

/** What the page shares. */
const SHARED = ["@jupyterlab/*", "@lumino/*", "@codemirror/*"];

/** The board's style and the panel's, as a module whose default is their text. */
async function style(options) {
  const sheet = (name) => build({ ...options, entryPoints: [name], write: false }).then(({ outputFiles }) => outputFiles[0].text);
  const sheets = [await sheet("src/style.css"), await sheet("lab/panel.css")];
  return given("elfbook:style", `export default ${JSON.stringify(sheets.join(""))};`);
}

/** A module whose text is made here. */
function given(name, contents) {
  const setup = ({ onResolve, onLoad }) => {
    onResolve({ filter: new RegExp(`^${name}$`) }, () => ({ path: name, namespace: name }));
    onLoad({ filter: /.*/, namespace: name }, () => ({ contents }));
  };
  return { name, setup };
}

async function extension(options) {
  const plugins = [await style(options)];
  const made = await build({ ...options, entryPoints: ["lab/index.ts"], format: "cjs", external: SHARED, plugins, write: false, metafile: true });
  const [{ imports }] = Object.values(made.metafile.outputs);
  const needs = [...new Set(imports.map(({ path }) => path))].sort();
  return `export const needs = ${JSON.stringify(needs)};\nexport const body = (require, module) => {${made.outputFiles[0].text}};`;
}

export async function buildLab(options, folder) {
  const here = options.absWorkingDir;
  const plugins = [given("elfbook:extension", await extension(options))];
  await build({ ...options, entryPoints: ["lab/entry.ts"], format: "iife", plugins, outfile: join(folder, "static/remoteEntry.js") });
  // Where JupyterLab looks for the schema of the settings of `elfbook:settings`.
  await cp(join(here, "lab/schemas"), join(folder, "schemas/elfbook"), { recursive: true });
  const [, version] = /__version__ = "(.*)"/.exec(await readFile(join(here, "../elfbook/version.py"), "utf8"));
  const described = JSON.parse(await readFile(join(here, "lab/package.json"), "utf8"));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), `${JSON.stringify({ ...described, version }, null, 2)}\n`);
}
