// @ts-check
// Numbers and names of a run as tables and plots write them; formatting proper is in format.js.

import { formatCount, formatNumber, formatRatio, toNumber } from "./format.js";

/** @typedef {number | string | null | undefined} ApiNumber a number of the API, which writes NaN and infinities as strings */

/** The number, null where there is none. @param {ApiNumber} value */
export const numberOrNull = (value) => (value === null || value === undefined ? null : toNumber(value));

/** For data attributes: the number as the API wrote it. @param {ApiNumber} value */
export const raw = (value) => (value === null || value === undefined ? "" : String(value));

/** Three significant digits, – where there is none. @param {ApiNumber} value */
export const figure = (value) => (numberOrNull(value) === null ? "–" : formatNumber(toNumber(value), 3));

/** A whole number. @param {ApiNumber} value */
export const count = (value) => (numberOrNull(value) === null ? "–" : formatCount(toNumber(value)));

/** A share of 0 to 1 as percent; one that is neither nothing nor all is not rounded to that. @param {ApiNumber} value */
export function percent(value) {
  const share = numberOrNull(value);
  if (share === null) return "–";
  if (share > 0 && share < 1e-4) return "< 0.01 %";
  if (share < 1 && share > 0.9995) return "> 99.9 %";
  return formatRatio(share);
}

const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/**
 * A name from a trainer, with what is invisible, breaks lines or turns the direction of writing spelt out.
 * @param {string} name
 */
export function printable(name) {
  return name.replace(UNPRINTABLE, (character) => {
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

const longestName = 72;

/** Long names differ at either end: the middle goes. @param {string} name */
export function shortened(name) {
  const letters = [...name];
  const half = longestName / 2 - 1;
  return letters.length > longestName ? `${letters.slice(0, half).join("")}…${letters.slice(-half).join("")}` : name;
}

/** `2⁻⁸`. @param {number} exponent */
export const powerOfTwo = (exponent) => `2${[...String(exponent)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)])).join("")}`;
