// Makes the prebuilt extension: the sources as one function, within the container that JupyterLab loads.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

/** What the page shares. */
const SHARED = ["@jupyterlab/*", "@lumino/*", "@codemirror/*"];

async function extension(options) {
  const made = await build({ ...options, entryPoints: ["lab/index.ts"], format: "cjs", external: SHARED, write: false, metafile: true });
  const [{ imports }] = Object.values(made.metafile.outputs);
  const needs = [...new Set(imports.map(({ path }) => path))].sort();
  return `export const needs = ${JSON.stringify(needs)};\nexport const body = (require, module) => {${made.outputFiles[0].text}};`;
}

export async function buildLab(options, folder) {
  const here = options.absWorkingDir;
  const contents = await extension(options);
  const given = {
    name: "extension",
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /^elfbook:extension$/ }, () => ({ path: "extension", namespace: "elfbook" }));
      onLoad({ filter: /.*/, namespace: "elfbook" }, () => ({ contents }));
    },
  };
  await build({ ...options, entryPoints: ["lab/entry.ts"], format: "iife", plugins: [given], outfile: join(folder, "static/remoteEntry.js") });
  const [, version] = /__version__ = "(.*)"/.exec(await readFile(join(here, "../elfbook/version.py"), "utf8"));
  const described = JSON.parse(await readFile(join(here, "lab/package.json"), "utf8"));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), `${JSON.stringify({ ...described, version }, null, 2)}\n`);
}
