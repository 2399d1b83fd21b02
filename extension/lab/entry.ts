// The file that JupyterLab loads. build.mjs gives it the extension, bundled, as a function of what the page shares.

import { body, needs } from "elfbook:extension";
import { containerOf, containers } from "./container";

containers()["elfbook"] = containerOf({ "./extension": { needs, body } });
