// What elfbook adds to JupyterLab and Notebook 7. A notebook is complete without it.

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { EditorExtensionRegistry, IEditorExtensionRegistry } from "@jupyterlab/codemirror";
import { ICompletionProviderManager } from "@jupyterlab/completer";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import style from "elfbook:style";
import { h } from "../src/dom";
import { addBoards } from "./boards";
import { addCommands } from "./commands";
import { ElfWords } from "./completer";
import { type Connection, connect } from "./connection";
import { containers } from "./container";
import { goTo } from "./goto";
import { magicLine } from "./magic";
import { showMagic } from "./magiclook";
import { type Settings, settingsFrom } from "./settings";
import { settle } from "./settle";
import { addPanel, addStatus, addToPalette } from "./sidebar";
import { IConnection, ISettings } from "./tokens";

const settings: JupyterFrontEndPlugin = {
  id: "elfbook:settings",
  description: "What can be set of elfbook.",
  autoStart: true,
  optional: [ISettingRegistry],
  provides: ISettings,
  activate: (_app: JupyterFrontEnd, registry: ISettingRegistry | null) => settingsFrom(registry),
};

const connection: JupyterFrontEndPlugin = {
  id: "elfbook:connection",
  description: "The way to the mycelium through Jupyter's server, without a kernel.",
  autoStart: true,
  provides: IConnection,
  activate: (app: JupyterFrontEnd) => connect(app.serviceManager.serverSettings),
};

const magic: JupyterFrontEndPlugin = {
  id: "elfbook:magic",
  description: "Sets the %%elf line of a cell apart.",
  autoStart: true,
  requires: [IEditorExtensionRegistry, ISettings],
  activate: (_app: JupyterFrontEnd, extensions: IEditorExtensionRegistry, set: Settings) => {
    const show = () => showMagic(set.now.magicLine);
    set.onChange(show);
    void set.loaded.then(show);
    extensions.addExtension({
      name: "elfbookMagic",
      factory: ({ model }) => EditorExtensionRegistry.createImmutableExtension(model.type === "code" ? magicLine : []),
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

const panel: JupyterFrontEndPlugin = {
  id: "elfbook:panel",
  description: "A side panel with mycelium, runs, workers and elves, and boards in tabs.",
  autoStart: true,
  requires: [IConnection, ISettings],
  optional: [ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    way: Connection,
    set: Settings,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
  ) => {
    document.head.append(h("style", { "data-elfbook": "" }, style));
    addBoards(app, way, restorer);
    addPanel(app, way, set, restorer);
    if (palette) addToPalette(palette);
  },
};

const status: JupyterFrontEndPlugin = {
  id: "elfbook:status",
  description: "What runs and what has failed, in the status bar.",
  autoStart: true,
  requires: [IConnection, ISettings],
  // Notebook 7 has none.
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, way: Connection, set: Settings, bar: IStatusBar | null) => bar && addStatus(app, bar, way, set),
};

const completion: JupyterFrontEndPlugin = {
  id: "elfbook:completion",
  description: "Tab in %elf lines, also while no kernel answers.",
  autoStart: true,
  requires: [ICompletionProviderManager, IConnection],
  activate: (_app: JupyterFrontEnd, completers: ICompletionProviderManager, way: Connection) => completers.registerProvider(new ElfWords(way)),
};

export default [settings, connection, magic, commands, cells, panel, status, completion];
