// Boards of runs in tabs of their own: they need no kernel, outlive outputs, and come back with the page.

import type { ILayoutRestorer, JupyterFrontEnd } from "@jupyterlab/application";
import { InputDialog, MainAreaWidget, WidgetTracker } from "@jupyterlab/apputils";
import { Widget } from "@lumino/widgets";
import type { Connection } from "./connection";
import { elfIcon } from "./icon";

export const OPEN = "elfbook:board";

class BoardWidget extends Widget {
  private end: (() => void) | null = null;

  constructor(
    private readonly connection: Connection,
    readonly run: string,
    private readonly identity?: string,
  ) {
    super();
    this.addClass("elf-board-widget");
  }

  /** A board measures itself, so it is made when it has a place in the page. */
  override onAfterAttach(): void {
    this.end ??= this.connection.drawBoard(this.node, this.run, { id: this.identity });
  }

  override onActivateRequest(): void {
    this.node.querySelector<HTMLElement>(".elf-board")?.focus({ preventScroll: true });
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.end?.();
    super.dispose();
  }
}

/** Gives the command that opens a board: of `{run}`, with an `{id}` of that very run, otherwise of one that it asks for. */
export function addBoards(app: JupyterFrontEnd, connection: Connection, restorer: ILayoutRestorer | null): void {
  const tracker = new WidgetTracker<MainAreaWidget<BoardWidget>>({ namespace: "elfbook-boards" });
  const open = (run: string, id?: string): void => {
    const there = tracker.find(({ content }) => content.run === run) ?? made(run, id);
    app.shell.activateById(there.id);
  };
  const made = (run: string, id?: string): MainAreaWidget<BoardWidget> => {
    const tab = new MainAreaWidget({ content: new BoardWidget(connection, run, id) });
    // No tool stands in it.
    tab.toolbar.hide();
    tab.id = `elfbook-board-${run}`;
    tab.title.label = run.replace(/\.1$/, "");
    tab.title.caption = `Board of ${tab.title.label}`;
    tab.title.icon = elfIcon;
    tab.title.closable = true;
    app.shell.add(tab, "main");
    // Notebook 7 has room for one document there: its lower area takes the board.
    if (!tab.isAttached) {
      tab.addClass("elf-board-below");
      app.shell.add(tab, "down");
    }
    void tracker.add(tab);
    return tab;
  };
  app.commands.addCommand(OPEN, {
    label: "Open the Board of a Run…",
    caption: "In a tab of its own; needs no kernel",
    isEnabled: () => true,
    execute: async ({ run, id } = {}) => {
      const wanted = typeof run === "string" ? run : await chosen(connection);
      if (wanted) open(wanted, typeof id === "string" ? id : undefined);
    },
  });
  void restorer?.restore(tracker, { command: OPEN, args: ({ content: { run } }) => ({ run }), name: ({ content: { run } }) => run });
}

async function chosen({ overview, why }: Connection): Promise<string | null> {
  const runs = overview?.runs ?? [];
  const items = runs.map(({ glyph, name, word }) => `${glyph} ${name}, ${word}`);
  const title = items.length ? "Open the board of which run?" : why || "There is no run yet.";
  const { value } = await InputDialog.getItem({ title, items });
  return runs[items.indexOf(value ?? "")]?.run ?? null;
}
