// @ts-check
// A table that is sorted by its heads, moved through by the arrow keys, and builds only the rows that are seen.

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} key
 * @property {string} head
 * @property {string} [title] the head in a sentence
 * @property {(row: Row) => (string | number | null)} value what is sorted by, and stands in data-value; null: last in either order
 * @property {(row: Row) => (string | number | null)} [rank] what is sorted by where that is another
 * @property {(row: Row) => string | Node} [show] what is shown, the value unless told
 * @property {boolean} [text] a column of words: left-aligned, and ascending at the first click
 * @property {boolean} [unsorted]
 * @property {(row: Row) => string} [state] a class of the cell
 */

/**
 * @template Row
 * @typedef {object} TableOptions
 * @property {string} label
 * @property {Column<Row>[]} columns
 * @property {(row: Row) => string} key tells rows apart
 * @property {(row: Row) => void} [onOpen] a click or Enter
 * @property {{key: string, descending: boolean}} [sort] null: the order in which rows are given
 * @property {(sort: {key: string, descending: boolean} | null) => void} [onSort]
 * @property {string} [empty] instead of no rows
 * @property {boolean} [wraps] rows are of different heights, so all of them are built
 */

const ROW = 28;
const BEYOND = 8;
/** Up to here all rows are built: then the browser's own search finds them, too. */
const BUILD_ALL = 120;

/** @param {string | number | null} a @param {string | number | null} b @param {boolean} descending */
function order(a, b, descending) {
  const isLast = (/** @type {string | number | null} */ value) => value === null;
  if (isLast(a) || isLast(b)) return Number(isLast(a)) - Number(isLast(b));
  // NaN is what one looks for, so it counts as more than any number.
  const of = (/** @type {string | number | null} */ value) => (typeof value === "number" && Number.isNaN(value) ? Infinity : value);
  const [left, right] = [of(a), of(b)];
  const sign = typeof left === "string" ? left.localeCompare(String(right), undefined, { numeric: true }) : Number(left) < Number(right) ? -1 : Number(left) > Number(right) ? 1 : 0;
  return descending ? -sign : sign;
}

/**
 * @template Row
 * @param {TableOptions<Row>} options
 */
