// As much of JupyterLab's interfaces as is used. The packages themselves come from the page that loads us, in its
// versions; so their types, with all that they depend on, need not be installed either.

declare module "@jupyterlab/application" {
  export interface Commands {
    addCommand(id: string, options: { label: string; caption: string; isEnabled(): boolean; execute(): Promise<void> }): unknown;
    notifyCommandChanged(): void;
  }
  export interface JupyterFrontEnd {
    readonly commands: Commands;
    readonly shell: { activateById(id: string): void };
  }
  export interface JupyterFrontEndPlugin {
    id: string;
    description: string;
    autoStart: boolean;
    requires?: unknown[];
    optional?: unknown[];
    activate(app: JupyterFrontEnd, ...services: never[]): void;
  }
}

declare module "@jupyterlab/apputils" {
  export interface ICommandPalette {
    addItem(item: { command: string; category: string }): unknown;
  }
  export const ICommandPalette: unknown;
  export interface DialogButton {
    readonly accept: boolean;
  }
  export const Dialog: { cancelButton(): DialogButton; warnButton(options: { label: string }): DialogButton };
  export function showDialog(options: { title: string; body: string; buttons: DialogButton[] }): Promise<{ button: DialogButton }>;
}

declare module "@jupyterlab/notebook" {
  export interface Output {
    readonly data?: Record<string, unknown>;
    readonly metadata?: Record<string, unknown>;
  }
  export interface Outputs {
    readonly length: number;
    get(index: number): { toJSON(): Output };
    set(index: number, output: Output): void;
  }
  export interface Cell {
    readonly model: { readonly id: string; readonly sharedModel: { setSource(text: string): void }; readonly outputs?: Outputs };
  }
  export interface Notebook {
    readonly widgets: readonly Cell[];
    readonly activeCell: Cell | null;
    activeCellIndex: number;
    deselectAll(): void;
    scrollToCell(cell: Cell, align: "center"): Promise<void>;
  }
  export interface NotebookPanel {
    readonly id: string;
    readonly content: Notebook;
    readonly sessionContext: object;
  }
  export interface INotebookTracker {
    readonly currentWidget: NotebookPanel | null;
    readonly currentChanged: { connect(changed: () => void): void };
    forEach(tell: (panel: NotebookPanel) => void): void;
    find(fits: (panel: NotebookPanel) => boolean): NotebookPanel | undefined;
  }
  export const INotebookTracker: unknown;
  export const NotebookActions: {
    insertBelow(notebook: Notebook): void;
    run(notebook: Notebook, session: object): Promise<boolean>;
  };
}

declare module "@jupyterlab/codemirror" {
  import type { Extension } from "@codemirror/state";

  /** An editor's text; a cell's says what kind of cell it is. */
  export interface EditorModel {
    readonly type?: string;
  }
  export interface EditorExtensionFactory {
    name: string;
    default: unknown;
    schema: object;
    factory(options: { model: EditorModel }): unknown;
  }
  export interface IEditorExtensionRegistry {
    addExtension(factory: EditorExtensionFactory): void;
  }
  export const IEditorExtensionRegistry: unknown;
  export const EditorExtensionRegistry: { createConditionalExtension(truthy: Extension, falsy?: Extension): unknown };
}
