// @ts-check
// A curve the size of a word.

import { svg } from "./dom.js";
import { numberOrNull } from "./text.js";

/**
 * An SVG of values over their place; those that are not finite are red ticks over the whole height, missing ones a gap.
 * @param {import("./text.js").ApiNumber[]} values
 * @param {{width?: number, height?: number, log?: boolean, nonfinite?: (index: number) => boolean}} [options]
 *   log: positive values by their logarithm, zeros at the bottom; nonfinite: which stand for elements that are not finite
 */
export function sparkline(values, { width = 96, height = 20, log = false, nonfinite = () => false } = {}) {
  const numbers = values.map((value, i) => (nonfinite(i) ? NaN : numberOrNull(value)));
  const place = (/** @type {number} */ value) => (log ? Math.log(value) : value);
  const drawn = numbers.flatMap((value) => (value !== null && Number.isFinite(value) && !(log && value <= 0) ? [value] : []));
  const low = Math.min(...drawn.map(place));
  const high = Math.max(...drawn.map(place));
  const x = (/** @type {number} */ i) => (numbers.length > 1 ? 1 + (i * (width - 2)) / (numbers.length - 1) : width / 2);
  const y = (/** @type {number} */ value) => {
    if (log && value <= 0) return height - 1;
    return high > low ? height - 2 - ((place(value) - low) * (height - 4)) / (high - low) : height / 2;
  };
  let line = "";
  let ticks = "";
  let isPenDown = false;
  numbers.forEach((value, i) => {
    if (value === null) {
      isPenDown = false;
    } else if (!Number.isFinite(value)) {
      ticks += `M${x(i).toFixed(1)} 0V${height}`;
      isPenDown = false;
    } else {
      const point = `${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
      // A value between two that are missing is a dot: a line of length 0 with round ends.
      line += isPenDown ? `L${point}` : `M${point}h0`;
      isPenDown = true;
    }
  });
  const paths = /** @type {[string, string][]} */ ([[ticks, "sparkline-nonfinite"], [line, "sparkline-line"]]);
  return svg(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    paths.map(([d, name]) => d !== "" && svg("path", { d, class: name })),
  );
}
