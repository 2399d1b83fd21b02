// Makes elfbook/static/ from the sources here. `node build.mjs FOLDER` writes there instead, `--harness` adds the
// page that the tests drive.
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { mkdir, readFile } from "node:fs/promises";
import { build, transform } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const harness = args.includes("--harness");
const folder = resolve(args.find((arg) => !arg.startsWith("--")) ?? join(here, "../elfbook/static"));
await mkdir(folder, { recursive: true });

/** A style sheet is imported as its text, made small. */
const style = {
  name: "style",
  setup: (step) =>
    step.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const css = await transform(await readFile(path, "utf8"), { loader: "css", minify: true, charset: "utf8" });
      return { contents: css.code, loader: "text" };
    }),
};

const options = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  // What JupyterLab 4 itself asks of a browser, and a little less.
  target: ["es2022"],
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  plugins: [style],
  logLevel: "warning",
};
await build({ ...options, entryPoints: ["src/hosts/anywidget.ts"], outfile: join(folder, "board.js") });
await build({ ...options, entryPoints: ["src/graph/graphviz.ts"], outfile: join(folder, "graphviz.js") });
if (harness) {
  await build({ ...options, entryPoints: ["harness/page.ts"], outfile: join(folder, "page.js") });
}
