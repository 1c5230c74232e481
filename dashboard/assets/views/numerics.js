// @ts-check
// Numerics: where values became NaN or infinite, when, and what of the tensors smaller formats would lose.

import { el, fill, setText } from "../dom.js";
import { formatTime } from "../format.js";
import { createHeatmap } from "../heatmap.js";
import { originReport, originsOf } from "../origin_report.js";
import { precisionColumns, precisionRows } from "../precision.js";
import { createTable } from "../table.js";
import { columnsFor, hasSteps, loadHistory } from "../tensor_history.js";
import { count, numberOrNull, printable, raw } from "../text.js";
import { stretchStrip } from "../timeline.js";

const KINDS = ["parameter", "gradient", "buffer"];
const FORMATS = ["float16", "bfloat16", "float8_e4m3", "float8_e5m2", "int8"];
/** Counters of the run that are told as figures. */
const TOTALS = /** @type {[string, string, string][]} */ ([
  ["nonfinite_steps_total", "Non-finite steps", "Steps whose loss or gradients were not finite"],
  ["skipped_steps_total", "Skipped steps", "Steps for which the optimizer was not run (guard.on_nonfinite: skip_step)"],
  ["rollbacks_total", "Rollbacks", "Times that the last good state was restored (guard.on_nonfinite: rollback)"],
]);

/**
 * @param {HTMLElement} root
 * @param {any} context
 */
