// @ts-check
// Alerts: what fires now, and what has fired in the run.

import { el, fill, setText } from "../dom.js";
import { formatSeconds, formatTime } from "../format.js";
import { createTable } from "../table.js";
import { count, printable, shortened } from "../text.js";
import { firingTimeline, firingsOf, stillFiring, subjectOf } from "../timeline.js";

const GRAVE = ["critical", "warning", "info"];
/** Lines of the timeline; the table has all. */
const MOST_LINES = 24;

/** @param {string} severity */
const badge = (severity) => el("span", { class: `badge ${GRAVE.includes(severity) ? severity : "info"}` }, severity);

/** @param {any} context @param {{parameter?: string, layer?: string, subject?: string, since_step?: number}} of */
function about(context, of) {
  const facts = /** @type {[string, string | undefined][]} */ ([["parameter", of.parameter], ["layer", of.layer], ["subject", of.subject]]);
  return facts.flatMap(([key, value]) => {
    if (!value) return [];
    const name = el("bdi", { class: "tensor-name", data: { [key]: value } }, printable(value));
    const show = () => context.go({ view: "layers", params: { tensor: value, kind: "gradient", step: String(of.since_step) } });
    return [el("span", { class: "about" }, `${key} `, key === "parameter" ? el("button", { type: "button", class: "link", title: "Show in Layers", on: { click: show } }, name) : name)];
  });
}

/**
 * @param {HTMLElement} root
 * @param {any} context
 */
export async function mount(root, context) {
  await Promise.all([context.loadStyle("views/plots.css"), context.loadStyle("tables.css"), context.loadStyle("firing_list.css")]);
  const now = el("div", { class: "alert-cards", role: "status" });
  const nowHead = el("h2", { text: "Firing now" });
  const timeline = el("div", {});
  const note = el("p", { class: "note" });
  const table = createTable(/** @type {import("../table.js").TableOptions<import("../timeline.js").Firing>} */ ({
    label: "Alerts that fired",
    columns: [
      { key: "severity", head: "Severity", text: true, value: (row) => String(GRAVE.indexOf(row.severity)), show: (row) => badge(row.severity) },
      { key: "alert", head: "Alert", text: true, value: (row) => row.alert },
      { key: "about", head: "About", text: true, value: subjectOf, show: (row) => el("bdi", { class: "tensor-name", title: printable(subjectOf(row)) }, shortened(printable(subjectOf(row))) || "–") },
      { key: "begin", head: "From step", value: (row) => row.begin, show: (row) => count(row.begin) },
      { key: "end", head: "To step", value: (row) => row.end, show: (row) => (row.end === null ? openWord() : count(row.end)) },
      { key: "duration", head: "Duration", value: (row) => (row.endTime === null ? null : row.endTime - row.beginTime), show: (row) => (row.endTime === null ? "–" : formatSeconds(row.endTime - row.beginTime)) },
      { key: "time", head: "Began", value: (row) => row.beginTime, show: (row) => formatTime(row.beginTime) },
      { key: "sentence", head: "What", text: true, unsorted: true, value: (row) => row.sentence, show: (row) => el("span", { class: "sentence" }, printable(row.sentence)) },
    ],
    key: (row) => JSON.stringify([row.alert, row.begin, row.parameter, row.layer, row.subject]),
    empty: "No alert has fired in this run.",
    wraps: true,
  }));
  table.element.classList.add("wraps");
  table.element.hidden = true;
  const historyPanel = el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "History" })), note, timeline, table.element);
  fill(root, el("div", { class: "view-content" }, el("section", { class: "card panel" }, el("div", { class: "panel-head" }, nowHead), now), historyPanel));

  /** @type {any[]} */
  let firings = [];
  let drawn = "";

  const isCurrent = () => (context.selection?.attempt ?? null) === null || context.selection.attempt === context.run?.attempts?.[0]?.attempt;
  const isOver = () => !isCurrent() || ["finished", "failed", "crashed"].includes(context.run?.state);
  const openWord = () => (isOver() ? "end of run" : "firing");

  function drawNow() {
    const run = context.run;
    // The list of runs has alerts of those that are there now.
    const isTold = isCurrent() && run?.alerts !== undefined;
    const alerts = isTold ? run.alerts : run ? stillFiring(context.events?.of(context.selection?.attempt ?? null) ?? []) : [];
    const isLoading = !isTold && !context.events?.isLoaded;
    const hasEnded = isOver();
    const mark = JSON.stringify([alerts, run?.state, isCurrent(), isLoading]);
    if (mark === drawn) return;
    drawn = mark;
    nowHead.dataset.value = String(alerts.length);
    setText(nowHead, alerts.length > 0 ? `Firing ${hasEnded ? "when the run ended" : "now"}: ${alerts.length}` : "Firing now");
    if (alerts.length === 0) {
      const quiet = isLoading ? (context.events?.error?.message ?? "Loading") : hasEnded ? "No alert was firing when the run ended." : "No alert is firing.";
      return fill(now, el("p", { class: "quiet", data: { state: "quiet" } }, quiet));
    }
    const sorted = [...alerts].sort((a, b) => GRAVE.indexOf(a.severity) - GRAVE.indexOf(b.severity) || a.since_step - b.since_step);
    fill(now, sorted.map((alert) => {
      // What to do stands in the event that began it.
      const event = firings.find((one) => one.alert === alert.alert && one.begin === alert.since_step && subjectOf(one) === subjectOf(alert));
      return el("article", { class: `alert alert-card is-${alert.severity}`, data: { alert: alert.alert, severity: alert.severity, since: alert.since_step } },
        el("p", { class: "alert-head" }, badge(alert.severity), el("strong", { text: alert.alert }), el("span", { class: "muted" }, `since step ${count(alert.since_step)}`), about(context, alert)),
        el("p", { class: "alert-sentence" }, printable(alert.sentence)),
        event?.advice && el("p", { class: "muted" }, printable(event.advice)));
    }));
  }

  function drawHistory() {
    const events = context.events;
    if (!events) return;
    const own = events.of(context.selection?.attempt ?? null);
    firings = firingsOf(own);
    drawn = "";
    drawNow();
    setText(note, !events.isLoaded ? (events.error?.message ?? "Loading") : events.error ? events.error.message : firings.length === 0 ? "No alert has fired in this run." : "");
    note.hidden = note.textContent === "";
    table.element.hidden = firings.length === 0;
    table.update(firings);
    drawTimeline();
  }

  function drawTimeline() {
    const attempt = context.run?.attempts?.find((/** @type {any} */ one) => one.attempt === context.selection?.attempt) ?? context.run?.attempts?.[0];
    const last = Math.max(attempt?.last_step ?? 0, ...firings.map((one) => Math.max(one.begin, one.end ?? 0)));
    fill(timeline, firings.length > 0 && firingTimeline(firings.slice(0, MOST_LINES), attempt?.first_step || 1, last));
  }

  context.on(context.runs, "change", () => {
    drawNow();
    drawTimeline();
  });
  context.on(context.events, "change", drawHistory);
  drawHistory();
  drawNow();
  return {
    dispose: () => table.destroy(),
    get store() {
      return { firings };
    },
  };
}
