// As much of JupyterLab's interfaces as is used. The packages themselves come from the page that loads us, in its
// versions; so their types, with all that they depend on, need not be installed either.

declare module "@jupyterlab/application" {
  import type { WidgetTracker } from "@jupyterlab/apputils";
  import type { Widget } from "@lumino/widgets";
  import type { ServerSettings } from "./connection";

  export type Args = Readonly<Record<string, unknown>>;
  export interface Commands {
    addCommand(id: string, options: { label: string; caption: string; isEnabled(): boolean; execute(args?: Args): Promise<void> }): unknown;
    execute(id: string, args?: Args): Promise<void>;
    notifyCommandChanged(id?: string): void;
  }
  export interface JupyterFrontEnd {
    readonly commands: Commands;
    readonly restored: Promise<void>;
    readonly serviceManager: { readonly serverSettings: ServerSettings };
    readonly shell: {
      activateById(id: string): void;
      add(widget: Widget, area: "left" | "main" | "down", options?: { rank: number }): void;
    };
  }
  export interface JupyterFrontEndPlugin {
    id: string;
    description: string;
    autoStart: boolean;
    requires?: unknown[];
    optional?: unknown[];
    provides?: unknown;
    activate(app: JupyterFrontEnd, ...services: never[]): unknown;
  }
  export interface ILayoutRestorer {
    add(widget: Widget, name: string): void;
    restore<W extends Widget>(
      tracker: WidgetTracker<W>,
      options: { command: string; args(widget: W): Args; name(widget: W): string },
    ): Promise<unknown>;
  }
  export const ILayoutRestorer: unknown;
}

declare module "@jupyterlab/apputils" {
  import { Widget } from "@lumino/widgets";

  export interface ICommandPalette {
    addItem(item: { command: string; category: string }): unknown;
  }
  export const ICommandPalette: unknown;
  export interface DialogButton {
    readonly accept: boolean;
  }
  export const Dialog: { cancelButton(): DialogButton; warnButton(options: { label: string }): DialogButton };
  export function showDialog(options: { title: string; body: string; buttons: DialogButton[] }): Promise<{ button: DialogButton }>;
  export const InputDialog: { getItem(options: { title: string; items: string[] }): Promise<{ value: string | null }> };
  export class MainAreaWidget<W extends Widget> extends Widget {
    constructor(options: { content: W });
    readonly content: W;
    readonly toolbar: Widget;
  }
  export class WidgetTracker<W extends Widget> {
    constructor(options: { namespace: string });
    add(widget: W): Promise<void>;
    find(fits: (widget: W) => boolean): W | undefined;
  }
}

declare module "@jupyterlab/rendermime" {
  import type { Widget } from "@lumino/widgets";

  export interface MimeModel {
    readonly trusted: boolean;
    readonly data: Readonly<Record<string, unknown>>;
    readonly metadata: Readonly<Record<string, unknown>>;
    setData(options: object): void;
  }
  export interface Renderer extends Widget {
    renderModel(model: MimeModel): Promise<void>;
  }
  export interface RendererFactory {
    readonly safe: boolean;
    readonly mimeTypes: readonly string[];
    createRenderer(): Renderer;
  }
  export interface IRenderMimeRegistry {
    addFactory(factory: RendererFactory, rank: number): void;
    getFactory(mimeType: string): RendererFactory | undefined;
    createRenderer(mimeType: string): Renderer;
  }
  export const IRenderMimeRegistry: unknown;
}

declare module "@lumino/coreutils" {
  /** By it JupyterLab finds who provides what; `of` what, nobody asks at run time. */
  export const Token: new <T>(name: string) => { readonly of?: T };
}

declare module "@lumino/signaling" {
  export class Signal<Sender> {
    constructor(sender: Sender);
    emit(): void;
  }
}

declare module "@lumino/widgets" {
  export class Widget {
    constructor(options?: { node: HTMLElement });
    readonly node: HTMLElement;
    readonly isAttached: boolean;
    readonly isDisposed: boolean;
    readonly title: { label: string; caption: string; icon: unknown; closable: boolean };
    id: string;
    addClass(name: string): void;
    hide(): void;
    setHidden(hidden: boolean): void;
    dispose(): void;
    protected onAfterAttach(message: object): void;
    protected onActivateRequest(message: object): void;
  }
  export class Panel extends Widget {
    addWidget(widget: Widget): void;
  }
}

declare module "@jupyterlab/ui-components" {
  export const LabIcon: new (options: { name: string; svgstr: string }) => object;
}

declare module "@jupyterlab/statusbar" {
  import type { Signal } from "@lumino/signaling";
  import type { Widget } from "@lumino/widgets";

  export interface StatusItem {
    item: Widget;
    align: "left";
    rank: number;
    /** Whether it is shown; asked again at each signal. */
    isActive(): boolean;
    activeStateChanged: Signal<Widget>;
  }
  export interface IStatusBar {
    registerStatusItem(id: string, item: StatusItem): unknown;
  }
  export const IStatusBar: unknown;
}

declare module "@jupyterlab/settingregistry" {
  export interface LoadedSettings {
    readonly composite: object;
    readonly changed: { connect(changed: () => void): void };
  }
  export interface ISettingRegistry {
    load(id: string): Promise<LoadedSettings>;
  }
  export const ISettingRegistry: unknown;
}

declare module "@jupyterlab/completer" {
  export interface CompletionContext {
    readonly editor?: {
      readonly model: { readonly sharedModel: { getSource(): string } };
      getCursorPosition(): object;
      getOffsetAt(position: object): number;
    } | null;
  }
  export interface CompletionRequest {
    readonly text: string;
    readonly offset: number;
  }
  export interface CompletionReply {
    start: number;
    end: number;
    items: { label: string; type: string; documentation?: string }[];
  }
  export interface ICompletionProvider {
    readonly identifier: string;
    readonly rank: number;
    readonly renderer: null;
    isApplicable(context: CompletionContext): Promise<boolean>;
    fetch(request: CompletionRequest, context: CompletionContext): Promise<CompletionReply>;
  }
  export interface ICompletionProviderManager {
    registerProvider(provider: ICompletionProvider): void;
  }
  export const ICompletionProviderManager: unknown;
}

declare module "@jupyterlab/notebook" {
  import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";

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
    readonly rendermime: IRenderMimeRegistry;
  }
  export interface Message {
    readonly header: { readonly msg_type: string };
    readonly content: { readonly comm_id?: string };
  }
  export interface SessionContext {
    readonly statusChanged: { connect(changed: () => void, owner: object): void };
    readonly iopubMessage: { connect(hear: (sender: object, message: Message) => void, owner: object): void };
  }
  export interface NotebookPanel {
    readonly id: string;
    readonly node: HTMLElement;
    readonly content: Notebook;
    readonly sessionContext: SessionContext;
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
    run(notebook: Notebook, session: SessionContext): Promise<boolean>;
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
    factory(options: { model: EditorModel }): unknown;
  }
  export interface IEditorExtensionRegistry {
    addExtension(factory: EditorExtensionFactory): void;
  }
  export const IEditorExtensionRegistry: unknown;
  export const EditorExtensionRegistry: { createImmutableExtension(extension: Extension): unknown };
}
