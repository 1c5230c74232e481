// @ts-check
// The events of a run: a list, and marks in its charts.

import { el, fill } from "./dom.js";
import { sentenceOf, severityOf, titleOf } from "./events.js";
import { formatCount, formatTime } from "./format.js";

const mostRows = 100;

/** @param {HTMLElement} place @param {RunEvent[]} all the oldest first @param {ChartGroup} group */
export function showEvents(place, all, group) {
  const events = latestFindings(all);
  group.annotations = events.filter(({ kind, step, details }) => step > 0 && (kind !== "alert" || details.state !== "resolved")).map((event) => ({ x: event.step, title: titleOf(event), text: sentenceOf(event), severity: severityOf(event) })).sort((a, b) => a.x - b.x);
  group.draw();
  fill(place, el("div", { class: "section-head" }, el("h2", { text: "Events" }), el("span", { class: "count", text: formatCount(events.length) })),
    el("ol", { class: "event-list" }, events.slice(-mostRows).reverse().map((event) => row(event, group))));
}

/** Of several findings about one non-finite step the last knows most. @param {RunEvent[]} events */
function latestFindings(events) {
  const kept = new Map();
  for (const event of events) {
    const key = event.kind === "nonfinite" ? `nonfinite ${event.step}` : String(event.id);
    kept.delete(key);
    kept.set(key, event);
  }
  return [...kept.values()];
}

/** @param {RunEvent} event @param {ChartGroup} group */
function row(event, group) {
  const point = () => group.setCursor(event.step);
  const leave = () => group.setCursor(null);
  const zoom = () => group.setZoom({ min: Math.max(event.step - 50, 0), max: event.step + 50 });
  return el("li", {}, el("button", { class: `event is-${severityOf(event)}`, type: "button", title: "Zoom to these steps", data: { kind: event.kind, step: event.step, id: event.id }, on: { mouseenter: point, mouseleave: leave, focus: point, blur: leave, click: zoom } },
    el("span", { class: "event-sign", "aria-hidden": "true" }), el("span", { class: "event-step", text: `step ${formatCount(event.step)}` }), el("span", { class: "event-time", text: formatTime(event.time) }),
    el("strong", { class: "event-title", text: titleOf(event) }), el("span", { class: "event-text", text: sentenceOf(event) })));
}
