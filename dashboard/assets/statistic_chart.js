// @ts-check
// One statistic of one tensor over time, as a chart like those of the Run view.

import { Chart } from "./chart.js";
import { el, fill } from "./dom.js";
import { Series } from "./series.js";

/** @param {string} statistic */
const unitOf = (statistic) => (statistic === "zero_ratio" ? "ratio" : "");

/**
 * Neighbouring frames in which one of the counts is not 0.
 * @param {{steps: number[], values: (number | string)[]}[]} counts
 */
export function stretchesOf(counts) {
  /** @type {Map<number, number>} */
  const bad = new Map();
  for (const { steps, values } of counts) steps.forEach((step, i) => bad.set(step, (bad.get(step) ?? 0) + Number(values[i])));
  /** @type {{first: number, last: number}[]} */
  const stretches = [];
  let isOpen = false;
  for (const [step, elements] of [...bad].sort((a, b) => a[0] - b[0])) {
    if (elements > 0 && isOpen) stretches[stretches.length - 1].last = step;
    else if (elements > 0) stretches.push({ first: step, last: step });
    isOpen = elements > 0;
  }
  return stretches;
}

/**
 * The norm of a tensor without a finite element is 0, which a curve would show as a small gradient; it is shown as NaN.
 * @param {string} statistic
 * @param {{steps: number[], values: (number | string)[]}} answer
 * @param {{steps: number[], values: (number | string)[]}[]} counts of NaN and of Inf
 */
function withoutHollowNorms(statistic, { steps, values }, counts) {
  if (!/^l[12]_norm$/.test(statistic)) return values;
  const bad = new Set(counts.flatMap((of) => of.steps.filter((_, i) => Number(of.values[i]) > 0)));
  return values.map((value, i) => (value === 0 && bad.has(steps[i]) ? NaN : value));
}

/** @param {any} context of the view */
export function createStatisticChart(context) {
  const element = el("div", { class: "statistic-chart" });
  /** @type {Chart | null} */
  let chart = null;
  let key = "";
  let shownKey = "";
  /** @type {AbortController | null} */
  let loading = null;

  return {
    element,
    /** @param {{kind: string, tensor: string, statistic: string, words: string, at: string}} what `at` changes when there may be more points */
    async show(what) {
      const wanted = JSON.stringify(what);
      if (wanted === key) return;
      key = wanted;
      loading?.abort();
      if (!what.statistic) return fill(element);
      loading = new AbortController();
      const { signal } = loading;
      const end = () => loading?.abort();
      context.signal.addEventListener("abort", end, { signal });
      try {
        const { kind, tensor, statistic } = what;
        const ask = (/** @type {string} */ name) => context.api.get("tensors/series", context.question({ kind, tensor, statistic: name, max_points: 1000 }), { signal });
        const [answer, nan, inf] = await Promise.all([ask(statistic), ask("nan_values"), ask("inf_values")]);
        // Statistics are of the finite elements alone: what they leave out is told by the bands.
        context.group.bands = stretchesOf([nan, inf]);
        const series = new Series(statistic, unitOf(statistic));
        series.append(answer.steps, answer.times, withoutHollowNorms(statistic, answer, [nan, inf]));
        const traces = [{ series, label: what.words }];
        const figure = JSON.stringify([kind, tensor, statistic]);
        if (chart && figure === shownKey) {
          chart.setTraces(traces);
        } else {
          shownKey = figure;
          this.clear();
          chart = new Chart(context.group, { id: `${kind}.${statistic}`, title: what.words, unit: unitOf(statistic), traces, isLog: /norm$|_ratio$/.test(statistic) && statistic !== "zero_ratio" });
          chart.element.dataset.tensor = tensor;
          fill(element, chart.element);
        }
      } catch (error) {
        if (signal.aborted) return;
        key = "";
        this.clear();
        fill(element, el("p", { class: "note", text: /** @type {Error} */ (error).message }));
      } finally {
        context.signal.removeEventListener("abort", end);
      }
    },
    clear() {
      if (!chart) return;
      context.group.remove(chart);
      chart.dispose();
      chart = null;
    },
    destroy() {
      loading?.abort();
      this.clear();
    },
  };
}
