// A host whose kernel is the script.

import type { Host } from "../src/host";
import type { Act, Asked, Detail, FileName, Said, Told } from "../src/messages";
import type { Bytes } from "../src/run/columns";
import { DONE, FAILED, RUNNING } from "../src/run/words";
import { Script, TRACE } from "./script";

const CODE = `%%elf
class Crawler:
    def task_parse(self, page):
        "Rows of the page."
        for row in rows(page):
            d, m, y = row.split('/')
            return datetime(int(y), int(m), int(d))`;
const TABLE = "<table><tr><th>row</th><th>date</th></tr><tr><td>1</td><td>2024-02-28</td></tr></table><script>parent.hacked = 1</script><img src=x onerror='parent.hacked = 1'>";
const FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" width="220" height="70"><polyline fill="none" stroke="#1976d2" stroke-width="2" points="0,60 40,40 80,48 120,20 160,30 220,8"/></svg>';

// As wide as a printed table is: 80 columns, whatever the page.
const PRINTED = `                     date    station  celsius  humidity  pressure   wind  direction
row 16  2025-02-27 06:00  Blindern     -3.1      81.0    1012.4    4.2        NNE
row 17  31/02/2025 06:00  Blindern     -2.8      79.0    1011.9    3.9         NE
`;

export class FakeHost implements Host {
  readonly sent: Asked[] = [];
  silent = false;
  readonly revealed: string[] = [];
  private readonly listeners = new Set<(message: Told, buffers: readonly Bytes[]) => void>();

  constructor(
    readonly script: Script,
    private readonly file: (name: string) => Promise<ArrayBuffer>,
  ) {}

  send(message: Asked): void {
    this.sent.push(message);
    // Answers come later, as they do from a kernel.
    setTimeout(() => this.answer(message), 0);
  }

  onMessage(tell: (message: Told, buffers: readonly Bytes[]) => void): () => void {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  }

  asset(name: FileName): Promise<ArrayBuffer> {
    return this.file(name);
  }

  reveal(cell: string): void {
    this.revealed.push(cell);
  }

  tell(message: Told, buffers: readonly Bytes[] = []): void {
    if (!this.silent) for (const tell of this.listeners) tell(message, buffers);
  }

  step(changes: number): void {
    this.script.step(changes);
    this.tellPatch();
  }

  tellPatch(): void {
    const { message, buffers } = this.script.patch();
    this.tell(message, buffers);
    this.tellMoves();
  }

  private tellMoves(): void {
    const running = this.script.jobs.flatMap((job, index) => (job.state === RUNNING ? [index] : []));
    this.tell({ kind: "moves", jobs: running.map((job) => ({ job, share: 0.4, words: "40 % · rows <b>40</b> of 100" })) });
  }

  private answer(message: Asked): void {
    if (message.kind === "hello" && !message.again) {
      const { message: snapshot, buffers } = this.script.snapshot();
      this.tell(snapshot, buffers);
      this.tellMoves();
    } else if (message.kind === "open" && message.job >= 0) {
      this.tell(this.detail(message.job));
      if (!message.start) this.tell({ kind: "printed", job: message.job, start: 0, pieces: this.output(message.job) });
    } else if (message.kind === "count" && message.on) {
      this.tellWorkers();
    } else if (message.kind === "act") this.act(message);
  }

  private act({ id, verb, jobs }: Act): void {
    if (verb === "retry") this.script.retry();
    else if (verb === "cancel") this.script.cancel();
    else this.script.paused = verb === "pause";
    this.tell({ kind: "answer", id, ok: true, words: `${verb}: ${jobs?.length || "all"} asked for` });
    this.tellPatch();
  }

  private tellWorkers(): void {
    const running = this.script.jobs.flatMap((job, index) => (job.state === 1 ? [[job.worker, this.script.label(index)] as const] : []));
    const names = new Map(running);
    const workers = Array.from({ length: 4 }, (_, slot) => ({
      name: `worker-${slot + 1}`,
      host: "here",
      pool: "",
      running: names.get(slot) ?? "",
      memory: 81_000_000 + slot * 7_000_000,
      cpu: names.has(slot) ? 0.9 : 0.01,
    }));
    this.tell({ kind: "census", workers });
  }

  private output(job: number): Said[] {
    const text = `${PRINTED}\u001b[32mread\u001b[0m ${this.script.label(job)} <b>not bold</b>\n`;
    return [
      { stream: "stdout", attempt: 1, text },
      { stream: "stderr", attempt: 1, text: "\u001b[1;31mwarning:\u001b[0m dates without a year\n" },
      { stream: "display", attempt: 1, text: "a table", bundle: { "text/html": TABLE } },
      { stream: "display", attempt: 1, text: "dates over rows", bundle: { "image/svg+xml": FIGURE } },
    ];
  }

  private detail(job: number): Detail {
    const { script } = this;
    const own = script.jobs[job];
    const failed = own.state === FAILED;
    const many = own.attempts > 1;
    return {
      kind: "detail",
      job,
      label: script.label(job),
      task: "Crawler.task_parse",
      state: script.stateName(job),
      reason: own.state === 0 ? "waits for task_fetch[2]" : "",
      attempts: many ? [{ number: 1, outcome: "crashed", worker: "worker-2", ended_at: own.started, elapsed_s: 0.4, error: "ValueError" }, { number: 2, outcome: "succeeded", worker: "worker-1", ended_at: own.ended, elapsed_s: 0.4 }] : [],
      attempt: own.attempts,
      worker: own.worker < 0 ? "" : `worker-${own.worker + 1}`,
      started_at: own.started,
      ended_at: own.ended,
      arguments: [["page", script.label(own.values[0] ?? job)], ["strict", "True"]],
      result: own.state === DONE ? "[datetime(2024, 2, 28), …]" : "",
      size: own.state === DONE ? 1204 : 0,
      revision: "Crawler v2",
      source: [{ label: "Cell In[6]", first_line: 1, text: CODE, cell_id: "c6" }],
      lines: failed ? TRACE : [],
      called_at: "Cell In[7], line 3",
    };
  }
}
