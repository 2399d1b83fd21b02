// The page's way to the mycelium through Jupyter's own server: what there is, what can be done, and boards, all of it
// without a kernel. One WebSocket for a page, which comes back by itself.

import type { Host } from "../src/host";
import type { Asked, Told } from "../src/messages";
import type { Bytes } from "../src/run/columns";
import { draw, type Wanted } from "./drawing";
import type { Do, FromBoard, News, Older, Overview, Reply, Up, Wish } from "./panelmessages";

/** As much of JupyterLab's ServerConnection.ISettings as is used: `app.serviceManager.serverSettings`. */
export interface ServerSettings {
  readonly baseUrl: string;
  readonly wsUrl: string;
  readonly token: string;
  readonly appendToken?: boolean;
  readonly init?: RequestInit;
  readonly fetch?: typeof fetch;
  readonly WebSocket?: new (url: string) => WebSocket;
}

/**
 * `open`: messages come and go. `connecting`: not yet, or not again. `away`: Jupyter's server has not answered so
 * far. `absent`: it answers, but elfbook's part of it is not there or may not be used.
 */
export type Standing = "connecting" | "open" | "away" | "absent";

/** What can be asked for; the id of its answer is given here. */
export type Order = Omit<Do, "id"> | Omit<Up, "id">;

type FileName = Parameters<Host["asset"]>[0];

export interface BoardHost extends Host {
  /** Calls with words for people when there is no board of that run to be had. */
  onRefused(tell: (words: string) => void): void;
  /** Says goodbye for views that did not, and hears nothing more. */
  dispose(): void;
}

export interface Connection {
  readonly standing: Standing;
  /** Why it is away or absent, with what to do about it; empty while it is open. */
  readonly why: string;
  /** As it was told last, also while the server is away; null before the first. */
  readonly overview: Overview | null;
  /** Calls when any of the three above has changed; returns what ends that. */
  onChange(tell: () => void): () => void;
  /** Never rejects: what did not work is a Reply that is not `ok`, with words for people. */
  act(order: Order): Promise<Reply>;
  /** The runs before that one, fifty at most; a Reply says why there are none to be had. */
  older(before: string): Promise<Older | Reply>;
  /** Tries now, whatever it is waiting for; does nothing while it is open. */
  again(): void;
  /** What a board of that run says and hears; `run` as in RunLine.run. */
  openBoard(run: string): BoardHost;
  /** Draws the run's board in the element, as in a notebook, and goes on when it can; returns what ends it. */
  drawBoard(element: HTMLElement, run: string, wanted?: Wanted): () => void;
  /** The text of one of the board's own files: `board.js`, `board.css`. */
  file(name: string): Promise<string>;
  dispose(): void;
}

const PATH = "elfbook/socket";
const FILES = "elfbook/files";
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const LOST = "The Jupyter server was lost before it answered: look at what holds now before you ask again.";
const NOT_THERE = "The Jupyter server does not answer. It is tried again by itself.";

export function connect(settings: ServerSettings): Connection {
  return new Socket(settings);
}

type Answered = (news: Older | Reply) => void;

class Socket implements Connection {
  standing: Standing = "connecting";
  why = "";
  overview: Overview | null = null;
  private socket: WebSocket | null = null;
  private readonly listeners = new Set<() => void>();
  private readonly waiting = new Map<number, Answered>();
  private readonly boards = new Set<Board>();
  private lastId = 0;
  private waitMs = FIRST_WAIT_MS;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private over = false;
  private readonly seen = () => this.tellSeen();
  private readonly hurry = () => this.again();

  constructor(private readonly settings: ServerSettings) {
    document.addEventListener("visibilitychange", this.seen);
    globalThis.addEventListener("online", this.hurry);
    this.begin();
  }

  onChange(tell: () => void): () => void {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  }

