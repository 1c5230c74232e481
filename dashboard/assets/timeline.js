// @ts-check
// Bars over steps: stretches of non-finite steps, and alerts from when they began to when they were over.

import { el, svg } from "./dom.js";
import { formatCount } from "./format.js";
import { printable } from "./text.js";

const WIDTH = 1000;

/** @param {number} first @param {number} last @returns {(step: number) => number} places from 0 to WIDTH */
const placing = (first, last) => (step) => (last > first ? (Math.min(last, Math.max(first, step)) - first) * (WIDTH / (last - first)) : 0);

/** @param {number} first @param {number} last */
function axis(first, last) {
  return el("div", { class: "timeline-axis" }, el("span", { text: `step ${formatCount(first)}` }), el("span", { text: formatCount(Math.round((first + last) / 2)) }), el("span", { text: formatCount(last) }));
}

/**
 * All steps of a run as one bar, those that were not finite in red.
 * @param {{first: number, last: number, count: number}[]} stretches
 * @param {number} first @param {number} last step of the run
 */
export function stretchStrip(stretches, first, last) {
  const x = placing(first, last + 1);
  return [
    svg("svg", { class: "timeline", viewBox: `0 0 ${WIDTH} 16`, preserveAspectRatio: "none", role: "img", "aria-label": `${stretches.length} stretches of non-finite steps between step ${first} and ${last}` },
      svg("rect", { x: 0, y: 0, width: WIDTH, height: 16, class: "timeline-track" }),
      stretches.map((one) => svg("rect", { x: x(one.first), y: 0, width: Math.max(3, x(one.last + 1) - x(one.first)), height: 16, class: "timeline-bar critical", data: { first: one.first, last: one.last, value: one.count } },
        svg("title", {}, one.first === one.last ? `step ${one.first}` : `steps ${one.first} to ${one.last}, ${one.count} of them not finite`)))),
    axis(first, last),
  ];
}

/**
 * @typedef {{alert: string, severity: string, parameter: string, layer: string, subject: string, sentence: string, advice: string, begin: number, beginTime: number, end: number | null, endTime: number | null}} Firing
 *   begin and end are steps; end null: still firing, or the run ended so
 */

/** @param {any} details of an alert */
const whoOf = (details) => [details.alert, details.parameter ?? "", details.layer ?? "", details.subject ?? ""];

/** What an alert is about, besides its name. @param {{parameter?: string, layer?: string, subject?: string}} of */
export const subjectOf = (of) => of.parameter || of.layer || of.subject || "";

/**
 * Alerts from the events that began and ended them, the latest first.
 * @param {any[]} events of one attempt, the oldest first
 * @returns {Firing[]}
 */
export function firingsOf(events) {
  /** @type {Map<string, Firing>} */
  const open = new Map();
  /** @type {Firing[]} */
  const all = [];
  for (const { kind, details, step, time } of events) {
    if (kind !== "alert") continue;
    const who = JSON.stringify(whoOf(details));
    if (details.state === "firing") {
      const firing = {
        alert: details.alert, severity: details.severity, parameter: details.parameter ?? "", layer: details.layer ?? "", subject: details.subject ?? "",
        sentence: details.sentence ?? "", advice: details.advice ?? "", begin: details.since_step ?? step, beginTime: details.since_time ?? time, end: null, endTime: null,
      };
      open.set(who, firing);
      all.push(firing);
    } else {
      const firing = open.get(who);
      if (!firing) continue;
      firing.end = step;
      firing.endTime = time;
      open.delete(who);
    }
  }
  return all.reverse();
}

/** Alerts that began and did not end, as /api/v1/runs has those of a run that is there now. @param {any[]} events of one attempt, the oldest first */
export const stillFiring = (events) => firingsOf(events).filter(({ end }) => end === null).map((one) => ({ ...one, since_step: one.begin }));

/**
 * One line for each alert and what it is about, the first to fire on top.
 * @param {Firing[]} firings @param {number} first @param {number} last step
 */
export function firingTimeline(firings, first, last) {
  const x = placing(first, last);
  /** @type {Map<string, Firing[]>} */
  const lines = new Map();
  for (const firing of [...firings].reverse()) {
    const who = JSON.stringify(whoOf(firing));
    lines.set(who, [...(lines.get(who) ?? []), firing]);
  }
  return el("div", { class: "firings" },
    [...lines.values()].map((line) => el("div", { class: "firing-line" },
      el("div", { class: "firing-name" }, el("strong", { text: line[0].alert }), " ", el("bdi", { class: "muted" }, printable(subjectOf(line[0])))),
      svg("svg", { class: "timeline", viewBox: `0 0 ${WIDTH} 12`, preserveAspectRatio: "none", role: "img", "aria-label": line.map((one) => `from step ${one.begin} to ${one.end ?? "now"}`).join(", ") },
        svg("rect", { x: 0, y: 0, width: WIDTH, height: 12, class: "timeline-track" }),
        line.map((one) => svg("rect", { x: Math.min(WIDTH - 4, x(one.begin)), y: 0, width: Math.max(4, x(one.end ?? last) - x(one.begin)), height: 12, class: `timeline-bar ${one.severity}${one.end === null ? " open" : ""}`, data: { alert: one.alert, begin: one.begin, end: one.end ?? "" } },
          svg("title", {}, `${one.alert}: steps ${one.begin} to ${one.end ?? "now"}`)))))),
    el("div", { class: "firing-line" }, el("div", { class: "firing-name" }), axis(first, last)));
}
