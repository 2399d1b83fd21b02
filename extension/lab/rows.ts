// A list of elements that follows a list of things: what stays is changed in place, so that focus, selection and
// questions in a row are not lost when something else changes.

export interface Row<T> {
  readonly element: HTMLElement;
  update(item: T): void;
}

export class Rows<T> {
  private readonly rows = new Map<string, Row<T>>();

  constructor(
    readonly element: HTMLElement,
    private readonly key: (item: T) => string,
    private readonly make: (item: T) => Row<T>,
  ) {}

  update(items: readonly T[]): void {
    const wanted = new Set(items.map((item) => this.key(item)));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    let place = this.element.firstElementChild;
    for (const item of items) {
      const row = this.row(item);
      row.update(item);
      if (row.element === place) place = place.nextElementSibling;
      else this.element.insertBefore(row.element, place);
    }
  }

  private row(item: T): Row<T> {
    const key = this.key(item);
    const row = this.rows.get(key) ?? this.make(item);
    this.rows.set(key, row);
    return row;
  }
}
