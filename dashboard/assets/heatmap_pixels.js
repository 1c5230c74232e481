// @ts-check
// From a matrix of values to pixels. A cell becomes a code, and codes are ordered by what must be seen: where several cells share
// a pixel the largest code wins, so that a single NaN among thousands of cells is never thinned away.

import { LEVELS, colourScale, css, fitScale, packed } from "./colour_scale.js";

/** Nothing was measured. */
export const MISSING = 0;
/** The value is 0: on a logarithmic scale it has no colour of its own. */
export const ZERO = 1;
const FIRST_LEVEL = 2;
/** The value, or an element of the tensor that it is of, is NaN or infinite. */
export const NONFINITE = FIRST_LEVEL + LEVELS;

/**
 * @typedef {object} Matrix
 * @property {(number | null)[][]} values by row and column; null: missing
 * @property {boolean} log colours by the logarithm
 * @property {boolean[]} [alarms] rows whose every value above 0 counts as non-finite
 * @property {(number | null)[][]} [nonfinite] elements that are not finite, of the tensor behind each cell
 */

/**
 * @param {Matrix} matrix
 * @param {number} columns
 */
export function encode({ values, log, alarms, nonfinite }, columns) {
  const rows = values.length;
  const codes = new Uint16Array(rows * columns);
  const finite = new Float64Array(rows * columns);
  let kept = 0;
  for (let r = 0; r < rows; ++r) {
    const [row, broken, isAlarm] = [values[r], nonfinite?.[r], alarms?.[r] === true];
    for (let c = 0; c < columns; ++c) {
      const value = row[c];
      if ((broken?.[c] ?? 0) > 0 || (value !== null && (!Number.isFinite(value) || (isAlarm && value > 0)))) codes[r * columns + c] = NONFINITE;
      else if (value !== null) finite[kept++] = value;
    }
  }
  const scale = fitScale(finite.subarray(0, kept), log);
  for (let r = 0; r < rows; ++r) {
    for (let c = 0; c < columns; ++c) {
      const value = values[r][c];
      if (value === null || codes[r * columns + c] === NONFINITE) continue;
      codes[r * columns + c] = value === 0 && (log || scale.low === 0) ? ZERO : FIRST_LEVEL + scale.level(value);
    }
  }
  return { codes, scale };
}

/**
 * @typedef {{dark: boolean, zero: number, missing: number, hatch: number, nonfinite: number, mark: number, page: number, levels: Uint32Array}} Palette
 *   words of ImageData
 */

/** @param {boolean} dark @returns {Palette} */
export function palette(dark) {
  return dark
    ? { dark, zero: packed(48, 52, 60), missing: packed(24, 26, 30), hatch: packed(82, 86, 94), nonfinite: packed(214, 52, 58), mark: packed(120, 18, 28), page: packed(19, 23, 29), levels: colourScale(true) }
    : { dark, zero: packed(226, 229, 233), missing: packed(250, 250, 251), hatch: packed(176, 181, 189), nonfinite: packed(214, 40, 48), mark: packed(255, 190, 186), page: packed(255, 255, 255), levels: colourScale(false) };
}

/** @param {Palette} colours @param {"zero" | "missing" | "nonfinite"} name */
export const cssOf = (colours, name) => css(colours[name]);

/**
 * The colour of a code at a pixel: missing cells are hatched one way, non-finite ones the other, so that neither is told by colour alone.
 * @param {Palette} colours @param {number} code @param {number} x @param {number} y @param {number} dpr
 */
function colourAt(colours, code, x, y, dpr) {
  if (code >= FIRST_LEVEL && code < NONFINITE) return colours.levels[code - FIRST_LEVEL];
  if (code === ZERO) return colours.zero;
  const stripe = Math.max(1, Math.round(dpr));
  const period = 6 * stripe;
  if (code === MISSING) return (x + y) % period < stripe ? colours.hatch : colours.missing;
  return (((x - y) % period) + period) % period < stripe ? colours.mark : colours.nonfinite;
}

/**
 * Paints rows × columns cells over width × height pixels.
 * @param {Uint16Array} codes @param {number} rows @param {number} columns
 * @param {ImageData} image @param {Palette} colours @param {number} dpr
 */
export function paint(codes, rows, columns, image, colours, dpr) {
  const { width, height } = image;
  const pixels = new Uint32Array(image.data.buffer);
  const gap = Math.max(1, Math.round(dpr));
  const hasColumnGaps = width / columns >= 7 * dpr;
  const hasRowGaps = height / rows >= 7 * dpr;
  const columnOf = Int32Array.from({ length: width + 1 }, (_, x) => Math.floor((x * columns) / width));
  const isColumnGap = Uint8Array.from({ length: width }, (_, x) => (hasColumnGaps && Math.floor(((x + gap) * columns) / width) !== columnOf[x] ? 1 : 0));
  const line = new Uint16Array(width);
  let drawnFrom = -1;
  let drawnTo = -1;
  let hasPattern = false;
  let wasRowGap = false;
  for (let y = 0; y < height; ++y) {
    const from = Math.floor((y * rows) / height);
    const to = Math.max(from + 1, Math.floor(((y + 1) * rows) / height));
    const isRowGap = hasRowGaps && Math.floor(((y + gap) * rows) / height) !== from;
    const isSame = from === drawnFrom && to === drawnTo;
    if (isSame && !hasPattern && isRowGap === wasRowGap) {
      pixels.copyWithin(y * width, (y - 1) * width, y * width);
      continue;
    }
    if (!isSame) {
      hasPattern = false;
      for (let x = 0; x < width; ++x) {
        const first = columnOf[x];
        const last = Math.max(first + 1, columnOf[x + 1]);
        if (x > 0 && first === columnOf[x - 1] && last === first + 1) {
          line[x] = line[x - 1];
          continue;
        }
        let code = 0;
        for (let r = from; r < to; ++r) {
          for (let c = first; c < last; ++c) code = Math.max(code, codes[r * columns + c]);
        }
        line[x] = code;
        hasPattern ||= code === MISSING || code === NONFINITE;
      }
      [drawnFrom, drawnTo] = [from, to];
    }
    wasRowGap = isRowGap;
    for (let x = 0; x < width; ++x) pixels[y * width + x] = isRowGap || isColumnGap[x] === 1 ? colours.page : colourAt(colours, line[x], x, y, dpr);
  }
}

/** A swatch of a legend. @param {number} code @param {Palette} colours @param {number} width @param {number} height @param {number} dpr */
export function swatch(code, colours, width, height, dpr) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) pixels[y * width + x] = colourAt(colours, code, x, y, dpr);
  }
  return image;
}

/** The scale from small to large. @param {Palette} colours @param {number} width @param {number} height */
export function ramp(colours, width, height) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let x = 0; x < width; ++x) {
    const word = colours.levels[Math.round((x * (LEVELS - 1)) / Math.max(1, width - 1))];
    for (let y = 0; y < height; ++y) pixels[y * width + x] = word;
  }
  return image;
}
