// A run has settled: its page takes the place of its board. The kernel replaces outputs by their display id, but a
// page that was loaded again has forgotten those; there the board itself is told, and asks for it here.

import type { INotebookTracker, Output, Outputs } from "@jupyterlab/notebook";

const WIDGET = "application/vnd.jupyter.widget-view+json";

type Bundle = Record<string, string>;

/** In all open notebooks: of each output with that widget, and of the line before it that tells of its run. */
export function settle(notebooks: INotebookTracker, model: string, bundle: Bundle): void {
  notebooks.forEach(({ content }) => {
    for (const { model: cell } of content.widgets) if (cell.outputs) settleIn(cell.outputs, model, bundle);
  });
}

export function settleIn(outputs: Outputs, model: string, bundle: Bundle): void {
  for (let index = 0; index < outputs.length; index++) {
    const drawn = outputs.get(index).toJSON();
    if ((drawn.data?.[WIDGET] as { model_id?: string } | undefined)?.model_id !== model) continue;
    const line = index ? outputs.get(index - 1).toJSON() : null;
    const told = line !== null && runOf(line) !== undefined && runOf(line) === runOf(drawn);
    if (told) outputs.set(index - 1, { ...line, data: bundle });
    outputs.set(index, { ...drawn, data: told ? { "text/plain": "" } : bundle });
  }
}

/** The run that the output shows, as its metadata has it. */
function runOf({ metadata }: Output): string | undefined {
  return (metadata?.["elfbook"] as { run?: string } | undefined)?.run;
}
