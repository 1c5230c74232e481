// @ts-check
// The tables of the Layers view: one row a parameter with its gradient, one a buffer, one a layer's output.

import { el } from "./dom.js";
import { sparkline } from "./sparkline.js";
import { count, figure, numberOrNull, percent, printable, shortened } from "./text.js";

/**
 * @typedef {Record<string, any>} TensorFigures a row of /api/v1/tensors
 * @typedef {{key: string, kind: "parameter" | "buffer", name: string, layer: string, tensor: TensorFigures, gradient: TensorFigures | null}} LayerRow
 * @typedef {{steps: number[], rows: Map<string, {values: import("./text.js").ApiNumber[], nonfinite: number[]}>}} Trace gradient norms over time, by tensor
 */

/** Gradients beside their parameters, in the order of the model; buffers last. @param {TensorFigures[]} tensors @returns {LayerRow[]} */
export function joinRows(tensors) {
  const gradients = new Map(tensors.filter(({ kind }) => kind === "gradient").map((row) => [row.tensor, row]));
  const named = new Set(tensors.filter(({ kind }) => kind === "parameter").map((row) => row.tensor));
  // Without sampling.parameters there are gradients alone.
  const orphans = [...gradients.values()].filter((row) => !named.has(row.tensor));
  return [...tensors.filter(({ kind }) => kind !== "gradient"), ...orphans]
    .sort((a, b) => Number(a.kind === "buffer") - Number(b.kind === "buffer"))
    .map((row) => {
      const kind = row.kind === "buffer" ? "buffer" : "parameter";
      return { key: `${kind}:${row.tensor}`, kind, name: row.tensor, layer: row.layer, tensor: row.kind === "gradient" ? {} : row, gradient: kind === "buffer" ? null : (gradients.get(row.tensor) ?? null) };
    });
}

/** Elements that are NaN (or Inf), of the tensor and of its gradient together. @param {LayerRow} row @param {"nan_values" | "inf_values"} what */
export const nonfiniteOf = (row, what) => (numberOrNull(row.tensor[what]) ?? 0) + (numberOrNull(row.gradient?.[what]) ?? 0);

/** `960`, `928∇`, or `960 + 928∇`: together they may be more than there are elements. @param {LayerRow} row @param {"nan_values" | "inf_values"} what */
export function ownAndGradient(row, what) {
  const [own, gradient] = [numberOrNull(row.tensor[what]) ?? 0, numberOrNull(row.gradient?.[what]) ?? 0];
  return [own > 0 || gradient === 0 ? count(own) : "", gradient > 0 ? `${count(gradient)}∇` : ""].filter(Boolean).join(" + ");
}

/** @param {LayerRow} row */
const isNonfinite = (row) => nonfiniteOf(row, "nan_values") + nonfiniteOf(row, "inf_values") > 0;

/** @param {TensorFigures | null} figures */
const isBroken = (figures) => (numberOrNull(figures?.nan_values) ?? 0) + (numberOrNull(figures?.inf_values) ?? 0) > 0;

/**
 * What a search means: a substring, or an expression between slashes.
 * @param {string} text
 * @returns {{matches: (name: string) => boolean, problem: string}}
 */
export function nameFilter(text) {
  const expression = /^\/(.*)\/(i?)$/s.exec(text);
  if (expression) {
    try {
      const pattern = new RegExp(expression[1], expression[2]);
      return { matches: (name) => pattern.test(name), problem: "" };
    } catch (error) {
      return { matches: () => true, problem: `Not a regular expression: ${/** @type {Error} */ (error).message}` };
    }
  }
  const wanted = text.toLowerCase();
  return { matches: (name) => name.toLowerCase().includes(wanted), problem: "" };
}

/** @param {LayerRow[]} rows @param {{text: string, onlyNonfinite: boolean}} by */
export function filterRows(rows, { text, onlyNonfinite }) {
  const { matches, problem } = nameFilter(text);
  return { rows: rows.filter((row) => matches(row.name) && (!onlyNonfinite || isNonfinite(row))), problem };
}

/** @param {string} name of a tensor or layer */
export const nameCell = (name) => el("bdi", { class: "tensor-name", title: printable(name) }, shortened(printable(name)) || "(no name)");

/** `[32, 16, 5, 5]` as `32 × 16 × 5 × 5`. @param {string} shape */
const shapeText = (shape) => shape.replace(/^\[|\]$/g, "").replaceAll(", ", " × ") || "scalar";

/**
 * @param {(row: LayerRow) => TensorFigures | null} side of which tensor
 * @param {string} statistic
 * @param {string} key
 * @param {string} head
 * @param {string} title
 * @param {(value: import("./text.js").ApiNumber) => string} [format]
 * @returns {import("./table.js").Column<LayerRow>}
 */
function statisticColumn(side, statistic, key, head, title, format = figure) {
  // A norm is of the finite elements alone: beside NaN it would look like a small, harmless number.
  const isDoubtful = (/** @type {TensorFigures | null} */ figures) => figures?.[statistic] !== undefined && isBroken(figures) && statistic !== "zero_ratio";
  return {
    key,
    head,
    title,
    value: (row) => numberOrNull(side(row)?.[statistic]),
    rank: (row) => (isDoubtful(side(row)) ? NaN : numberOrNull(side(row)?.[statistic])),
    show: (row) => {
      const figures = side(row);
      if (figures?.missing) return el("span", { class: "muted" }, figures.missing);
      return isDoubtful(figures) ? el("span", { class: "nonfinite", title: `${format(figures?.[statistic])} over the finite elements` }, count(figures?.nan_values) === "0" ? "Inf" : "NaN") : format(figures?.[statistic]);
    },
  };
}

