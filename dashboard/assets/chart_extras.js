// @ts-check
// What is used of a chart only now and then, loaded then: the note at the cursor, keys, the figures as a table.

import { el, fill, loadStyle, setText } from "./dom.js";
import { formatCount, formatSeconds } from "./format.js";

const rowsOfTable = 200;

/** Arrows move the cursor, plus and minus zoom, n and p go from event to event. @param {Chart} chart @param {KeyboardEvent} event */
export function onKey(chart, event) {
  const { group } = chart;
  const { key } = event;
  const range = group.range();
  if (key === "Escape") group.setZoom(null);
  else if (key === "+" || key === "-") {
    const middle = group.cursor ?? (range.min + range.max) / 2;
    const half = ((range.max - range.min) / 2) * (key === "+" ? 0.5 : 2);
    const all = group.extent();
    const next = { min: Math.max(middle - half, all.min), max: Math.min(middle + half, all.max) };
    group.setZoom(next.min <= all.min && next.max >= all.max ? null : next);
  } else if (key === "n" || key === "p") {
    const here = group.cursor ?? (key === "n" ? -Infinity : Infinity);
    const inside = group.annotations.filter((one) => one.x >= range.min && one.x <= range.max);
    const target = key === "n" ? inside.find((one) => one.x > here) : inside.findLast((one) => one.x < here);
    if (target) goTo(chart, target.x);
  } else {
    const first = chart.traces.find((trace) => !trace.isHidden && trace.series.length > 0);
    if (!first) return;
    const series = chart.shown(first);
    const xs = chart.xs(series);
    const offset = first.offset ?? 0;
    const [from, to] = chart.places(series, first, range);
    const now = group.cursor === null ? (key === "ArrowRight" ? from - 1 : to) : series.nearest(xs, group.cursor + offset);
    const stride = event.shiftKey ? Math.max(Math.round((to - from) / 20), 1) : 1;
    const next = key === "Home" ? from : key === "End" ? to - 1 : now + (key === "ArrowRight" ? stride : -stride);
    goTo(chart, xs[Math.min(Math.max(next, from), to - 1)] - offset);
  }
}

/** What is at the cursor: its x, and events. @param {Chart} chart @param {any} u its uPlot @param {number} x */
export function showTip(chart, u, x) {
  const { group, tip, cursorLabel } = chart;
  tip.hidden = cursorLabel.hidden = group.cursor !== x;
  if (group.cursor !== x) return;
  const at = u.valToPos(x, "x");
  const box = u.over.getBoundingClientRect();
  const host = chart.plot.getBoundingClientRect();
  const left = box.left - host.left + at;
  setText(cursorLabel, chart.formatX(x));
  cursorLabel.style.setProperty("left", `${Math.min(left, host.width - 40)}px`);
  const near = group.annotations.filter((one) => Math.abs(u.valToPos(one.x, "x") - at) <= 5).slice(0, 4);
  tip.hidden = near.length === 0;
  fill(tip, near.map((one) => el("p", { class: `tip-row is-${one.severity}` }, el("strong", { text: one.title }), el("span", { class: "tip-step", text: chart.formatX(one.x) }), one.text && el("span", { class: "tip-text", text: one.text }))));
  const isRight = at > box.width / 2;
  tip.style.setProperty("left", isRight ? "auto" : `${left + 8}px`);
  tip.style.setProperty("right", isRight ? `${host.width - left + 8}px` : "auto");
}

/** After a drawing. @param {Chart} chart @param {{series: any, from: number, to: number}[]} seen what is in view */
export function drawExtras(chart, seen) {
  if (!chart.table.hidden) fillTable(chart, chart.table);
  noteHidden(chart, seen);
}

/** @param {Chart} chart */
export function toggleTable(chart) {
  const isShown = chart.table.hidden;
  chart.table.hidden = !isShown;
  chart.tableButton.setAttribute("aria-pressed", String(isShown));
  chart.element.classList.toggle("has-table", isShown);
  if (isShown) fillTable(chart, chart.table);
}

/** What a logarithmic scale has no place for. */
function noteHidden(chart, seen) {
  let hidden = 0;
  if (chart.isLog) for (const { series, from, to } of seen) for (let place = from; place < to; ++place) if (series.values[place] <= 0 && series.values[place] > -Infinity) ++hidden;
  let note = chart.element.querySelector(".plot-note");
  if (!note && hidden > 0) chart.plot.after((note = el("p", { class: "plot-note" })));
  if (!note) return;
  note.hidden = hidden === 0;
  setText(note, hidden === 1 ? "1 value that is not positive is not shown" : `${formatCount(hidden)} values not positive are not shown`);
}

/** Puts the cursor there, and says what is there. */
function goTo(chart, x) {
  chart.group.setCursor(x);
  chart.showTip(x);
  const notes = chart.group.annotations.filter((one) => one.x === x).map((one) => `${one.title}. ${one.text}`);
  const announcer = document.getElementById("announcer");
  if (announcer) setText(announcer, [`${chart.formatX(x)}: ${chart.traces.map((trace) => `${trace.label} ${chart.valueAt(trace, x)}`).join(", ")}`, ...notes].join(". "));
}

/** The points that are shown, the latest first; of many every so manieth. @param {Chart} chart @param {HTMLElement} host */
function fillTable(chart, host) {
  void loadStyle("tables.css");
  const columns = chart.traces.filter((trace) => !trace.isHidden);
  if (columns.length === 0) return fill(host);
  const [lead] = columns;
  const series = chart.shown(lead);
  const xs = chart.xs(series);
  const isTime = chart.x === "times";
  const [from, to] = chart.places(series, lead, chart.group.range());
  const stride = Math.max(Math.ceil((to - from) / rowsOfTable), 1);
  const rows = [];
  for (let place = to - 1; place >= from; place -= stride) {
    const x = xs[place] - (lead.offset ?? 0);
    rows.push(el("tr", {}, el("th", { scope: "row", text: isTime ? formatSeconds(x) : formatCount(x) }), columns.map((trace) => el("td", { text: chart.valueAt(trace, x) }))));
  }
  fill(host, el("table", {},
    el("caption", { class: "visually-hidden", text: `${chart.title}${stride > 1 ? `, one point in ${stride}` : ""}, the latest first` }),
    el("thead", {}, el("tr", {}, el("th", { scope: "col", text: isTime ? "time" : "step" }), columns.map((trace) => el("th", { scope: "col", text: trace.label })))),
    el("tbody", {}, rows)));
}
