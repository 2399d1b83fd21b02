// Makes elfbook/static/ and elfbook/labextension/ from the sources here. `node build.mjs FOLDER` writes there instead,
// `--harness` adds the page that the tests drive.
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { mkdir } from "node:fs/promises";
import { build } from "esbuild";
import { buildLab } from "./lab/build.mjs";
import { shortened } from "./shorten.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const harness = args.includes("--harness");
const elsewhere = args.find((arg) => !arg.startsWith("--"));
const folder = resolve(elsewhere ?? join(here, "../elfbook/static"));
const lab = elsewhere ? join(folder, "labextension") : join(here, "../elfbook/labextension");
const source = join(here, "src");
await mkdir(folder, { recursive: true });

const options = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  // What JupyterLab 4 itself asks of a browser, and a little less.
  target: ["es2022"],
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  logLevel: "warning",
};
await build({ ...options, entryPoints: ["src/hosts/anywidget.ts"], outfile: join(folder, "board.js"), mangleProps: await shortened(source) });
await build({ ...options, entryPoints: ["src/graph/graphviz.ts"], outfile: join(folder, "graphviz.js") });
await build({ ...options, entryPoints: ["src/style.css"], outfile: join(folder, "board.css") });
await buildLab(options, lab);
if (harness) {
  await build({ ...options, entryPoints: ["harness/page.ts"], outfile: join(folder, "page.js"), mangleProps: await shortened(source, [join(here, "harness")]) });
}
