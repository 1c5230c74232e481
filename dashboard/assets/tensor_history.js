// @ts-check
// Figures of all tensors over time, with what of each was not finite.

import { numberOrNull } from "./text.js";

/**
 * @typedef {object} TensorHistory
 * @property {string} kind
 * @property {string} statistic
 * @property {number[]} steps
 * @property {number[]} times
 * @property {string[]} tensors
 * @property {(number | null)[][]} values by tensor and step; null: not measured
 * @property {(number | null)[][]} nonfinite elements that were NaN or infinite
 * @property {number} passedOver frames that could not be read
 */

/** Before its first step a run has no frame, and there is nothing to ask for. @param {any} context of the view */
export function hasSteps(context) {
  const { run, selection } = context;
  const attempt = run?.attempts?.find((/** @type {any} */ one) => one.attempt === selection.attempt) ?? run?.attempts?.[0];
  return !run || (attempt?.last_step ?? 0) > 0 || (!attempt && (run.step ?? 0) > 0);
}

/** A number of columns that keeps the answer small with thousands of tensors. @param {number} tensors */
export const columnsFor = (tensors) => Math.round(Math.min(200, Math.max(24, 60000 / Math.max(1, tensors))));

/**
 * Norms, means and extremes are of the finite elements alone, so the counts of the others are asked for beside them: a tensor
 * that is all NaN has the norm 0.
 * @param {any} context of the view
 * `until` is told, so that a frame that comes between the questions does not thin their answers out differently.
 * @param {{kind: string, statistic: string, columns: number, since?: number | null, until: number}} what
 * @param {AbortSignal} signal
 * @returns {Promise<TensorHistory>}
 */
export async function loadHistory(context, { kind, statistic, columns, since = null, until }, signal) {
  const ask = (/** @type {string} */ name) => context.api.get("tensors/heatmap", context.question({ kind, statistic: name, since, until, max_columns: columns }), { signal, timeoutMs: 20000 });
  const isCount = statistic === "nan_values";
  const [answer, nan, inf] = await Promise.all([isCount ? null : ask(statistic), ask("nan_values"), ask("inf_values")]);
  const of = answer ?? nan;
  // Columns are told by their step: frames that are not finite are thinned out by themselves.
  const [nanAt, infAt] = [nan, inf].map(({ steps }) => new Map(steps.map((/** @type {number} */ step, /** @type {number} */ i) => [step, i])));
  const nonfinite = of.tensors.map((/** @type {string} */ _, /** @type {number} */ row) =>
    of.steps.map((/** @type {number} */ step) => {
      const counts = [numberOrNull(nan.values[row]?.[nanAt.get(step)]), numberOrNull(inf.values[row]?.[infAt.get(step)])];
      return counts[0] === null && counts[1] === null ? null : (counts[0] ?? 0) + (counts[1] ?? 0);
    }),
  );
  const values = isCount ? nonfinite : of.values.map((/** @type {any[]} */ row) => row.map(numberOrNull));
  return { kind, statistic, steps: of.steps, times: of.times, tensors: of.tensors, values, nonfinite, passedOver: of.passed_over ?? 0 };
}