  async act(order: Order): Promise<Reply> {
    const answer = await this.ask((id) => ({ ...order, id }));
    return answer.kind === "reply" ? answer : { kind: "reply", id: answer.id, words: "", ok: true };
  }

  older(before: string): Promise<Older | Reply> {
    return this.ask((id) => ({ kind: "more", id, before }));
  }

  openBoard(run: string): BoardHost {
    const board = new Board(run, (wish) => this.send(wish), () => this.boards.delete(board));
    this.boards.add(board);
    return board;
  }

  drawBoard(element: HTMLElement, run: string, wanted?: Wanted): () => void {
    return draw(this, element, run, wanted);
  }

  async file(name: string): Promise<string> {
    const reply = await this.get(`${FILES}/${name}`);
    if (!reply.ok) throw new Error(`the Jupyter server gives no ${name} (${reply.status})`);
    return reply.text();
  }

  again(): void {
    if (this.over || this.socket) return;
    clearTimeout(this.timer);
    this.waitMs = FIRST_WAIT_MS;
    this.begin();
  }

  dispose(): void {
    this.over = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
    globalThis.removeEventListener("online", this.hurry);
    for (const board of [...this.boards]) board.dispose();
    this.socket?.close();
    this.forsake();
    this.listeners.clear();
  }

