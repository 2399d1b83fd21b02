// The page's way to the mycelium, with sockets that the test opens, closes and speaks through.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { connect, framed, type Connection } from "../lab/connection";
import { loading, type Program } from "../lab/drawing";
import type { News, Wish } from "../lab/panelmessages";
import type { Told } from "../src/messages";

class FakeSocket {
  static made: FakeSocket[] = [];
  readonly sent: Wish[] = [];
  binaryType = "";
  onopen: () => void = () => undefined;
  onclose: () => void = () => undefined;
  onmessage: (event: { data: string | ArrayBuffer }) => void = () => undefined;
  closed = false;

  constructor(readonly url: string) {
    FakeSocket.made.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Wish);
  }

  close(): void {
    this.closed = true;
    this.onclose();
  }

  tell(news: News): void {
    this.onmessage({ data: JSON.stringify(news) });
  }

  get last(): Wish | undefined {
    return this.sent.at(-1);
  }
}

function packed(news: object, ...buffers: number[][]): ArrayBuffer {
  const words = new TextEncoder().encode(JSON.stringify({ ...news, sizes: buffers.map((each) => each.length) }));
  const bytes = new Uint8Array(4 + words.length + buffers.flat().length);
  new DataView(bytes.buffer).setUint32(0, words.length, true);
  bytes.set(words, 4);
  bytes.set(buffers.flat(), 4 + words.length);
  return bytes.buffer;
}

let status = 0;
let asked: string[] = [];
let hidden = false;
let connection: Connection;
const newest = () => FakeSocket.made.at(-1) as FakeSocket;

function connected(more: object = {}): Connection {
  const fetching = async (url: unknown) => {
    asked.push(String(url));
    if (!status) throw new TypeError("nobody there");
    return new Response(null, { status });
  };
  const settings = { baseUrl: "http://here/some/", wsUrl: "ws://here/some/", token: "a b", appendToken: true };
  connection = connect({ ...settings, fetch: fetching as typeof fetch, WebSocket: FakeSocket as unknown as new (url: string) => WebSocket, ...more });
  return connection;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(document, "hidden", "get").mockImplementation(() => hidden);
  FakeSocket.made = [];
  [status, asked, hidden] = [0, [], false];
});

afterEach(() => {
  connection.dispose();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("the socket", () => {
  test("goes to the server's own address, with the token where pages send one", () => {
    connected();
    expect(newest().url).toBe("ws://here/some/elfbook/socket?token=a%20b");
    expect(newest().binaryType).toBe("arraybuffer");
    connection.dispose();
    connected({ appendToken: false });
    expect(newest().url).toBe("ws://here/some/elfbook/socket");
  });

  test("what is told is there, and whoever listens is called", () => {
    const changes: string[] = [];
    const end = connected().onChange(() => changes.push(`${connection.standing} ${connection.overview?.reach}`));
    newest().onopen();
    newest().tell({ kind: "overview", reach: "none" });
    end();
    newest().tell({ kind: "overview", reach: "connected" });
    expect(changes).toEqual(["open undefined", "open none"]);
    expect(connection.overview?.reach).toBe("connected");
  });

  test("comes back by itself, ever more slowly, and keeps what it was told", async () => {
    connected();
    newest().onopen();
    newest().tell({ kind: "overview", reach: "connected" });
    newest().onclose();
    expect([connection.standing, connection.overview?.reach]).toEqual(["connecting", "connected"]);
    await vi.advanceTimersByTimeAsync(499);
    expect(FakeSocket.made.length).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.made.length).toBe(2);
    newest().onclose();
    await vi.advanceTimersByTimeAsync(999);
    expect([connection.standing, FakeSocket.made.length]).toEqual(["away", 2]);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.made.length).toBe(3);
    newest().onopen();
    expect([connection.standing, connection.why]).toEqual(["open", ""]);
    newest().onclose();
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeSocket.made.length).toBe(4);
  });

  test.each([
    [404, "absent", "jupyter server extension list"],
    [403, "absent", "not logged in"],
    [500, "away", "does not answer"],
    [0, "away", "does not answer"],
  ])("why it was refused is found out: %s", async (found, standing, words) => {
    status = found;
    connected();
    newest().onclose();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual(["http://here/some/elfbook/socket"]);
    expect(connection.standing).toBe(standing);
    expect(connection.why).toContain(words);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(FakeSocket.made.length).toBe(standing === "absent" ? 1 : 2);
    connection.again();
    connection.again();
    expect(FakeSocket.made.length).toBe(2);
  });

  test("a page that is not seen says so, and one that is seen again does not wait", async () => {
    connected();
    newest().onopen();
    hidden = true;
    document.dispatchEvent(new Event("visibilitychange"));
    expect(newest().last).toEqual({ kind: "look", on: false });
    newest().onclose();
    hidden = false;
    document.dispatchEvent(new Event("visibilitychange"));
    expect(FakeSocket.made.length).toBe(2);
    hidden = true;
    newest().onopen();
    expect(newest().sent).toEqual([{ kind: "look", on: false }]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.made.length).toBe(2);
  });

  test("once disposed of it stays away", async () => {
    connected();
    newest().onopen();
    connection.dispose();
    expect(newest().closed).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    globalThis.dispatchEvent(new Event("online"));
    expect(FakeSocket.made.length).toBe(1);
  });
});

