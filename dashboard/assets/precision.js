// @ts-check
// What of a tensor lies outside of the range of a smaller number format.

import { el } from "./dom.js";
import { nameCell } from "./layer_rows.js";
import { numberOrNull, percent } from "./text.js";

/** @param {any[]} tensors rows of /api/v1/tensors */
export const precisionRows = (tensors) => tensors.filter((row) => row.precision);

/**
 * A share as a bar and in words.
 * @param {number | null} share 0 to 1; null or NaN: there is no nonzero finite element
 * @param {string} name
 * @param {boolean} [isBound] it may be less
 */
export function shareBar(share, name, isBound = false) {
  if (share === null || !Number.isFinite(share)) return "–";
  return el("span", { class: `share ${name}`, style: { "--share": `${Math.max(share > 0 ? 1 : 0, share * 100)}%` } }, el("span", { class: "share-bar" }), el("span", { class: "share-text" }, boundText(share, isBound)));
}

/** @param {number} share @param {boolean} isBound */
export function boundText(share, isBound) {
  const text = percent(share);
  return isBound && /^[1-9]|^0\../.test(text) ? `≤ ${text}` : text;
}

/**
 * @param {() => string} format of the API
 * @returns {import("./table.js").Column<any>[]}
 */
export function precisionColumns(format) {
  const share = (/** @type {any} */ row, /** @type {string} */ what) => numberOrNull(row.precision?.[format()]?.[what]);
  const outside = (/** @type {any} */ row) => {
    // Of bfloat16 only the overflow can be told: its smallest numbers are far below what is counted. An int8 of which nothing can has one of 0.
    if (share(row, "underflow") === null && row.precision?.[format()]?.verdict === "out_of_sight") return null;
    const known = [share(row, "overflow"), share(row, "underflow")].filter((one) => one !== null);
    return known.length === 0 ? null : known.reduce((sum, one) => Number(sum) + Number(one), 0);
  };
  const column = (/** @type {string} */ what, /** @type {string} */ head, /** @type {string} */ title) => ({
    key: what, head, title, value: (/** @type {any} */ row) => share(row, what), show: (/** @type {any} */ row) => shareBar(share(row, what), what, what === "overflow"),
  });
  return [
    { key: "tensor", head: "Tensor", text: true, value: (row) => row.tensor, show: (row) => nameCell(row.tensor) },
    { key: "kind", head: "Kind", text: true, value: (row) => row.kind },
    { key: "dtype", head: "Type now", text: true, value: (row) => row.dtype },
    { key: "outside", head: "Outside", title: "Overflow and underflow together; at most, where something overflows", value: outside, show: (row) => shareBar(outside(row), "outside", Number(share(row, "overflow")) > 0) },
    column("overflow", "Overflow", "Too large for the format: would be infinite. At most so much: magnitudes are counted by powers of two, and the format ends within one"),
    column("subnormal", "Subnormal", "Kept with fewer significant bits"),
    column("underflow", "Underflow", "Too small for the format: would be zero"),
  ];
}
