// @ts-check
// Reports of where a streak of non-finite steps began.

import { el } from "./dom.js";
import { count, figure, numberOrNull, printable, raw } from "./text.js";

/** How much a way of finding tells, most first. */
const WAYS = ["replay", "trace", "bracket"];
const HOW = /** @type {Record<string, string>} */ ({
  replay: "by running the batch once more under observation",
  trace: "by observing the operators of a later step",
  bracket: "from which gradients were finite",
});

/**
 * Streaks, the latest first; of each what tells most, with the rest behind it.
 * @param {any[]} events of a run
 * @returns {any[][]}
 */
export function originsOf(events) {
  /** @type {Map<number, any[]>} */
  const streaks = new Map();
  for (const event of events) {
    if (event.kind !== "nonfinite") continue;
    streaks.set(event.step, [...(streaks.get(event.step) ?? []), event]);
  }
  const rank = (/** @type {any} */ event) => (WAYS.indexOf(event.details?.found_by) + WAYS.length) % WAYS.length;
  return [...streaks.values()].sort((a, b) => b[0].step - a[0].step).map((found) => found.sort((a, b) => rank(a) - rank(b)));
}

/** The element that a value of the report stands in. @param {string} head @param {string} key @param {any} value */
function fact(head, key, value) {
  if (value === undefined || value === null || value === "") return null;
  return el("div", {}, el("dt", { text: head }), el("dd", { data: { origin: key, value: String(value) } }, el("bdi", {}, printable(String(value)))));
}

/**
 * @param {any[]} found events of one streak, what tells most first
 * @param {(time: number) => string} formatTime
 */
export function originReport(found, formatTime) {
  const details = found[0].details ?? {};
  const operands = details.operands ?? [];
  const head = (/** @type {string} */ text) => el("th", { scope: "col", text });
  return el(
    "article",
    { class: "origin", data: { step: found[0].step } },
    el("p", { class: "origin-message", data: { message: details.message ?? "" } }, printable(details.message ?? `Step ${found[0].step} was not finite.`)),
    el("dl", { class: "facts" },
      fact("Step", "step", details.step ?? found[0].step),
      fact("Operation", "operation", details.operation),
      fact("Layer", "layer", details.layer),
      fact("Pass", "pass", details.found_by === "bracket" ? "" : details.backward ? "backward" : "forward"),
      fact("Forward operation", "forward_operation", details.forward_operation),
      fact("Parameter", "parameter", details.parameter),
      fact("Next finite one", "nearest_finite", details.nearest_finite),
      fact("Parameters not finite", "nonfinite_parameters", details.nonfinite_parameters),
      fact("Loss", "loss", details.loss_nonfinite === undefined ? "" : details.loss_nonfinite ? "not finite" : "finite")),
    operands.length > 0 && el("div", { class: "table-room" },
      el("table", { class: "data-table", "aria-label": "What went into the operation" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "text", text: "What went in" }), ["Elements", "Min", "Max", "Mean", "NaN", "Inf"].map(head))),
        el("tbody", {}, operands.map((/** @type {any} */ one) => el("tr", {},
          el("th", { scope: "row", class: "text" }, printable(String(one.tensor))),
          ["elements", "min", "max", "mean", "nan_values", "inf_values"].map((key) => {
            const isBad = /_values$/.test(key) && (numberOrNull(one[key]) ?? 0) > 0;
            return el("td", { class: `number${isBad ? " nonfinite" : ""}`, data: { column: key, value: raw(one[key]) } }, /_values$|elements/.test(key) ? count(one[key]) : figure(one[key]));
          })))))),
    el("p", { class: "muted" }, `Found ${HOW[details.found_by] ?? details.found_by ?? ""}, ${formatTime(found[0].time)}.`),
    found.slice(1).map((event) => el("p", { class: "muted", data: { message: event.details?.message ?? "" } }, printable(event.details?.message ?? ""))),
  );
}
