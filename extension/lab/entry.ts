// The file that JupyterLab loads. build.mjs gives it the extension, bundled, as a function of what the page shares.

import { body, needs } from "elfbook:extension";
import { type Container, containerOf } from "./container";

const page = globalThis as { _JUPYTERLAB?: Record<string, Container> };
page._JUPYTERLAB ??= {};
page._JUPYTERLAB["elfbook"] = containerOf({ "./extension": { needs, body } });
