// What elfbook adds to JupyterLab and Notebook 7. A notebook is complete without it.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { EditorExtensionRegistry, IEditorExtensionRegistry } from "@jupyterlab/codemirror";
import { INotebookTracker } from "@jupyterlab/notebook";
import { addCommands } from "./commands";
import { containers } from "./container";
import { goTo } from "./goto";
import { magicLine } from "./magic";
import { settle } from "./settle";

const magic: JupyterFrontEndPlugin = {
  id: "elfbook:magic",
  description: "Sets the %%elf line of a cell apart.",
  autoStart: true,
  requires: [IEditorExtensionRegistry],
  activate: (_app: JupyterFrontEnd, extensions: IEditorExtensionRegistry) => {
    extensions.addExtension({
      name: "elfbookMagic",
      default: true,
      schema: { type: "boolean", title: "elfbook: set %%elf lines apart", description: "In code cells; the language stays Python." },
      factory: ({ model }) => EditorExtensionRegistry.createConditionalExtension(model.type === "code" ? magicLine : []),
    });
  },
};

const commands: JupyterFrontEndPlugin = {
  id: "elfbook:commands",
  description: "Commands for what %elf does.",
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, notebooks: INotebookTracker, palette: ICommandPalette | null) => addCommands(app, notebooks, palette),
};

const cells: JupyterFrontEndPlugin = {
  id: "elfbook:cells",
  description: "Lets a board show the cell that a job's source is from, and give way to the page of a settled run.",
  autoStart: true,
  requires: [INotebookTracker],
  activate: (app: JupyterFrontEnd, notebooks: INotebookTracker) => {
    const own = containers()["elfbook"];
    if (!own) return;
    own.goTo = (cellId) => goTo(app, notebooks, cellId);
    own.settle = (model, bundle) => settle(notebooks, model, bundle);
  },
};

export default [magic, commands, cells];