  private ask(wish: (id: number) => Wish): Promise<Older | Reply> {
    const id = ++this.lastId;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      if (this.send(wish(id))) return;
      this.waiting.delete(id);
      resolve({ kind: "reply", id, words: this.why || NOT_THERE, ok: false });
    });
  }

  /** False when nobody can hear it now. */
  private send(wish: Wish): boolean {
    if (this.standing !== "open" || !this.socket) return false;
    this.socket.send(JSON.stringify(wish));
    return true;
  }

  // ---------------------------------------------------------------- the socket

  private begin(): void {
    if (this.over) return;
    const { settings } = this;
    const query = settings.appendToken && settings.token ? `?token=${encodeURIComponent(settings.token)}` : "";
    const socket = new (settings.WebSocket ?? WebSocket)(`${joined(settings.wsUrl, PATH)}${query}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.opened();
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => this.hear(data);
    socket.onclose = () => this.closed(socket);
    this.socket = socket;
  }

  private opened(): void {
    this.waitMs = FIRST_WAIT_MS;
    this.stand("open", "");
    if (document.hidden) this.tellSeen();
    for (const board of this.boards) board.again();
  }

  private closed(socket: WebSocket): void {
    if (socket !== this.socket || this.over) return;
    this.socket = null;
    const before = this.standing;
    this.forsake();
    if (before === "open") this.stand("connecting", NOT_THERE);
    else void this.find();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.begin(), this.waitMs);
    this.waitMs = Math.min(this.waitMs * 2, LONGEST_WAIT_MS);
  }

  /** A WebSocket does not say why it was refused; the same address does when it is asked for as a page. */
  private async find(): Promise<void> {
    let status = 0;
    try {
      status = (await this.get(PATH)).status;
    } catch {
      // Then nobody is there at all.
    }
    if (this.over || this.standing === "open") return;
    // What is missing does not come by itself, and each try would be a line in the browser's console.
    if ([401, 403, 404].includes(status)) clearTimeout(this.timer);
    if (status === 404) this.stand("absent", "The Jupyter server runs without elfbook's extension: see  jupyter server extension list");
    else if (status === 401 || status === 403) this.stand("absent", "You are not logged in to this Jupyter server any more: load the page again.");
    else this.stand("away", NOT_THERE);
  }

  private get(path: string): Promise<Response> {
    const { token, init, baseUrl } = this.settings;
    const headers = token ? { headers: { Authorization: `token ${token}` } } : {};
    return (this.settings.fetch ?? fetch)(joined(baseUrl, path), { ...init, cache: "no-store", ...headers });
  }

  /** Nobody will answer what was asked. */
  private forsake(): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const [id, answered] of waiting) answered({ kind: "reply", id, words: LOST, ok: false });
  }

  private stand(standing: Standing, why: string): void {
    if (standing === this.standing && why === this.why) return;
    this.standing = standing;
    this.why = why;
    this.change();
  }

  private change(): void {
    for (const tell of [...this.listeners]) tell();
  }

  /** While nobody sees the page the server need not look anything up for it. */
  private tellSeen(): void {
    if (!document.hidden) this.again();
    this.send({ kind: "look", on: !document.hidden });
  }

  // ---------------------------------------------------------------- what comes

  private hear(data: string | ArrayBuffer): void {
    const [news, buffers] = typeof data === "string" ? [JSON.parse(data) as News, []] : framed(data);
    switch (news.kind) {
      case "overview":
        this.overview = news;
        this.change();
        break;
      case "older":
      case "reply":
        this.waiting.get(news.id)?.(news);
        this.waiting.delete(news.id);
        break;
      case "from_board":
        for (const board of [...this.boards]) if (board.run === news.run) board.hear(news.message, buffers);
        break;
      case "no_board":
        for (const board of [...this.boards]) if (board.run === news.run) board.refused(news.words);
    }
  }
}

function joined(base: string, path: string): string {
  return `${base.replace(/\/$/, "")}/${path}`;
}

/** A message and its buffers, as elfbook/view/panelmessages.py describes them. */
export function framed(data: ArrayBuffer): [News, ArrayBuffer[]] {
  const length = new DataView(data).getUint32(0, true);
  const news = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as FromBoard;
  let from = 4 + length;
  const buffers = (news.sizes ?? []).map((size) => data.slice(from, (from += size)));
  return [news, buffers];
}

type Tell = (message: Told, buffers: readonly Bytes[]) => void;

class Board implements BoardHost {
  private readonly listeners = new Set<Tell>();
  private readonly views = new Set<string>();
  private tellRefused: (words: string) => void = () => undefined;
  /** Files that have been asked for and have not come: asked for again when the server comes back. */
  private readonly wants = new Set<FileName>();
  private readonly files = new Map<FileName, ((bytes: ArrayBuffer) => void)[]>();

  constructor(
    readonly run: string,
    private readonly post: (wish: Wish) => boolean,
    private readonly gone: () => void,
  ) {}

  send(message: Asked): void {
    if (message.kind === "hello") this.views.add(message.view);
    if (message.kind === "bye") this.views.delete(message.view);
    if (message.kind === "want") this.wants.add(message.name);
    const sent = this.post({ kind: "to_board", run: this.run, message });
    if (!sent && message.kind === "act") this.hear({ kind: "answer", id: message.id, words: NOT_THERE, ok: false }, []);
  }

  onMessage(tell: Tell): () => void {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  }

  asset(name: FileName): Promise<ArrayBuffer> {
    return new Promise((resolve) => {
      this.files.set(name, [...(this.files.get(name) ?? []), resolve]);
      this.send({ kind: "want", name });
    });
  }

  hear(message: Told, buffers: readonly ArrayBuffer[]): void {
    if (message.kind === "asset") {
      for (const resolve of this.files.get(message.name) ?? []) resolve(buffers[0] ?? new ArrayBuffer(0));
      this.files.delete(message.name);
      this.wants.delete(message.name);
    }
    for (const tell of [...this.listeners]) tell(message, buffers);
  }

  onRefused(tell: (words: string) => void): void {
    this.tellRefused = tell;
  }

  refused(words: string): void {
    this.tellRefused(words);
  }

  /** The server that answers now knows nothing of these views. */
  again(): void {
    for (const view of this.views) this.send({ kind: "hello", view });
    for (const name of this.wants) this.send({ kind: "want", name });
  }

  dispose(): void {
    for (const view of [...this.views]) this.send({ kind: "bye", view });
    this.listeners.clear();
    this.gone();
  }
}