describe("what is asked for", () => {
  test("is answered by its number", async () => {
    connected();
    newest().onopen();
    const [one, other] = [connection.act({ kind: "do", verb: "cancel", run: "party.2" }), connection.act({ kind: "up", workers: 2 })];
    expect(newest().sent).toEqual([
      { kind: "do", verb: "cancel", run: "party.2", id: 1 },
      { kind: "up", workers: 2, id: 2 },
    ]);
    newest().tell({ kind: "reply", id: 2, words: "2 workers ready", ok: true });
    newest().tell({ kind: "reply", id: 1, words: "no such run", ok: false });
    expect((await one).words).toBe("no such run");
    expect((await other).ok).toBe(true);
    const older = connection.older("party.1");
    newest().tell({ kind: "older", id: 3, runs: [] });
    expect(await older).toEqual({ kind: "older", id: 3, runs: [] });
  });

  test("is refused in words while nobody can hear it, and when nobody can answer any more", async () => {
    connected();
    const early = await connection.act({ kind: "up", workers: 2 });
    expect([early.ok, early.words]).toEqual([false, "The Jupyter server does not answer. It is tried again by itself."]);
    newest().onopen();
    const asking = connection.act({ kind: "up", workers: 2 });
    newest().onclose();
    expect((await asking).words).toContain("look at what holds now");
    expect((await asking).ok).toBe(false);
  });
});

