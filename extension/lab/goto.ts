// From a job's source to the cell it stands in.

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";

/** Activates the cell and brings it into sight. A copied notebook has the same ids: the one in front goes first. */
export function goTo(app: JupyterFrontEnd, notebooks: INotebookTracker, cellId: string): void {
  const place = (panel: NotebookPanel) => panel.content.widgets.findIndex((cell) => cell.model.id === cellId);
  const front = notebooks.currentWidget;
  const panel = front && place(front) >= 0 ? front : notebooks.find((each) => place(each) >= 0);
  const index = panel ? place(panel) : -1;
  const cell = panel?.content.widgets[index];
  if (!panel || !cell) return;
  app.shell.activateById(panel.id);
  panel.content.deselectAll();
  panel.content.activeCellIndex = index;
  void panel.content.scrollToCell(cell, "center");
}
