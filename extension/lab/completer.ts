// What Tab offers in `%elf` lines, beside the kernel's own words and also without it.

import type { CompletionContext, CompletionReply, CompletionRequest, ICompletionProvider } from "@jupyterlab/completer";
import { magicBefore, offered, typed } from "./completion";
import type { Connection } from "./connection";

export class ElfWords implements ICompletionProvider {
  readonly identifier = "CompletionProvider:elfbook";
  /** Below the kernel's, which knows what its notebook holds. */
  readonly rank = 540;
  readonly renderer = null;

  constructor(private readonly connection: Connection) {}

  isApplicable({ editor }: CompletionContext): Promise<boolean> {
    if (!editor) return Promise.resolve(false);
    const offset = editor.getOffsetAt(editor.getCursorPosition());
    return Promise.resolve(magicBefore(editor.model.sharedModel.getSource(), offset) !== null);
  }

  fetch({ text, offset }: CompletionRequest): Promise<CompletionReply> {
    const line = magicBefore(text, offset) ?? "";
    const items = offered(line, this.connection.overview).map(({ text: label, kind: type, words }) => ({ label, type, ...(words ? { documentation: words } : {}) }));
    return Promise.resolve({ start: offset - typed(line).length, end: offset, items });
  }
}
