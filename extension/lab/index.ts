// What elfbook adds to JupyterLab and Notebook 7. A notebook is complete without it.

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { EditorExtensionRegistry, IEditorExtensionRegistry } from "@jupyterlab/codemirror";
import { ICompletionProviderManager } from "@jupyterlab/completer";
import { INotebookTracker } from "@jupyterlab/notebook";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import style from "elfbook:style";
import { h } from "../src/dom";
import { addBoards, OPEN } from "./boards";
import { addCommands } from "./commands";
import { ElfWords } from "./completer";
import { type Connection, connect } from "./connection";
import { containers } from "./container";
import { goTo } from "./goto";
import { keep } from "./keep";
import { magicLine } from "./magic";
import { showMagic } from "./magiclook";
import type { RunShown } from "./output";
import { addRenderer } from "./renderer";
import { type Settings, settingsFrom } from "./settings";
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
  description: "Lets a board show the cell that a job's source is from, and has files keep the page of a run.",
  autoStart: true,
  requires: [INotebookTracker],
  activate: (app: JupyterFrontEnd, notebooks: INotebookTracker) => {
    const own = containers()["elfbook"];
    if (!own) return;
    own.goTo = (cellId) => goTo(app, notebooks, cellId);
    own.keep = (page) => keep(notebooks, page);
  },
};

const output: JupyterFrontEndPlugin = {
  id: "elfbook:output",
  description: "Shows a run in an output: its page as the file has kept it, then its board.",
  autoStart: true,
  requires: [IRenderMimeRegistry, INotebookTracker, IConnection],
  activate: (app: JupyterFrontEnd, rendermime: IRenderMimeRegistry, notebooks: INotebookTracker, way: Connection) => {
    const open = ({ run, id }: RunShown) => void app.commands.execute(OPEN, { run, id });
    addRenderer({ rendermime, notebooks, connection: way, open });
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

export default [settings, connection, magic, commands, cells, output, panel, status, completion];
