// JupyterLab's renderer of outputs that show a run.

import type { INotebookTracker, Message, NotebookPanel } from "@jupyterlab/notebook";
import type { IRenderMimeRegistry, MimeModel, Renderer, RendererFactory } from "@jupyterlab/rendermime";
import { Panel, Widget } from "@lumino/widgets";
import type { Connection } from "./connection";
import { RUN, RunOutput, type RunShown } from "./output";

const WIDGET = "application/vnd.jupyter.widget-view+json";
/** Before widgets and HTML, which stand in the same outputs. */
const RANK = -100;

interface Surroundings {
  readonly rendermime: IRenderMimeRegistry;
  readonly notebooks: INotebookTracker;
  readonly connection: Connection;
  open(shown: RunShown): void;
}

export function addRenderer(around: Surroundings): void {
  // An untrusted notebook has its page shown by this one too, as JupyterLab shows any HTML there.
  around.rendermime.addFactory({ safe: true, mimeTypes: [RUN], createRenderer: () => new RunRenderer(around) }, RANK);
}

class RunRenderer extends Panel implements Renderer {
  private readonly layers = { page: new Panel(), kernel: new Panel(), server: new Panel() };
  private readonly output: RunOutput;
  private page: Renderer | null = null;
  private widget: Renderer | null = null;
  /** What has made it: another one once the notebook has a kernel. */
  private maker: RendererFactory | undefined;
  private model: MimeModel | null = null;
  private notebook: NotebookPanel | undefined;

  constructor(private readonly around: Surroundings) {
    super();
    this.addClass("elf-output");
    const { page, kernel, server } = this.layers;
    this.output = new RunOutput(around.connection, { page: page.node, kernel: kernel.node, server: server.node }, around.open);
    const { line, open } = this.output;
    for (const part of [new Widget({ node: line }), page, kernel, server, new Widget({ node: open })]) this.addWidget(part);
  }

  async renderModel(model: MimeModel): Promise<void> {
    this.model = model;
    // What a notebook that nobody trusts says of runs is its own affair.
    this.output.update(model.trusted ? (model.data[RUN] as RunShown) : null);
    this.draw();
    const kept = "text/html" in model.data ? "text/html" : "text/plain";
    const page = this.around.rendermime.createRenderer(kept);
    await page.renderModel(model);
    // Another one may have come meanwhile.
    if (this.isDisposed || this.model !== model) return page.dispose();
    this.page?.dispose();
    this.page = page;
    this.layers.page.addWidget(page);
  }

  /** What draws widgets belongs to the notebook, so it is looked for once there is one around this. */
  protected override onAfterAttach(): void {
    if (this.notebook) return;
    this.notebook = this.around.notebooks.find(({ node }) => node.contains(this.node));
    this.notebook?.sessionContext.statusChanged.connect(this.draw, this);
    this.notebook?.sessionContext.iopubMessage.connect(this.hear, this);
    this.draw();
  }

  /** Draws the widget, if there is one, once there is what draws it. */
  private draw(): void {
    if (this.notebook?.content.rendermime.getFactory(WIDGET) !== this.maker) this.drawAnew();
  }

  private drawAnew(): void {
    const { model, notebook } = this;
    const { settled } = (model?.data[RUN] ?? {}) as Partial<RunShown>;
    const maker = notebook?.content.rendermime.getFactory(WIDGET);
    if (!model?.trusted || !model.data[WIDGET] || settled || !notebook || !maker) return;
    this.maker = maker;
    this.widget?.dispose();
    this.widget = notebook.content.rendermime.createRenderer(WIDGET);
    // A copy, since its renderer writes into it what becomes of the widget.
    const data = { [WIDGET]: structuredClone(model.data[WIDGET]) };
    void this.widget.renderModel({ data, metadata: model.metadata, trusted: true, setData: () => undefined });
    this.layers.kernel.addWidget(this.widget);
  }

  /** A kernel that did not know the widget has made it, as `%elf attach` does. */
  private hear(_sender: object, { header, content }: Message): void {
    const { model_id: wanted } = (this.model?.data[WIDGET] ?? {}) as { model_id?: string };
    if (header.msg_type === "comm_open" && wanted && content.comm_id === wanted) this.drawAnew();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.output.dispose();
    super.dispose();
  }
}