/** @param {() => Trace} trace @returns {import("./table.js").Column<LayerRow>[]} */
export function layerColumns(trace) {
  const parameter = (/** @type {LayerRow} */ row) => row.tensor;
  const gradient = (/** @type {LayerRow} */ row) => row.gradient;
  /** @type {["nan_values" | "inf_values", string, string][]} */
  const counts = [["nan_values", "NaN", "not a number"], ["inf_values", "Inf", "infinite"]];
  return [
    { key: "tensor", head: "Parameter", text: true, value: (row) => row.name, show: (row) => nameCell(row.name) },
    { key: "shape", head: "Shape", text: true, value: (row) => row.tensor.shape ?? row.gradient?.shape ?? null, show: (row) => shapeText(row.tensor.shape ?? row.gradient?.shape ?? "") },
    { key: "elements", head: "Count", title: "Elements", value: (row) => row.tensor.elements ?? row.gradient?.elements ?? null, show: (row) => count(row.tensor.elements ?? row.gradient?.elements) },
    statisticColumn(parameter, "l2_norm", "norm", "Norm", "Euclidean norm of the finite elements"),
    statisticColumn(gradient, "l2_norm", "gradient_norm", "Grad norm", "Euclidean norm of the finite elements of the gradient"),
    statisticColumn(parameter, "update_ratio", "update_ratio", "Update ratio", "What the last optimizer step changed, over the norm (sampling.update_ratio)"),
    statisticColumn(parameter, "zero_ratio", "zero_ratio", "Zeros", "Share of the elements that are zero", percent),
    statisticColumn(gradient, "zero_ratio", "gradient_zero_ratio", "Grad zeros", "Share of the elements of the gradient that are zero", percent),
    ...counts.map(([what, head, words]) => ({
      key: what,
      head,
      title: `Elements that are ${words}: of the tensor, + those of its gradient (∇)`,
      value: (/** @type {LayerRow} */ row) => nonfiniteOf(row, what),
      show: (/** @type {LayerRow} */ row) =>
        el("span", { title: `${count(row.tensor[what] ?? 0)} in the tensor, ${count(row.gradient?.[what] ?? 0)} in its gradient`, data: { tensor: row.tensor[what] ?? "", gradient: row.gradient?.[what] ?? "" } }, ownAndGradient(row, what)),
      state: (/** @type {LayerRow} */ row) => (nonfiniteOf(row, what) > 0 ? "nonfinite" : "muted"),
    })),
    {
      key: "trace",
      head: "Grad norm over time",
      title: "Logarithmic; red where an element is not finite",
      text: true,
      unsorted: true,
      value: () => null,
      show: (row) => {
        const own = row.kind === "parameter" ? trace().rows.get(row.name) : undefined;
        if (!own) return "";
        const drawing = sparkline(own.values, { log: true, nonfinite: (i) => own.nonfinite[i] > 0 });
        drawing.dataset.points = String(own.values.filter((value) => value !== null).length);
        return drawing;
      },
    },
  ];
}

/** @typedef {Record<string, any>} ActivationFigures a row of `activations` */

/** @returns {import("./table.js").Column<ActivationFigures>[]} */
export function activationColumns() {
  /** @type {(key: string, head: string, title: string, format?: (value: import("./text.js").ApiNumber) => string) => import("./table.js").Column<ActivationFigures>} */
  const column = (key, head, title, format = figure) => ({ key, head, title, value: (row) => numberOrNull(row[key]), show: (row) => format(row[key]), state: (row) => (row[key] === "NaN" || String(row[key]).endsWith("Infinity") ? "nonfinite" : "") });
  const counted = (/** @type {string} */ key, /** @type {string} */ head, /** @type {string} */ title) => ({ ...column(key, head, title, count), state: (/** @type {ActivationFigures} */ row) => ((numberOrNull(row[key]) ?? 0) > 0 ? "nonfinite" : "muted") });
  return [
    { key: "layer", head: "Layer", text: true, value: (row) => row.layer, show: (row) => nameCell(row.layer) },
    { key: "phase", head: "Phase", text: true, value: (row) => row.phase, show: (row) => printable(row.phase) },
    column("step", "Step", "Step at which its output was last looked at", count),
    column("elements", "Count", "Elements of the output", count),
    column("mean", "Mean", "Mean of the finite elements"),
    column("std", "Std", "Standard deviation of the finite elements"),
    column("min", "Min", "Smallest finite element"),
    column("max", "Max", "Largest finite element"),
    column("zero_ratio", "Zeros", "Share of the elements that are zero", percent),
    column("dead_ratio", "Dead", "Share of the units of a ReLU that are 0 for all of the batch", percent),
    column("saturated_ratio", "Saturated", "Share of the inputs of a tanh or sigmoid where its derivative is 0", percent),
    counted("nan_values", "NaN", "Elements that are NaN"),
    // Operators such as masked_fill make infinities that are meant; a layer with parameters does not.
    { ...counted("inf_values", "Inf", "Elements that are infinite"), state: (row) => ((numberOrNull(row.inf_values) ?? 0) === 0 ? "muted" : row.layer.includes("/") ? "" : "nonfinite") },
  ];
}
