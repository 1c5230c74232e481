// @ts-check
// The magnitudes of a tensor's elements: now as a histogram with a density curve, over time as rows of a heatmap.

import { el, svg } from "./dom.js";
import { count, figure, percent, powerOfTwo, printable } from "./text.js";

/**
 * An answer of /api/v1/distribution.
 * @typedef {{step: number, zeros: number, nan: number, inf: number, underflow: number, overflow: number, lowest_bound: number, upper_bounds: number[], counts: number[]}} Distribution
 */

/** @param {number} bound a power of two */
const exponent = (bound) => Math.round(Math.log2(bound));

/** All elements. @param {Distribution} of */
export function elements(of) {
  return of.counts.reduce((sum, one) => sum + one, of.zeros + of.nan + of.inf + of.underflow + of.overflow);
}

/** Φ, by the approximation 7.1.26 of Abramowitz and Stegun, off by 1e-7 at most. @param {number} x */
function normalBelow(x) {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-z * z);
  return x >= 0 ? 1 - tail / 2 : tail / 2;
}

/**
 * Density per power of two at `at` bins from the lowest bound: what is in a bin is taken as spread evenly over it, and smoothed
 * by a Gaussian of 0.6 bins, which keeps the area.
 * @param {number[]} counts @param {number} at
 */
export function densityAt(counts, at) {
  const width = 0.6;
  let sum = 0;
  counts.forEach((one, i) => {
    if (one > 0) sum += one * (normalBelow((at - i) / width) - normalBelow((at - i - 1) / width));
  });
  return sum;
}

/**
 * @param {Distribution} of
 * @param {string} name of the tensor
 * @returns {HTMLElement}
 */
export function histogram(of, name) {
  const total = elements(of);
  const bins = of.counts.length;
  const lowest = exponent(of.lowest_bound);
  const left = [{ key: "zeros", text: "0", value: of.zeros }, { key: "underflow", text: `< ${powerOfTwo(lowest)}`, value: of.underflow }];
  const right = [
    { key: "overflow", text: `> ${powerOfTwo(lowest + bins)}`, value: of.overflow },
    { key: "inf", text: "Inf", value: of.inf },
    { key: "nan", text: "NaN", value: of.nan },
  ];
  const [width, height, slot, bottom, top] = [600, 216, 48, 34, 12];
  const from = left.length * slot + 10;
  const each = (width - from - right.length * slot - 10) / bins;
  const curve = Array.from({ length: bins * 4 + 1 }, (_, i) => densityAt(of.counts, i / 4));
  const most = Math.max(1, ...of.counts, ...curve);
  const floor = height - bottom;
  const y = (/** @type {number} */ value) => floor - (value / most) * (floor - top);

  const label = `Magnitudes of ${printable(name)} at step ${of.step}: ${count(total)} elements, ${count(of.zeros)} zeros, ${count(of.underflow)} below the smallest bound, ${count(of.overflow)} above the largest, ${count(of.nan)} NaN, ${count(of.inf)} infinite.`;
  const text = (/** @type {string} */ words, /** @type {number} */ x, /** @type {number} */ top, kind = "tick") => svg("text", { x, y: top, class: kind }, words);
  const bars = of.counts.map((value, i) => {
    const between = `${powerOfTwo(lowest + i)} to ${powerOfTwo(lowest + i + 1)} (${figure(of.upper_bounds[i])})`;
    return svg(
      "rect",
      { x: from + i * each + 0.5, width: Math.max(0.5, each - 1), y: y(value), height: floor - y(value), class: "bar", data: { bound: of.upper_bounds[i], value } },
      svg("title", {}, `${between}: ${count(value)}, ${percent(value / Math.max(1, total))}`),
    );
  });
  const points = curve.map((value, i) => `${(from + (i / 4) * each).toFixed(1)} ${y(value).toFixed(1)}`);
  const ticks = [];
  for (let i = 0; i <= bins; i += 4) {
    const x = from + i * each;
    ticks.push(svg("line", { x1: x, x2: x, y1: floor, y2: floor + 3, class: "axis" }), text(powerOfTwo(lowest + i), x, floor + 14));
  }
  // Marks beside the axis have their own scale, all elements: half of a tensor in zeros must not flatten the bars.
  const mark = (/** @type {{key: string, text: string, value: number}} */ one, /** @type {number} */ x) => {
    const isAlarm = one.value > 0 && (one.key === "nan" || one.key === "inf");
    const share = total > 0 ? one.value / total : 0;
    const tall = one.value > 0 ? Math.max(2, share * (floor - top)) : 0;
    return svg(
      "g",
      { class: `mark${isAlarm ? " nonfinite" : ""}${one.value === 0 ? " none" : ""}`, data: { mark: one.key, value: one.value } },
      svg("rect", { x: x + 14, width: slot - 28, y: top, height: floor - top, class: "track" }),
      svg("rect", { x: x + 14, width: slot - 28, y: floor - tall, height: tall, class: "fill" }),
      text(one.text, x + slot / 2, floor + 14),
      text(one.value > 0 && share < 1e-4 ? count(one.value) : percent(share), x + slot / 2, floor + 28, "tick strong"),
      svg("title", {}, `${one.text}: ${count(one.value)} of ${count(total)} elements`),
    );
  };
  return el(
    "div",
    { class: "distribution-room" },
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, class: "distribution", role: "img", "aria-label": label, data: { step: of.step } },
      svg("line", { x1: 0, x2: width, y1: floor + 0.5, y2: floor + 0.5, class: "axis" }),
      bars,
      of.counts.some((value) => value > 0) && svg("path", { d: `M${points.join("L")}`, class: "density" }),
      ticks,
      left.map((one, i) => mark(one, i * slot)),
      right.map((one, i) => mark(one, width - (right.length - i) * slot)),
      text("magnitude |x|", from + (bins * each) / 2, height - 2),
    ),
  );
}

