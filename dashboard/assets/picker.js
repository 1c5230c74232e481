// @ts-check
// The dialog in which a run and one of its attempts is chosen.

import { el, fill, icon, loadStyle } from "./dom.js";
import { formatAge, formatCount, formatNumber, toNumber } from "./format.js";
import { stateName } from "./runs.js";

/** @param {any} app */
export async function openPicker(app) {
  await Promise.all(["tables.css", "dialogs.css"].map(loadStyle));
  if (document.querySelector("dialog[open]")) return;
  const abort = new AbortController();
  const filter = el("input", { class: "filter-input", type: "search", placeholder: "Filter runs by name, state, host", "aria-label": "Filter runs", autocomplete: "off", spellcheck: "false" });
  const list = el("ul", { class: "run-list", "aria-label": "Runs" });
  const dialog = el("dialog", { class: "dialog picker-dialog", "aria-label": "Choose a run" },
    el("div", { class: "filter" }, icon("filter"), filter), list,
    el("p", { class: "dialog-foot", text: "Arrows choose, Enter opens, Esc closes." }));

  const choose = (row, attempt) => {
    dialog.close();
    const view = app.route.view === "compare" ? "run" : app.route.view;
    app.go({ view, run: row.run, rank: row.rank, attempt });
  };
  const draw = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = (app.runs.runs ?? []).filter((row) => {
      const text = [row.run, row.state, `rank ${row.rank}`, ...(row.attempts ?? []).flatMap((one) => [one.host, one.model])].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const focused = /** @type {HTMLElement | null} */ (list.querySelector(":focus"))?.dataset.key;
    fill(list, rows.slice(0, 300).map((row) => item(app, row, choose)));
    if (rows.length === 0) fill(list, el("li", { class: "run-none", text: words.length > 0 ? "No run matches." : "No run yet." }));
    if (focused) /** @type {HTMLElement | null} */ ([...list.querySelectorAll("button")].find((one) => one.dataset.key === focused))?.focus();
  };
  filter.addEventListener("input", draw);
  dialog.addEventListener("keydown", (event) => {
    const buttons = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("button")]);
    const place = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (event.key === "ArrowDown") buttons[Math.min(place + 1, buttons.length - 1)]?.focus();
    else if (event.key === "ArrowUp") place <= 0 ? filter.focus() : buttons[place - 1].focus();
    else if (event.key === "Enter" && document.activeElement === filter) buttons[0]?.click();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    abort.abort();
    dialog.remove();
  });
  app.runs.addEventListener("change", draw, { signal: abort.signal });
  document.body.append(dialog);
  draw();
  dialog.showModal();
  filter.focus();
}

function item(app, row, choose) {
  const isCurrent = app.selection?.run === row.run && app.selection?.rank === row.rank;
  const attempts = [...(row.attempts ?? [])].sort((a, b) => b.attempt - a.attempt);
  const newest = attempts[0];
  const time = row.time ?? newest?.last_time ?? newest?.start_time;
  const loss = toNumber(row.loss);
  return el("li", {},
    el("button", { class: "run-row", type: "button", data: { key: `${row.run}/${row.rank}` }, "aria-current": isCurrent ? "true" : null, on: { click: () => choose(row, null) } },
      el("span", { class: "dot", data: { state: stateName(row.state) }, "aria-hidden": "true" }),
      el("span", { class: "run-row-name" }, row.run, row.rank > 0 && el("small", { text: ` rank ${row.rank}` })),
      el("span", { class: "run-row-state", text: row.state }),
      el("span", { class: "run-row-figure", text: row.step ? `step ${formatCount(row.step)}` : "" }),
      el("span", { class: "run-row-figure", text: row.loss === undefined ? "" : `loss ${formatNumber(loss)}` }),
      el("span", { class: "run-row-age", text: time ? formatAge(app.runs.now() - time) : "" })),
    attempts.length > 1 && el("div", { class: "attempts" }, "Attempts ",
      attempts.slice(0, 12).map((one) => el("button", {
        class: "chip", type: "button", data: { key: `${row.run}/${row.rank}/${one.attempt}` }, title: `${one.state}, ${formatCount(one.steps)} steps`,
        "aria-current": isCurrent && app.selection?.attempt === one.attempt ? "true" : null, on: { click: () => choose(row, one.attempt) },
      }, el("span", { class: "dot", data: { state: stateName(one.state) }, "aria-hidden": "true" }), one.attempt))));
}
