// @ts-check
// One tensor: its figures, one of them over time, and the magnitudes of its elements now and over time.

import { histogram, overTime } from "./distribution.js";
import { createDistributionSource } from "./distribution_source.js";
import { el, fill, icon, setText } from "./dom.js";
import { createHeatmap } from "./heatmap.js";
import { createStatisticChart } from "./statistic_chart.js";
import { count, figure, numberOrNull, percent, printable, raw } from "./text.js";

/** Statistics by the words of the API; others are shown under their own name. */
const WORDS = /** @type {Record<string, string>} */ ({
  mean: "mean", std: "standard deviation", min: "smallest", max: "largest", l1_norm: "L1 norm", l2_norm: "norm", zero_ratio: "zero ratio", nan_values: "NaN",
  inf_values: "Inf", update_norm: "update norm", update_ratio: "update ratio", distance: "distance from the start", cosine: "cosine with the gradient before", count: "finite elements", elements: "elements",
});
const NO_FIGURES = new Set(["kind", "tensor", "layer", "shape", "dtype", "missing", "precision"]);

/** @param {string} name of a statistic */
export const wordsOf = (name) => WORDS[name] ?? name.replaceAll("_", " ");

/** @param {string} name of a statistic */
const formatOf = (name) => (/_values$|^count$|^elements$/.test(name) ? count : name === "zero_ratio" ? percent : figure);

/**
 * @typedef {object} Shown
 * @property {string} name
 * @property {string} kind parameter, gradient or buffer
 * @property {import("./layer_rows.js").LayerRow | null} row
 * @property {number} attempt
 * @property {number} step of the frame
 * @property {number[]} steps of which there are frames, as far as they are shown
 */

/**
 * @param {any} context of the view
 * @param {{onClose: () => void, onStep: (step: number) => void}} on
 */
