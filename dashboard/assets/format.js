// Numbers, times and names as the page writes them.

/** Of the API, where NaN and infinities are strings. @param {number | string | null | undefined} value @returns {number} NaN for what is missing */
export function toNumber(value) {
  if (typeof value === "number") return value;
  if (value === "Infinity") return Infinity;
  if (value === "-Infinity") return -Infinity;
  return NaN;
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 0.0831, 1.92, 12,345, 3.1e-7. @param {number} value @param {number} [digits] @returns {string} */
export function formatNumber(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "−Inf";
  if (value === 0) return "0";
  // As it is rounded: 999.96 is written as 1,000.
  const size = Math.abs(Number(value.toPrecision(digits)));
  let text;
  if (size >= 1e7 || size < 1e-4) text = value.toExponential(Math.max(digits - 2, 1)).replace(/\.?0+e/, "e").replace("e+", "e");
  else if (size >= 10 ** (digits - 1)) text = grouped.format(value);
  else text = Number.isInteger(value) ? grouped.format(value) : value.toPrecision(digits);
  return text.replace("-", "−").replace("e−", "e-");
}

/** @param {number} value @returns {string} 12,345 */
export function formatCount(value) {
  return Number.isFinite(value) ? grouped.format(value).replace("-", "−") : formatNumber(value);
}

/** @param {number} seconds @param {number} [digits] @returns {string} 820 µs, 12.5 ms, 3.20 s, 4 min 10 s, 2 h 5 min, 3 d 4 h */
export function formatSeconds(seconds, digits = 3) {
  if (!Number.isFinite(seconds)) return formatNumber(seconds);
  const size = Math.abs(Number(seconds.toPrecision(digits)));
  if (size === 0) return "0 s";
  if (size < 1e-3) return `${formatNumber(seconds * 1e6, digits)} µs`;
  if (size < 1) return `${formatNumber(seconds * 1e3, digits)} ms`;
  if (size < 60) return `${formatNumber(seconds, digits)} s`;
  const whole = Math.round(Math.abs(seconds));
  const parts = (large, unit, small, smallUnit) => {
    const rest = Math.floor((whole % large) / small);
    return `${Math.floor(whole / large)} ${unit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
  };
  if (whole < 3600) return parts(60, "min", 1, "s");
  return whole < 86400 ? parts(3600, "h", 60, "min") : parts(86400, "d", 3600, "h");
}

/** @param {number} bytes @param {number} [digits] @returns {string} 512 B, 3.4 MiB */
export function formatBytes(bytes, digits = 3) {
  if (!Number.isFinite(bytes)) return formatNumber(bytes);
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let place = 0;
  while (Math.abs(value) >= 1024 && place + 1 < units.length) {
    value /= 1024;
    ++place;
  }
  return `${place === 0 ? formatCount(value) : formatNumber(value, digits)} ${units[place]}`;
}

/** @param {number} ratio 0 to 1 @param {number} [digits] @returns {string} 0.42 % */
export function formatRatio(ratio, digits = 3) {
  return Number.isFinite(ratio) ? `${formatNumber(ratio * 100, digits)} %` : formatNumber(ratio);
}

const ofUnit = { seconds: formatSeconds, bytes: formatBytes, ratio: formatRatio };

/** @param {number} value @param {string} [unit] seconds, bytes, ratio, or a word that is put behind @returns {string} */
export function formatValue(value, unit = "") {
  return ofUnit[unit]?.(value) ?? (unit ? `${formatNumber(value)} ${unit}` : formatNumber(value));
}

const scales = Object.entries({ T: 1e12, G: 1e9, M: 1e6, k: 1e3 });

function tickLabel(value, unit, digits) {
  const size = Math.abs(value);
  const [letter, scale] = size >= 1e4 && size < 1e15 ? scales.find((one) => size >= one[1]) : ["", 1];
  const text = ofUnit[unit]?.(value, digits) ?? formatNumber(value / scale, digits) + letter;
  return text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");
}

/** 250k, 0.1; as many digits as they have. @param {(number | null)[]} splits null: no label @param {string} unit @returns {string[]} */
export function tickLabels(splits, unit) {
  // The ends of a logarithmic axis are any number.
  const isRound = (value, digits) => value === null || Number(value.toPrecision(digits)) === value;
  const round = splits.filter((value) => isRound(value, 12));
  let digits = 3;
  while (round.some((value) => !isRound(value, digits))) ++digits;
  return splits.map((value) => (value === null ? "" : tickLabel(value, unit, isRound(value, 12) ? digits : 3)));
}

/** @param {number} seconds @returns {string} just now, 12 s ago */
export function formatAge(seconds) {
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
}

/** @param {number} time seconds since the epoch @returns {string} 14:02:11 of today, 27 Nov 14:02 of another day; local time */
export function formatTime(time) {
  const date = new Date(time * 1000);
  const clock = date.toLocaleTimeString("en-GB");
  if (date.toDateString() === new Date().toDateString()) return clock;
  const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: date.getFullYear() === new Date().getFullYear() ? undefined : "numeric" });
  return `${day} ${clock.slice(0, 5)}`;
}