/**
 * The distributions of several steps as rows of a heatmap: shares of all elements; NaN, Inf and overflow on top, small magnitudes
 * and zeros at the bottom. Powers of two beyond the outermost with elements are left out.
 * @param {{step: number, of: Distribution | null}[]} columns ascending steps; null: not there (yet)
 * @returns {import("./heatmap.js").HeatmapData}
 */
export function overTime(columns) {
  const of = columns.flatMap((column) => (column.of && elements(column.of) > 0 ? [column.of] : []));
  if (of.length === 0) return { rows: [], steps: [], values: [] };
  const lowest = exponent(of[0].lowest_bound);
  const bins = of[0].counts.length;
  const isUsed = Array.from({ length: bins }, (_, i) => of.some((one) => one.counts[i] > 0));
  const first = Math.max(0, isUsed.indexOf(true) - 1);
  const last = isUsed.includes(true) ? Math.min(bins - 1, isUsed.lastIndexOf(true) + 1) : -1;
  /** @type {{name: string, value: (one: Distribution) => number, alarm?: boolean}[]} */
  const rows = [
    { name: "NaN", value: (one) => one.nan, alarm: true },
    { name: "Inf", value: (one) => one.inf, alarm: true },
  ];
  if (of.some((one) => one.overflow > 0)) rows.push({ name: `> ${powerOfTwo(lowest + bins)}`, value: (one) => one.overflow });
  for (let i = last; i >= first; --i) rows.push({ name: `≤ ${powerOfTwo(lowest + i + 1)}`, value: (one) => one.counts[i] });
  if (of.some((one) => one.underflow > 0)) rows.push({ name: `≤ ${powerOfTwo(lowest)}`, value: (one) => one.underflow });
  rows.push({ name: "0", value: (one) => one.zeros });
  return {
    rows: rows.map(({ name }) => name),
    steps: columns.map(({ step }) => step),
    values: rows.map(({ value }) => columns.map((column) => (column.of && elements(column.of) > 0 ? value(column.of) / elements(column.of) : null))),
    alarms: rows.map(({ alarm }) => alarm === true),
  };
}