export function createTable(options) {
  const element = document.createElement("div");
  element.className = "table-room";
  const table = document.createElement("table");
  table.className = "data-table";
  table.setAttribute("aria-label", options.label);
  const head = document.createElement("thead");
  const body = document.createElement("tbody");
  table.append(head, body);
  element.append(table);

  /** @type {Row[]} */
  let rows = [];
  /** @type {Row[]} */
  let sorted = [];
  let sort = options.sort ?? null;
  let selected = "";
  let focused = "";
  let from = 0;
  let to = 0;
  let frame = 0;
  let widthOfRoom = 0;
  /** @type {Map<string, HTMLTableCellElement>} */
  const heads = new Map();

  const headRow = document.createElement("tr");
  headRow.setAttribute("aria-rowindex", "1");
  for (const column of options.columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.dataset.column = column.key;
    if (column.text) cell.className = "text";
    if (column.title) cell.title = column.title;
    if (column.unsorted) {
      cell.textContent = column.head;
    } else {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.head;
      button.addEventListener("click", () => {
        const isFirst = sort?.key !== column.key;
        const begin = !column.text;
        // The third click brings back the order in which the rows came, that of the model.
        if (isFirst) sort = { key: column.key, descending: begin };
        else sort = sort?.descending === begin ? { key: column.key, descending: !begin } : null;
        options.onSort?.(sort);
        arrange();
      });
      cell.append(button);
    }
    heads.set(column.key, cell);
    headRow.append(cell);
  }
  head.append(headRow);

  function arrange() {
    const column = options.columns.find(({ key }) => key === sort?.key);
    const descending = sort?.descending === true;
    sorted = column ? rows.map((row) => ({ row, value: (column.rank ?? column.value)(row) })).sort((a, b) => order(a.value, b.value, descending)).map(({ row }) => row) : rows;
    for (const [key, cell] of heads) {
      if (key === sort?.key) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    table.setAttribute("aria-rowcount", String(sorted.length + 1));
    build(true);
  }

  /** @param {number} height */
  function spacer(height) {
    const row = document.createElement("tr");
    row.className = "spacer";
    row.setAttribute("aria-hidden", "true");
    const cell = document.createElement("td");
    cell.colSpan = options.columns.length;
    cell.style.setProperty("height", `${height}px`);
    row.append(cell);
    return row;
  }

  /** @param {Row} of @param {number} index */
  function buildRow(of, index) {
    const row = document.createElement("tr");
    const key = options.key(of);
    row.dataset.key = key;
    row.setAttribute("aria-rowindex", String(index + 2));
    if (options.onOpen) {
      row.tabIndex = key === focused ? 0 : -1;
      row.className = "opens";
      if (key === selected) row.setAttribute("aria-current", "true");
    }
    options.columns.forEach((column, i) => {
      const cell = document.createElement(i === 0 ? "th" : "td");
      if (i === 0) cell.setAttribute("scope", "row");
      const value = column.value(of);
      const shown = column.show ? column.show(of) : value === null ? "–" : String(value);
      cell.dataset.column = column.key;
      cell.dataset.value = value === null ? "" : String(value);
      const state = column.state?.(of) ?? "";
      cell.className = `${column.text ? "text" : "number"} ${state}`.trim();
      if (typeof shown === "string") cell.textContent = shown;
      else cell.append(shown);
      row.append(cell);
    });
    return row;
  }

  /** @param {boolean} isChanged rows that stay must be built anew */
  function build(isChanged) {
    frame = 0;
    if (!sorted.some((row) => options.key(row) === focused)) focused = sorted.length > 0 ? options.key(sorted[0]) : "";
    const isAll = options.wraps === true || sorted.length <= BUILD_ALL;
    element.classList.toggle("scrolls", !isAll);
    // What is hidden, or has no rows yet, has no height yet.
    const room = Math.max(element.clientHeight, 600);
    const first = isAll ? 0 : Math.max(0, Math.floor(element.scrollTop / ROW) - BEYOND);
    const last = isAll ? sorted.length : Math.min(sorted.length, Math.ceil((element.scrollTop + room) / ROW) + BEYOND);
    if (!isChanged && first === from && last === to) return;
    [from, to] = [first, last];
    const hadFocus = body.contains(document.activeElement);
    /** @type {Map<string | undefined, Element>} */
    const kept = new Map(isChanged ? [] : [...body.children].map((row) => [row instanceof HTMLElement ? row.dataset.key : undefined, row]));
    const built = sorted.slice(first, last).map((row, i) => kept.get(options.key(row)) ?? buildRow(row, first + i));
    if (first > 0) built.unshift(spacer(first * ROW));
    if (last < sorted.length) built.push(spacer((sorted.length - last) * ROW));
    if (sorted.length === 0) {
      const row = document.createElement("tr");
      const cell = document.createElement("td");
      cell.colSpan = options.columns.length;
      cell.className = "text muted";
      cell.textContent = options.empty ?? "None.";
      row.append(cell);
      built.push(row);
    }
    body.replaceChildren(...built);
    if (isChanged && !isAll) keepWidths();
    if (hadFocus) rowOf(focused)?.focus({ preventScroll: true });
  }

  /** Rows that come into sight while scrolling must not move the columns. */
  function keepWidths() {
    const cells = [...heads.values()];
    if (element.clientWidth !== widthOfRoom) for (const cell of cells) cell.style.removeProperty("min-width");
    widthOfRoom = element.clientWidth;
    const widths = cells.map((cell) => cell.offsetWidth);
    cells.forEach((cell, i) => cell.style.setProperty("min-width", `${widths[i]}px`));
  }

  /** @param {string} key @returns {HTMLTableRowElement | null} */
  const rowOf = (key) => /** @type {HTMLTableRowElement | null} */ ([...body.children].find((row) => row instanceof HTMLElement && row.dataset.key === key) ?? null);

  /** @param {number} index */
  function reveal(index) {
    if (sorted.length <= BUILD_ALL) return;
    const top = index * ROW;
    const room = element.clientHeight - 2 * ROW;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + room) element.scrollTop = top - room;
    build(true);
  }

  element.addEventListener("scroll", () => {
    if (frame === 0) frame = requestAnimationFrame(() => build(false));
  });
  body.addEventListener("click", (event) => {
    const row = event.target instanceof Element ? event.target.closest("tr") : null;
    const of = sorted.find((one) => options.key(one) === row?.dataset.key);
    if (!of || !options.onOpen) return;
    focused = options.key(of);
    options.onOpen(of);
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target instanceof Element ? event.target.closest("tr") : null;
    const index = sorted.findIndex((one) => options.key(one) === row?.dataset.key);
    if (index < 0 || !options.onOpen || event.target !== row) return;
    const moves = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -sorted.length, End: sorted.length });
    if (event.key === "Enter" || event.key === " ") {
      options.onOpen(sorted[index]);
    } else if (moves[event.key]) {
      const next = Math.min(sorted.length - 1, Math.max(0, index + moves[event.key]));
      focused = options.key(sorted[next]);
      if (row) row.tabIndex = -1;
      reveal(next);
      const target = rowOf(focused);
      if (target) {
        target.tabIndex = 0;
        target.focus({ preventScroll: sorted.length > BUILD_ALL });
      }
    } else {
      return;
    }
    event.preventDefault();
  });

  arrange();
  return {
    element,
    /** @param {Row[]} next in the order that the model has */
    update(next) {
      rows = next;
      arrange();
    },
    /** Marks a row as the one that is open. @param {string} key */
    select(key) {
      selected = key;
      for (const row of body.children) {
        if (row instanceof HTMLElement && row.dataset.key === key) row.setAttribute("aria-current", "true");
        else row.removeAttribute("aria-current");
      }
    },
    /** Back to a row, after what it opened was closed. @param {string} key */
    focus(key) {
      const index = sorted.findIndex((row) => options.key(row) === key);
      if (index < 0) return;
      focused = key;
      reveal(index);
      build(true);
      rowOf(key)?.focus();
    },
    destroy() {
      cancelAnimationFrame(frame);
    },
  };
}
