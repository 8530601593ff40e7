// A table that is brought up to date in place: who has the focus on a button keeps it.

import { button, element } from "../dom.js";

/** A table in `place`. `columns`: `title`, `show(item)` gives a text or a node, `kind` a class.
 * `acts(item)`: the buttons of a row, as `word`, `act(item)`, `kind`, `label`. */
export class Table {
  #rows = new Map();
  #nothing;
  #table;
  #body = element("tbody", { role: "rowgroup" });
  #columns;
  #acts;
  #key;
  #pager = null;

  constructor(place, title, { columns, key, acts = null, nothing }) {
    this.#columns = columns;
    this.#key = key;
    this.#acts = acts;
    this.#nothing = element("p", { class: "nothing" }, nothing);
    const heads = columns.map((one) => element("th", { role: "columnheader", scope: "col", class: one.kind }, one.title));
    if (acts) heads.push(element("th", { role: "columnheader", scope: "col" }, element("span", { class: "unseen" }, "Acts")));
    this.#table = element("table", { role: "table", "aria-label": title, hidden: true },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)), this.#body);
    this.box = element("div", { class: "box" }, this.#table, this.#nothing);
    place.append(this.box);
  }

  /** Show these items, in their order. */
  show(items) {
    const gone = new Set(this.#rows.keys());
    let last = null;
    for (const item of items) {
      const key = this.#key(item);
      gone.delete(key);
      const row = this.#rows.get(key) ?? this.#made(key);
      row.item = item;
      this.#fill(row);
      const next = last === null ? this.#body.firstChild : last.nextSibling;
      if (row.line !== next) this.#body.insertBefore(row.line, next);
      last = row.line;
    }
    for (const key of gone) {
      this.#rows.get(key).line.remove();
      this.#rows.delete(key);
    }
    this.#table.hidden = items.length === 0;
    this.#nothing.hidden = items.length !== 0;
  }

  /** Buttons to earlier and later pages; `onTurn` is given where the page begins. */
  pages(onTurn) {
    const back = [];
    let here = "", next = null;
    const turn = (place) => { here = place; onTurn(place); };
    const earlier = button("Back", () => turn(back.pop() ?? ""));
    const later = button("Next", () => { back.push(here); turn(next); });
    this.#pager = element("div", { class: "pager", hidden: true }, earlier, later);
    this.box.append(this.#pager);
    return (found) => {
      next = found;
      earlier.disabled = here === "";
      later.disabled = next === null;
      this.#pager.hidden = here === "" && next === null;
    };
  }

  #made(key) {
    const row = { item: null, cells: [] };
    for (const column of this.#columns) {
      row.cells.push(element("td", { role: "cell", class: column.kind, "data-column": column.title }));
    }
    row.line = element("tr", { role: "row" }, ...row.cells);
    if (this.#acts) {
      row.acts = element("td", { role: "cell", class: "acts" });
      row.line.append(row.acts);
    }
    this.#rows.set(key, row);
    return row;
  }

  #fill(row) {
    this.#columns.forEach((column, at) => {
      const shown = column.show(row.item), cell = row.cells[at];
      if (typeof shown === "string") {
        if (cell.textContent !== shown) cell.textContent = shown;
        return;
      }
      // Nodes are put in once more only where they would look different.
      const nodes = [shown].flat(), had = cell.childNodes;
      if (nodes.length === had.length && nodes.every((one, place) => one.isEqualNode(had[place]))) return;
      cell.replaceChildren(...nodes);
    });
    if (!this.#acts) return;
    const wanted = this.#acts(row.item), words = wanted.map((one) => one.word).join();
    if (row.acts.words === words) return;
    row.acts.words = words;
    row.acts.replaceChildren(...wanted.map((one) => button(one.word, () => one.act(row.item), {
      class: `button ${one.kind ?? ""}`, "aria-label": `${one.word}: ${this.#key(row.item)}`,
    })));
  }
}
