// Makes elfbook/static/ and elfbook/labextension/ from the sources here. `node build.mjs FOLDER` writes there instead,
// `--harness` makes the page that the tests drive instead of the widget.
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
/** A page's first file and the one that it loads later: they pass objects, so short names are the same in both. */
async function buildPage(entry, name, open = []) {
  const mangleProps = await shortened(source, open);
  const { mangleCache } = await build({ ...options, entryPoints: [entry], outfile: join(folder, name), mangleProps, mangleCache: {} });
  await build({ ...options, entryPoints: ["src/canvases.ts"], outfile: join(folder, "canvas.js"), mangleProps, mangleCache });
}
if (harness) await buildPage("harness/page.ts", "page.js", [join(here, "harness")]);
else await buildPage("src/hosts/anywidget.ts", "board.js");
await build({ ...options, entryPoints: ["src/graph/graphviz.ts"], outfile: join(folder, "graphviz.js") });
await build({ ...options, entryPoints: ["src/style.css"], outfile: join(folder, "board.css") });
await buildLab(options, lab);
