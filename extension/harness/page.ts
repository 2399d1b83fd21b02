// The page that the tests drive: a board whose kernel is a script. `?jobs=12&theme=dark`.

import { createView, type View } from "../src/view";
import { FakeHost } from "./fakehost";
import { Script } from "./script";
import { THEMES } from "./themes";

interface Harness {
  host: FakeHost;
  view: View;
  theme(name: string): void;
  flow(patches: number, changes: number, everyMs: number): Promise<number[]>;
}

const asked = new URLSearchParams(location.search);

function theme(name: string): void {
  const { style } = document.documentElement;
  for (const key of Object.keys(THEMES.light)) style.removeProperty(key);
  for (const [key, value] of Object.entries(THEMES[name] ?? {})) style.setProperty(key, value);
  document.documentElement.dataset.theme = name;
}

const file = async (name: string): Promise<ArrayBuffer> => {
  const answer = await fetch(name);
  return answer.ok ? answer.arrayBuffer() : new ArrayBuffer(0);
};

function board(host: FakeHost): View {
  const cell = document.createElement("div");
  cell.className = "cell";
  document.querySelector("main")?.append(cell);
  return createView(cell, host);
}

/** Patches at a steady beat; the times between frames meanwhile. */
function flow(patches: number, changes: number, everyMs: number): Promise<number[]> {
  return new Promise((resolve) => {
    const frames: number[] = [];
    let [before, left] = [performance.now(), patches];
    const timer = setInterval(() => {
      host.step(changes);
      if (--left > 0) return;
      clearInterval(timer);
      resolve(frames);
    }, everyMs);
    const frame = (now: number) => {
      frames.push(now - before);
      before = now;
      if (left > 0) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
}

theme(asked.get("theme") ?? "none");
const host = new FakeHost(new Script(Number(asked.get("jobs") ?? 12), asked.has("every")), file);
const harness: Harness = { host, view: board(host), theme, flow };
Object.assign(window, { harness });
