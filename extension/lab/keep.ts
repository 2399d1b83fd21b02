// What a file keeps of a run while its board is shown, and the page that takes the board's place once the run has
// settled. The kernel replaces outputs by their display id, but a page that was loaded again has forgotten those,
// and where there is no kernel nobody else could; there the board itself is told, and asks for it here.

import type { INotebookTracker, Output, Outputs } from "@jupyterlab/notebook";
import type { Page } from "../src/messages";
import { RUN, type RunShown } from "./output";

/** In all open notebooks: of each output with that run's board, and of the line before it. */
export function keep(notebooks: INotebookTracker, page: Page): void {
  notebooks.forEach(({ content }) => {
    for (const { model } of content.widgets) if (model.outputs) keepIn(model.outputs, page);
  });
}

export function keepIn(outputs: Outputs, { id, bundle, settled }: Page): void {
  for (let index = 0; index < outputs.length; index++) {
    const drawn = outputs.get(index).toJSON();
    const shown = drawn.data?.[RUN] as RunShown | undefined;
    if (!shown || shown.id !== id || shown.settled) continue;
    const line = shown.line && index ? outputs.get(index - 1).toJSON() : null;
    const told = line !== null && runOf(line) === shown.run;
    const { "text/plain": text = "", ...page } = bundle;
    if (!settled) {
      outputs.set(index, { ...drawn, data: { ...drawn.data, ...page, ...(told ? {} : { "text/plain": text }) } });
      if (told) outputs.set(index - 1, { ...line, data: { ...line.data, "text/plain": text } });
      continue;
    }
    const data = { [RUN]: { run: shown.run, id, settled }, ...bundle };
    if (told) outputs.set(index - 1, { ...line, data });
    outputs.set(index, { ...drawn, data: told ? { "text/plain": "" } : data });
  }
}

/** The run that the output shows, as its metadata has it. */
function runOf({ metadata }: Output): string | undefined {
  return (metadata?.["elfbook"] as { run?: string } | undefined)?.run;
}
