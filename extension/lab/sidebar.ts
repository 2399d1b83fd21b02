// The side panel's and the status item's places in JupyterLab.

import type { ILayoutRestorer, JupyterFrontEnd } from "@jupyterlab/application";
import type { ICommandPalette } from "@jupyterlab/apputils";
import type { IStatusBar } from "@jupyterlab/statusbar";
import { Signal } from "@lumino/signaling";
import { Widget } from "@lumino/widgets";
import { OPEN } from "./boards";
import type { Connection } from "./connection";
import { elfIcon } from "./icon";
import { PanelView } from "./panel";
import type { Settings } from "./settings";
import { StatusView } from "./status";

export const SHOW = "elfbook:panel";
const NEWEST = "elfbook:newest-board";

export function addPanel(app: JupyterFrontEnd, connection: Connection, settings: Settings, restorer: ILayoutRestorer | null): void {
  const widget = new Widget();
  widget.id = "elfbook-panel";
  widget.addClass("elf-panel-widget");
  widget.title.icon = elfIcon;
  widget.title.caption = "elfbook";
  const open = (run: string) => void app.commands.execute(OPEN, { run });
  const view = new PanelView({ connection, workers: () => settings.now.startWorkers, open });
  widget.node.append(view.element);
  settings.onChange(() => view.update());
  app.shell.add(widget, "left", { rank: 550 });
  restorer?.add(widget, widget.id);
  app.commands.addCommand(SHOW, {
    label: "Show the Panel",
    caption: "Mycelium, runs, workers and elves; needs no kernel",
    isEnabled: () => true,
    execute: () => {
      app.shell.activateById(widget.id);
      view.element.focus({ preventScroll: true });
      return Promise.resolve();
    },
  });
  app.commands.addCommand(NEWEST, {
    label: "Open the Board of the Newest Run",
    caption: "In a tab of its own; needs no kernel",
    isEnabled: () => Boolean(connection.overview?.runs?.length),
    execute: () => app.commands.execute(OPEN, { run: connection.overview?.runs?.[0]?.run }),
  });
  connection.onChange(() => app.commands.notifyCommandChanged(NEWEST));
  void Promise.all([app.restored, settings.loaded]).then(() => {
    // Shown, but not given the focus.
    if (settings.now.openAtStart) app.shell.activateById(widget.id);
  });
}

export function addToPalette(palette: ICommandPalette): void {
  for (const command of [SHOW, NEWEST, OPEN]) palette.addItem({ command, category: "elfbook" });
}

export function addStatus(app: JupyterFrontEnd, bar: IStatusBar, connection: Connection, settings: Settings): void {
  const widget = new Widget();
  const view = new StatusView(connection, () => void app.commands.execute(SHOW));
  widget.node.append(view.element);
  const changed = new Signal<Widget>(widget);
  void settings.loaded.then(() => {
    const isActive = () => settings.now.statusItem;
    bar.registerStatusItem("elfbook:status", { item: widget, align: "left", rank: 50, isActive, activeStateChanged: changed });
    settings.onChange(() => changed.emit());
  });
}