describe("a board", () => {
  const models: { send(asked: object): void; on(event: string, heard: (told: Told) => void): void }[] = [];
  const undraw = vi.fn();
  const render = ({ model, el }: { model: (typeof models)[0]; el: HTMLElement }) => {
    models.push(model);
    el.append("a board");
    return undraw;
  };

  // Once in a page, so the tests share it.
  beforeEach(() => {
    models.length = 0;
    vi.spyOn(loading, "program").mockImplementation(async () => ({ default: { render } }) as unknown as Program);
    status = 200;
  });

  test("is drawn by the program of the server, and grey while nobody answers", async () => {
    connected();
    const element = document.createElement("div");
    const end = connection.drawBoard(element, "party.2");
    expect(element.textContent).toBe("connecting to the Jupyter server …");
    newest().onopen();
    newest().tell({ kind: "overview", reach: "connected" });
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual(["http://here/some/elfbook/files/board.js", "http://here/some/elfbook/files/board.css"]);
    expect(element.textContent).toBe("a board");
    const told: string[] = [];
    models[0]?.on("msg:custom", ({ kind }) => told.push(kind));
    models[0]?.send({ kind: "hello", view: "v" });
    expect(newest().last).toEqual({ kind: "to_board", run: "party.2", message: { kind: "hello", view: "v" } });
    newest().tell({ kind: "overview", reach: "none", why: "Nothing runs here.", step: "%elf up" });
    expect(element.textContent).toBe("Nothing runs here. %elf up starts it.a board");
    await vi.advanceTimersByTimeAsync(4000);
    expect(told).toEqual(["alive", "alive"]);
    newest().tell({ kind: "overview", reach: "connected" });
    newest().tell({ kind: "no_board", run: "party.2", words: "there is no flow called party here" });
    expect(element.querySelector("[role=alert]")?.textContent).toBe("there is no flow called party here");
    end();
    expect([undraw.mock.calls.length, element.childNodes.length]).toEqual([1, 0]);
    expect(newest().last).toEqual({ kind: "to_board", run: "party.2", message: { kind: "bye", view: "v" } });
  });

  test("of one run and no other hears of that only, and keeps its page where it is asked to", async () => {
    const told: Told[] = [];
    connected();
    newest().onopen();
    newest().tell({ kind: "overview", reach: "connected" });
    const element = document.createElement("div");
    const refused = vi.fn();
    const say = (message: object) => newest().tell({ kind: "from_board", run: "party.2", message: message as Told });
    const page = { kind: "page", id: "i1", bundle: {}, settled: true };
    let end = connection.drawBoard(element, "party.2", { id: "i1", keeps: true, refused });
    await vi.advanceTimersByTimeAsync(0);
    models[0]?.on("msg:custom", (message) => told.push(message));
    for (const message of [{ kind: "snapshot", id: "i1" }, page]) say(message);
    expect(told.splice(0)).toMatchObject([{ kind: "snapshot" }, { kind: "page" }]);
    say({ kind: "snapshot", id: "i2" });
    expect([told.length, refused.mock.calls.length]).toEqual([0, 1]);
    expect(refused.mock.lastCall?.[0]).toContain("another run that is called party.2");
    end();
    end = connection.drawBoard(element, "party.2");
    await vi.advanceTimersByTimeAsync(0);
    models[1]?.on("msg:custom", (message) => told.push(message));
    for (const message of [{ kind: "snapshot", id: "i2" }, page]) say(message);
    expect(told).toMatchObject([{ kind: "snapshot" }]);
    end();
  });

  const buffers = (told: [Told, readonly unknown[]][]) => told.map(([, each]) => each.map((one) => [...new Uint8Array(one as ArrayBuffer)]));

  test("hears what is told of its run, with the bytes", () => {
    connected();
    newest().onopen();
    const host = connection.openBoard("party.2");
    const told: [Told, readonly unknown[]][] = [];
    host.onMessage((message, bytes) => told.push([message, bytes]));
    const message = { kind: "patch", seq: 4 };
    newest().onmessage({ data: packed({ kind: "from_board", run: "party.2", message }, [1, 2, 3], [], [4]) });
    newest().onmessage({ data: packed({ kind: "from_board", run: "other.1", message }, [9]) });
    newest().tell({ kind: "from_board", run: "party.2", message: { kind: "alive" } });
    expect(told.map(([each]) => each.kind)).toEqual(["patch", "alive"]);
    expect(buffers(told)).toEqual([[[1, 2, 3], [], [4]], []]);
    expect(framed(packed({ kind: "reply", id: 1, words: "é", ok: true }))[0]).toMatchObject({ words: "é" });
  });

  test("is greeted again by a server that has come back", async () => {
    connected();
    newest().onopen();
    const host = connection.openBoard("party.2");
    host.send({ kind: "hello", view: "a" });
    host.send({ kind: "hello", view: "b" });
    host.send({ kind: "bye", view: "a" });
    newest().onclose();
    await vi.advanceTimersByTimeAsync(500);
    newest().onopen();
    expect(newest().sent).toEqual([{ kind: "to_board", run: "party.2", message: { kind: "hello", view: "b" } }]);
    host.dispose();
    expect(newest().last).toEqual({ kind: "to_board", run: "party.2", message: { kind: "bye", view: "b" } });
  });

  test("gets its file, also when the server was lost meanwhile", async () => {
    connected();
    newest().onopen();
    const host = connection.openBoard("party.2");
    const file = host.asset("graphviz.js");
    newest().onclose();
    await vi.advanceTimersByTimeAsync(500);
    newest().onopen();
    expect(newest().sent).toEqual([{ kind: "to_board", run: "party.2", message: { kind: "want", name: "graphviz.js" } }]);
    newest().onmessage({ data: packed({ kind: "from_board", run: "party.2", message: { kind: "asset", name: "graphviz.js" } }, [7, 8]) });
    expect([...new Uint8Array(await file)]).toEqual([7, 8]);
  });

  test("is told that nothing was done while the server is away, and why there is no board", () => {
    connected();
    const host = connection.openBoard("party.2");
    const told: Told[] = [];
    const words: string[] = [];
    host.onMessage((message) => told.push(message));
    host.onRefused((why) => words.push(why));
    host.send({ kind: "act", id: 6, verb: "cancel" });
    expect(told).toMatchObject([{ kind: "answer", id: 6, ok: false }]);
    newest().onopen();
    newest().tell({ kind: "no_board", run: "party.2", words: "there is no flow called party here" });
    expect(words).toEqual(["there is no flow called party here"]);
  });
});
