// @ts-check
// Colours of magnitudes. The lightness of OKLab goes up in equal steps from one end to the other, so equal steps of a value look
// equal; hue runs from violet over blue to green, none of which is mistaken for the red of non-finite values, and what
// colour-blind eyes (and grey printers) lose is the hue alone.

/** Steps of a scale. */
export const LEVELS = 256;

/** @param {number} lightness @param {number} chroma @param {number} hue degrees @returns {[number, number, number]} sRGB, 0 to 255 */
function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const gamma = (/** @type {number} */ x) => {
    const clipped = Math.min(1, Math.max(0, x));
    return Math.round(255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055));
  };
  return [
    gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    gamma(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** A colour as a word of ImageData in memory order. @param {number} r @param {number} g @param {number} b */
export const packed = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** @type {Map<boolean, Uint32Array>} */
const scales = new Map();

/**
 * LEVELS colours from the smallest value to the largest, as words of ImageData. On a light page large values are dark, on a dark
 * one they are light: what is large stands out from the page.
 * @param {boolean} dark
 */
export function colourScale(dark) {
  let scale = scales.get(dark);
  if (!scale) {
    scale = new Uint32Array(LEVELS);
    for (let i = 0; i < LEVELS; ++i) {
      const t = dark ? i / (LEVELS - 1) : 1 - i / (LEVELS - 1);
      const lightness = (dark ? 0.31 : 0.28) + t * (dark ? 0.63 : 0.63);
      scale[i] = packed(...oklch(lightness, 0.045 + 0.07 * Math.sin(Math.PI * (0.12 + 0.8 * t)), 292 - 140 * t));
    }
    scales.set(dark, scale);
  }
  return scale;
}

/** @param {number} word a colour of ImageData @returns {string} the same for CSS */
export const css = (word) => `rgb(${word & 255} ${(word >> 8) & 255} ${(word >> 16) & 255})`;

/**
 * What maps values to levels.
 * @typedef {{low: number, high: number, log: boolean, level: (value: number) => number, at: (share: number) => number}} Scale
 *   low and high: the finite values that are not 0 lie between; at(0..1): the value at that place of the legend.
 */

/** Decades below the largest value that a logarithmic scale tells apart. */
const MOST_DECADES = 12;

/**
 * @param {Iterable<number>} values finite ones
 * @param {boolean} log
 * @returns {Scale}
 */
export function fitScale(values, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (log && value <= 0) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = log ? [1, 1] : [0, 0];
  if (log) low = Math.max(low, high * 10 ** -MOST_DECADES);
  else low = Math.min(low, 0);
  const [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const span = to - from;
  return {
    low,
    high,
    log,
    level: (value) => {
      const share = span > 0 ? ((log ? Math.log10(value) : value) - from) / span : 1;
      return Math.round((LEVELS - 1) * Math.min(1, Math.max(0, share)));
    },
    at: (share) => (log ? 10 ** (from + share * span) : from + share * span),
  };
}