export async function mount(root, context) {
  await Promise.all([context.loadStyle("views/plots.css"), context.loadStyle("tables.css")]);

  const totals = el("dl", { class: "stats large" });
  const verdict = el("p", { class: "verdict" });
  const strip = el("div", { class: "strip" });
  const stretches = createTable({
    label: "Stretches of non-finite steps",
    columns: [
      { key: "first", head: "First step", value: (/** @type {any} */ row) => row.first, show: (row) => count(row.first) },
      { key: "last", head: "Last step", value: (row) => row.last, show: (row) => count(row.last) },
      { key: "count", head: "Non-finite steps", value: (row) => row.count, show: (row) => count(row.count), state: () => "nonfinite" },
    ],
    key: (row) => String(row.first),
    empty: "No step was non-finite.",
  });
  stretches.element.classList.add("stretches");
  stretches.element.hidden = true;
  const origins = el("div", { class: "origins" });
  const showAll = el("input", { type: "checkbox" });
  const timelineNote = el("p", { class: "note" });
  /** @type {{name: string, kind: string, values: (number | null)[]}[]} */
  let shown = [];
  const heatmap = createHeatmap({
    label: "Elements that are NaN or infinite, by tensor over time",
    rowKind: "tensor",
    nonfinite: "NaN or Inf",
    zero: "all finite",
    format: (value) => `${count(value)} not finite`,
    onOpen: (row, column) => context.go({ view: "layers", params: { tensor: shown[row].name, kind: shown[row].kind, step: String(steps[column]) } }),
  });
  heatmap.element.hidden = true;
  /** @type {number[]} */
  let steps = [];
  const precisionFormat = el("select", { "aria-label": "Number format" }, ...FORMATS.map((value) => el("option", { value }, value)));
  precisionFormat.value = FORMATS.find((one) => one === context.params.get("format")) ?? FORMATS[0];
  const precisionNote = el("div", { class: "note" });
  const precision = createTable({
    label: "Shares outside of the range of a smaller format",
    columns: precisionColumns(() => precisionFormat.value),
    key: (row) => `${row.kind}:${row.tensor}`,
    sort: { key: "outside", descending: true },
    onOpen: (row) => context.go({ view: "layers", params: { tensor: row.tensor, kind: row.kind } }),
  });
  precision.element.hidden = true;
  const precisionStep = el("span", { class: "frame-step" });

  fill(
    root,
    el("div", { class: "view-content" },
      el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Non-finite steps" })), verdict, totals, strip, stretches.element),
      el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Where it came from" })), origins),
      el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "NaN and Inf by tensor" }), el("label", { class: "check" }, showAll, "all tensors")), timelineNote, heatmap.element),
      el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Range of smaller formats" }), precisionStep, precisionFormat), precisionNote, precision.element)),
  );
  setText(verdict, "Loading");

  /** @type {any} */
  let summary = null;
  /** @type {import("../tensor_history.js").TensorHistory[]} */
  let histories = [];
  /** @type {any} */
  let frame = null;

  function drawSummary() {
    const found = summary.nonfinite_steps ?? [];
    const last = (/** @type {string} */ name) => summary.series.find((/** @type {any} */ one) => one.name === name)?.values.at(-1) ?? null;
    fill(totals, TOTALS.map(([name, words, title]) => {
      const value = last(name);
      return el("div", { title }, el("dt", { text: words }), el("dd", { class: (numberOrNull(value) ?? 0) > 0 ? "nonfinite" : "", data: { metric: name, value: raw(value) } }, count(value)));
    }));
    const axis = summary.series[0]?.steps ?? [];
    // The counter may lag behind, or start anew with the process.
    const bad = Math.max(numberOrNull(last("nonfinite_steps_total")) ?? 0, found.length);
    verdict.dataset.state = axis.length === 0 ? "none" : bad > 0 ? "bad" : "good";
    setText(verdict, axis.length === 0 ? "No step yet." : bad > 0 ? "" : `Loss and gradients were finite on all steps up to ${count(axis.at(-1))}.`);
    verdict.hidden = axis.length > 0 && bad > 0;
    stretches.update(found);
    stretches.element.hidden = found.length === 0;
    strip.hidden = found.length === 0;
    if (found.length > 0) fill(strip, stretchStrip(found, axis[0], axis.at(-1)));
  }

  const framesShown = (/** @type {number} */ frames) => (frames === 1 ? "the one frame" : `the ${count(frames)} frames`);

  function drawTimeline() {
    const columns = [...new Set(histories.flatMap((history) => history.steps))].sort((a, b) => a - b);
    const all = histories.flatMap((history) => {
      const at = new Map(history.steps.map((step, i) => [step, i]));
      return history.tensors.map((name, row) => ({ name, kind: history.kind, values: columns.map((step) => (at.has(step) ? history.values[row][/** @type {number} */ (at.get(step))] : null)) }));
    });
    const isBad = (/** @type {typeof all[number]} */ row) => row.values.some((value) => (value ?? 0) > 0);
    const bad = all.filter(isBad);
    shown = showAll.checked ? all : bad;
    steps = columns;
    timelineNote.dataset.tensors = String(all.length);
    timelineNote.dataset.nonfinite = String(bad.length);
    setText(timelineNote, columns.length === 0 ? "No tensors are sampled."
      : bad.length === 0 ? `No tensor held NaN or Inf in ${framesShown(columns.length)} shown here (${count(all.length)} tensors).`
      : `${count(bad.length)} of ${count(all.length)} tensors held NaN or Inf in ${framesShown(columns.length)} shown here; ∇ are gradients.`);
    heatmap.element.hidden = shown.length === 0 || columns.length === 0;
    heatmap.update({ rows: shown.map(({ name, kind }) => (kind === "gradient" ? `${name} ∇` : name)), steps: columns, values: shown.map(({ values }) => values), alarms: shown.map(() => true) });
  }

  function drawOrigins() {
    const events = context.events;
    if (!events) return;
    const found = originsOf(events.of(context.selection?.attempt ?? null));
    if (!events.isLoaded && found.length === 0) return fill(origins, el("p", { class: "note", text: events.error ? events.error.message : "Loading" }));
    fill(origins, found.length === 0
      ? el("p", { class: "note", text: "No NaN and no infinity was traced in this run. At the first step of a streak of non-finite steps the report of where it began stands here." })
      : found.map((origin) => originReport(origin, formatTime)));
  }

  function drawPrecision() {
    const rows = precisionRows(frame?.tensors ?? []);
    const tensors = (frame?.tensors ?? []).filter((/** @type {any} */ row) => !row.missing);
    precision.update(rows);
    precision.element.hidden = rows.length === 0;
    setText(precisionStep, frame ? `step ${count(frame.step)}` : "");
    if (rows.length > 0) {
      const one = rows.length === tensors.length ? "" : ` ${count(tensors.length - rows.length)} tensors are not counted; sampling.histogram says which are.`;
      fill(precisionNote, `Shares of the nonzero finite elements that the format would make infinite, keep with fewer bits, or make zero.${one}`);
    } else {
      fill(precisionNote,
        el("p", { text: frame ? "Magnitudes of no tensor are counted, so what a narrower format would lose is not known. Name tensors in the trainer's configuration:" : "No tensors sampled yet." }),
        frame && el("pre", { class: "command", text: 'sampling:\n  histogram: ["*"]' }));
    }
  }

  const onError = (/** @type {HTMLElement} */ place) => (/** @type {any} */ error) => {
    place.hidden = false;
    setText(place, error.status === 404 ? "No tensors sampled yet." : error.message);
  };
  context.poll(async (/** @type {AbortSignal} */ signal) => {
    summary = await context.api.get("series", context.question({ name: TOTALS.map(([name]) => name), max_points: 5 }), { signal });
    drawSummary();
  }, { seconds: 2, onError: onError(verdict) });
  /** @type {number | undefined} */
  let seenStep;
  context.poll(async (/** @type {AbortSignal} */ signal) => {
    if (!hasSteps(context)) {
      drawPrecision();
      return setText(timelineNote, "No tensors sampled yet.");
    }
    const next = await context.api.get("tensors", context.question(), { signal });
    if (frame && frame.step === next.step && frame.attempt === next.attempt && seenStep === next.step) return;
    frame = next;
    drawPrecision();
    const columns = columnsFor(next.tensors.length);
    const kinds = KINDS.filter((kind) => next.tensors.some((/** @type {any} */ row) => row.kind === kind));
    histories = await Promise.all(kinds.map((kind) => loadHistory(context, { kind, statistic: "nan_values", columns, until: next.step }, signal)));
    seenStep = next.step;
    drawTimeline();
  }, { seconds: 3, onError: (/** @type {any} */ error) => (onError(timelineNote)(error), drawPrecision()) });

  context.on(context.events, "change", drawOrigins);
  drawOrigins();
  showAll.addEventListener("change", drawTimeline);
  precisionFormat.addEventListener("change", () => {
    context.setParams({ format: precisionFormat.value === "float16" ? null : precisionFormat.value });
    drawPrecision();
  });

  return {
    dispose() {
      heatmap.destroy();
      stretches.destroy();
      precision.destroy();
    },
    help: [["← →", "Move over the heatmap"], ["Enter", "Open the tensor in Layers"]],
    get store() {
      return { summary, frame, steps, shown: shown.map((row) => ({ ...row, name: printable(row.name) })) };
    },
  };
}
