// Elements out of text. Nothing here or elsewhere sets HTML: whatever a worker said stays text.

type Child = Node | string | null | undefined | false;
type Properties = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

function made<E extends Element>(element: E, classes: string[], properties: Properties, children: Child[]): E {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

type Named<S extends string, Tag extends string> = S extends `${infer T extends Tag}.${string}` ? T : S extends Tag ? S : never;
type Html = keyof HTMLElementTagNameMap;
type Svg = keyof SVGElementTagNameMap;

/** `h("p.elf-muted", { title: "…" }, "text")`. */
export function h<S extends Html | `${Html}.${string}`>(
  selector: S,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Named<S, Html>] {
  const [tag, ...classes] = selector.split(".");
  return made(document.createElement(tag as Named<S, Html>), classes, properties, children);
}

export function s<S extends Svg | `${Svg}.${string}`>(
  selector: S,
  properties: Properties = {},
  ...children: Child[]
): SVGElementTagNameMap[Named<S, Svg>] {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag as Named<S, Svg>);
  return made(element, classes, properties, children);
}

export function button(words: string, title: string, onclick: () => void, className = "elf-button"): HTMLButtonElement {
  return h("button", { type: "button", class: className, title, onclick }, words);
}

/** For what scrolls by itself: reached by keyboard, and named. */
export function region(label: string): Properties {
  return { tabindex: 0, role: "group", "aria-label": label };
}

/** For signs that say what the words beside them say. */
export const SEEN_ONLY = { "aria-hidden": "true" };

/** Sets the text only when it differs, so that a reader's selection and the layout stay as they are. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** The element with this focus, also inside a shadow root. */
export function focused(root: HTMLElement): Element | null {
  return (root.getRootNode() as Document | ShadowRoot).activeElement;
}