export function createTensorPanel(context, on) {
  const title = el("bdi", { class: "tensor-title" });
  const about = el("span", { class: "muted" });
  const kinds = el("span", { class: "segmented", role: "group", "aria-label": "Which tensor" });
  const figures = el("dl", { class: "stats" });
  const select = el("select", { "aria-label": "Statistic over time" });
  const now = el("div", { class: "tensor-now" });
  const nowHead = el("h3", { text: "Magnitudes" });
  const timeHead = el("h3", { text: "Magnitudes over time" });
  const timeNote = el("p", { class: "note" });
  const heatmap = createHeatmap({
    label: "Magnitudes over time",
    rowKind: "magnitude",
    format: percent,
    nonfinite: "NaN or Inf",
    note: () => "of the elements",
    mostRow: 12,
    onOpen: (_, column) => distributions[column] && on.onStep(distributions[column].step),
  });
  const chart = createStatisticChart(context);
  const close = el("button", { type: "button", class: "icon-button", "aria-label": "Close the tensor", title: "Close (Esc)", on: { click: on.onClose } }, icon("close"));
  const element = el(
    "section",
    { class: "card panel tensor-panel", "aria-label": "Tensor", tabindex: "-1" },
    el("div", { class: "panel-head" }, el("h2", {}, title), about, kinds, close),
    figures,
    el("div", { class: "tensor-plots" },
      el("div", {}, el("div", { class: "panel-head" }, el("h3", { text: "Over time" }), select), chart.element),
      el("div", {}, nowHead, now),
      el("div", { class: "wide" }, timeHead, timeNote, heatmap.element)),
  );
  element.hidden = true;

  const source = createDistributionSource(context, () => shown?.attempt ?? 0);
  /** @type {import("./distribution_source.js").DistributionAt[]} */
  let distributions = [];
  /** @type {AbortController | null} */
  let loading = null;
  let shownKey = "";
  /** @type {Shown | null} */
  let shown = null;

  select.addEventListener("change", () => {
    context.setParams({ figure: select.value });
    drawChart();
  });

  function drawChart() {
    if (!shown) return;
    chart.show({ kind: shown.kind, tensor: shown.name, statistic: select.value, words: wordsOf(select.value), at: `${shown.attempt}.${shown.steps.at(-1)}` });
  }

  /** @param {Shown} what */
  function drawFigures({ row, kind, name, step }) {
    const of = (kind === "gradient" ? row?.gradient : row?.tensor) ?? {};
    setText(title, printable(name));
    setText(about, `${of.shape ?? ""} ${of.dtype ?? ""} · step ${count(step)}`);
    const there = row?.kind === "buffer" ? ["buffer"] : ["parameter", "gradient"];
    // In place: a button that has the focus keeps it.
    if (kinds.childElementCount !== (there.length > 1 ? there.length : 0)) {
      fill(kinds, there.length > 1 && there.map((one) => el("button", { type: "button", text: one, on: { click: () => (context.setParams({ kind: one }), void show({ .../** @type {Shown} */ (shown), kind: one })) } })));
    }
    for (const button of kinds.children) button.setAttribute("aria-pressed", String(button.textContent === kind));
    const names = Object.keys(of).filter((key) => !NO_FIGURES.has(key));
    fill(figures, names.map((key) => {
      const isBad = key === "nan_values" || key === "inf_values" ? (numberOrNull(of[key]) ?? 0) > 0 : typeof of[key] === "string";
      return el("div", {}, el("dt", { text: wordsOf(key) }), el("dd", { class: isBad ? "nonfinite" : "", data: { statistic: key, value: raw(of[key]) } }, formatOf(key)(of[key])));
    }));
    if (of.missing) fill(figures, el("p", { class: "note", text: missingText(of.missing, kind) }));
    const charted = names.filter((key) => key !== "elements" && key !== "count");
    const wanted = context.params.get("figure") ?? "l2_norm";
    if (charted.join() !== [...select.options].map(({ value }) => value).join()) fill(select, charted.map((key) => el("option", { value: key }, wordsOf(key))));
    select.value = charted.includes(wanted) ? wanted : (charted[0] ?? "");
    select.hidden = charted.length === 0;
  }

  /** @param {Shown} what */
  async function drawMagnitudes({ kind, name, row, step, steps }) {
    loading?.abort();
    loading = new AbortController();
    const { signal } = loading;
    const end = () => loading?.abort();
    context.signal.addEventListener("abort", end, { signal });
    try {
      const figures = kind === "gradient" ? row?.gradient : row?.tensor;
      // Where magnitudes are counted the row has `precision`; of a tensor without figures at this step that is not known.
      const isCounted = figures?.precision !== undefined || figures?.missing !== undefined;
      const current = isCounted ? await source.at(kind, name, step, signal) : null;
      setText(nowHead, `Magnitudes at step ${count(current?.step ?? step)}`);
      timeHead.hidden = current === null;
      heatmap.element.hidden = current === null;
      timeNote.hidden = true;
      if (!current) return fill(now, notCounted(name));
      fill(now, histogram(current, name));
      await source.over(kind, name, { first: steps[0], last: steps[steps.length - 1] }, signal, (some) => {
        distributions = some;
        heatmap.update(overTime(some), { log: false, label: `Magnitudes of ${printable(name)} over time` });
      });
    } catch (error) {
      if (signal.aborted) return;
      timeNote.hidden = false;
      setText(timeNote, /** @type {Error} */ (error).message);
    } finally {
      context.signal.removeEventListener("abort", end);
    }
  }

  /** @param {Shown} what */
  async function show(what) {
    shown = what;
    const key = JSON.stringify([what.kind, what.name]);
    if (key !== shownKey) {
      shownKey = key;
      distributions = [];
      fill(now);
      heatmap.clear();
      heatmap.update({ rows: [], steps: [], values: [] });
    }
    element.hidden = false;
    element.dataset.tensor = what.name;
    element.dataset.kind = what.kind;
    drawFigures(what);
    drawChart();
    await drawMagnitudes(what);
  }

  return {
    element,
    show,
    reveal() {
      element.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
      element.focus({ preventScroll: true });
    },
    close() {
      loading?.abort();
      shown = null;
      shownKey = "";
      element.hidden = true;
      delete element.dataset.tensor;
    },
    destroy() {
      loading?.abort();
      heatmap.destroy();
      chart.destroy();
    },
  };
}

/** @param {string} missing @param {string} kind */
function missingText(missing, kind) {
  if (missing === "frozen") return "The parameter is frozen: it does not require a gradient, so none was measured.";
  if (missing === "absent") return kind === "gradient" ? "There was no gradient at this step: backward() did not reach the parameter." : "The tensor was not there at this step.";
  return `It could not be read at this step (${missing}).`;
}

/** @param {string} name */
function notCounted(name) {
  return el("div", { class: "note" },
    el("p", {}, "Magnitudes of this tensor are not counted. Name it in the trainer's configuration:"),
    el("pre", { class: "command", text: `sampling:\n  histogram: ["${printable(name)}"]   # or ["*"] for all` }));
}
