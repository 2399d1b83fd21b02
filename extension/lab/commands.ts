// Commands of the palette. Each is a line of `%elf` in a cell of its own: what was done stays in the notebook, and
// who has seen it once can type it.

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Dialog, type ICommandPalette, showDialog } from "@jupyterlab/apputils";
import { type INotebookTracker, NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";

interface Command {
  readonly verb: string;
  readonly label: string;
  /** What is asked before, and what the button says that goes on. */
  readonly ask?: readonly [string, string];
}

export const COMMANDS: readonly Command[] = [
  { verb: "up", label: "Start Workers" },
  { verb: "attach", label: "Show Runs of This Notebook Again" },
  { verb: "runs", label: "List Runs" },
  { verb: "doctor", label: "Look for What Is Wrong" },
  {
    verb: "down",
    label: "End Workers and Server…",
    ask: ["Jobs that run are stopped. Runs stay in the store and go on after the next %elf up.", "End them"],
  },
];

/** Loading twice changes nothing, and a restarted kernel has forgotten it. */
export function cellFor(verb: string): string {
  return `%load_ext elfbook\n%elf ${verb}`;
}

export function addCommands(app: JupyterFrontEnd, notebooks: INotebookTracker, palette: ICommandPalette | null): void {
  for (const { verb, label, ask } of COMMANDS) {
    const command = `elfbook:${verb}`;
    app.commands.addCommand(command, {
      label,
      caption: `%elf ${verb}, in a new cell below`,
      isEnabled: () => notebooks.currentWidget !== null,
      execute: async () => {
        const panel = notebooks.currentWidget;
        if (panel && (!ask || (await agreed(label, ...ask)))) await runBelow(panel, cellFor(verb));
      },
    });
    palette?.addItem({ command, category: "elfbook" });
  }
  notebooks.currentChanged.connect(() => app.commands.notifyCommandChanged());
}

async function agreed(title: string, body: string, label: string): Promise<boolean> {
  const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label })];
  return (await showDialog({ title: `elfbook: ${title.replace("…", "")}?`, body, buttons })).button.accept;
}

async function runBelow({ content, sessionContext }: NotebookPanel, source: string): Promise<void> {
  NotebookActions.insertBelow(content);
  content.activeCell?.model.sharedModel.setSource(source);
  await NotebookActions.run(content, sessionContext);
}
