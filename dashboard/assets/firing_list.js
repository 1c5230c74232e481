// @ts-check
// Alerts below the figures of a run; loaded when there are any.

import { el, fill, loadStyle } from "./dom.js";
import { formatCount } from "./format.js";
import { stillFiring } from "./timeline.js";

/** @param {HTMLElement} list @param {any[] | undefined} alerts of /api/v1/runs, which has those of runs that are there now @param {any[]} events in place of them */
export async function fillFirings(list, alerts, events) {
  const shown = alerts ?? stillFiring(events);
  await loadStyle("firing_list.css");
  fill(list, shown.map((alert) => el("li", { class: `alert is-${alert.severity === "critical" || alert.severity === "warning" ? alert.severity : "info"}`, data: { alert: alert.alert } },
    el("span", { class: "event-sign", "aria-hidden": "true" }), el("strong", { text: alert.alert }), el("span", { class: "alert-severity", text: alert.severity }),
    el("span", { class: "alert-text", dir: "auto", text: `${alert.sentence}${alert.since_step ? `, since step ${formatCount(alert.since_step)}` : ""}` }))));
  list.hidden = shown.length === 0;
}
