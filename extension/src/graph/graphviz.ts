// The file graphviz.js: Graphviz itself, for a worker thread, or for the page where it may not have one.

import { Graphviz } from "@hpcc-js/wasm-graphviz";

/** The graph laid out, in Graphviz's format `plain`. */
export async function layout(dot: string): Promise<string> {
  return (await Graphviz.load()).layout(dot, "plain", "dot");
}

interface WorkerScope {
  WorkerGlobalScope?: unknown;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  postMessage(answer: { plain?: string; error?: string }): void;
}

const scope = globalThis as unknown as WorkerScope;
if (scope.WorkerGlobalScope) {
  scope.onmessage = ({ data }) => {
    layout(data).then(
      (plain) => scope.postMessage({ plain }),
      (error: unknown) => scope.postMessage({ error: String(error) }),
    );
  };
}
