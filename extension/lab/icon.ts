import { LabIcon } from "@jupyterlab/ui-components";

/** Threads between places: a mycelium. Lab gives it the theme's colour by the class. */
const DRAWING = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
<g class="jp-icon3 jp-icon-selectable" fill="#616161"><path d="M11 5h2v6.4l5.2 3-1 1.8-5.2-3-5.2 3-1-1.8 5.2-3z"/>
<circle cx="12" cy="5" r="3"/><circle cx="5" cy="17" r="3"/><circle cx="19" cy="17" r="3"/><circle cx="12" cy="12.5" r="2"/></g></svg>`;

export const elfIcon = new LabIcon({ name: "elfbook:mycelium", svgstr: DRAWING });
