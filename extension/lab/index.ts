// What elfbook adds to JupyterLab and Notebook 7. A notebook is complete without it.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { EditorExtensionRegistry, IEditorExtensionRegistry } from "@jupyterlab/codemirror";
import { magicLine } from "./magic";

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

export default [magic];
