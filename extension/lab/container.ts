// What JupyterLab takes for a container of module federation: `init` gets what the page shares, `get` gives a module.
// A bundler's own container does this and more, but its file depends on the folder in which it was built.

import type { Page } from "../src/messages";

interface Shared {
  /** True, or a number, once somebody uses it. */
  readonly loaded?: unknown;
  get(): Factory | Promise<Factory>;
}
type Factory = () => unknown;
/** By name and version. */
export type Scope = Record<string, Record<string, Shared>>;
export type Body = (require: (name: string) => unknown, module: { exports: object }) => void;

export interface Container {
  init(scope: Scope): void;
  get(name: string): Promise<() => object>;
  /** Shows a notebook's cell: how a board in an output reaches the notebook around it (src/hosts/anywidget.ts). */
  goTo?(cellId: string): void;
  /** Has the outputs that show a run's board keep its page, or show it once the run has settled. */
  keep?(page: Page): void;
}

/** Where JupyterLab keeps the containers of a page, by the name of the extension. */
export function containers(): Record<string, Container> {
  const page = globalThis as { _JUPYTERLAB?: Record<string, Container> };
  page._JUPYTERLAB ??= {};
  return page._JUPYTERLAB;
}

/** The one in use, otherwise the newest: there is one of each in a page. */
export function chosen(versions: Record<string, Shared>): Shared | undefined {
  const names = Object.keys(versions).sort(newestFirst);
  const name = names.find((each) => versions[each]?.loaded) ?? names[0];
  return name === undefined ? undefined : versions[name];
}

function newestFirst(one: string, other: string): number {
  return other.localeCompare(one, "en", { numeric: true });
}

/** A container of modules, each with the names of what it takes from the page. Each is run once. */
export function containerOf(modules: Record<string, { needs: readonly string[]; body: Body }>): Container {
  let scope: Scope = {};
  const made = new Map<string, Promise<object>>();

  async function make(name: string): Promise<object> {
    const found = modules[name];
    if (!found) throw new Error(`elfbook has no module ${name}`);
    const taken = await Promise.all(found.needs.map((need) => take(need)));
    const module = { exports: {} };
    found.body((need) => taken[found.needs.indexOf(need)], module);
    return module.exports;
  }

  async function take(need: string): Promise<unknown> {
    const shared = chosen(scope[need] ?? {});
    if (!shared) throw new Error(`elfbook: this page shares no ${need}`);
    return (await shared.get())();
  }

  return {
    init: (given) => {
      scope = given;
    },
    get: async (name) => {
      const making = made.get(name) ?? make(name);
      made.set(name, making);
      const exports = await making;
      return () => exports;
    },
  };
}
