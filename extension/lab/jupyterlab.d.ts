// As much of JupyterLab's interfaces as is used. The packages themselves come from the page that loads us, in its
// versions; so their types, with all that they depend on, need not be installed either.

declare module "@jupyterlab/application" {
  export interface Commands {
    addCommand(id: string, options: { label: string; caption?: string; isEnabled?: () => boolean; execute: () => unknown }): unknown;
    execute(id: string): Promise<unknown>;
    notifyCommandChanged(): void;
  }
  export interface JupyterFrontEnd {
    readonly commands: Commands;
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
