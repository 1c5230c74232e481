// Colours and cells of the heatmaps, and the density curve of a distribution.
import assert from "node:assert/strict";
import test from "node:test";

import { LEVELS, colourScale, fitScale } from "../../dashboard/assets/colour_scale.js";
import { densityAt, elements, overTime } from "../../dashboard/assets/distribution.js";
import { MOST_STEPS, stepsOf } from "../../dashboard/assets/distribution_source.js";
import { MISSING, NONFINITE, ZERO, encode, paint, palette } from "../../dashboard/assets/heatmap_pixels.js";

const channels = (word) => [word & 255, (word >> 8) & 255, (word >> 16) & 255];

/** CIE 1976 lightness, 0 to 100, after IEC 61966-2-1 and CIE 15: another measure than the one that the scale is made with. */
function lightness(word) {
  const [r, g, b] = channels(word).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  const y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return y > 216 / 24389 ? 116 * Math.cbrt(y) - 16 : (y * 24389) / 27;
}

test("lightness goes one way and in about equal steps in both themes", () => {
  for (const dark of [true, false]) {
    const all = [...colourScale(dark)].map(lightness);
    assert.equal(all.length, LEVELS);
    const sign = dark ? 1 : -1;
    const sixteenths = Array.from({ length: 15 }, (_, i) => sign * (all[(i + 1) * 17] - all[i * 17]));
    const mean = sixteenths.reduce((sum, step) => sum + step, 0) / 15;
    for (const step of sixteenths) assert.ok(step > mean * 0.6 && step < mean * 1.4, `${dark}: a step of ${step}, ${mean} on average`);
    assert.ok(Math.abs(all[255] - all[0]) > 60);
  }
});

test("no colour of the scale is the red of non-finite cells", () => {
  for (const dark of [true, false]) {
    const colours = palette(dark);
    const red = channels(colours.nonfinite);
    for (const word of colours.levels) {
      const [r, g, b] = channels(word);
      assert.ok(r <= Math.max(g, b), `${r} ${g} ${b} is reddish`);
      assert.ok(Math.hypot(r - red[0], g - red[1], b - red[2]) > 80);
    }
  }
});

test("a logarithmic scale leaves out zeros and ends at twelve decades", () => {
  const scale = fitScale([0, 1e-3, 1, 1e3], true);
  assert.deepEqual([scale.low, scale.high], [1e-3, 1e3]);
  assert.equal(scale.level(1e-3), 0);
  assert.equal(scale.level(1), Math.round((LEVELS - 1) / 2));
  assert.equal(scale.level(1e3), LEVELS - 1);
  assert.equal(fitScale([1e-30, 1], true).low, 1e-12);
});

test("cells are told apart: missing, zero, finite, and what holds NaN or Inf behind a finite figure", () => {
  const { codes } = encode({ values: [[null, 0, 1, 2], [NaN, Infinity, 3, 0]], nonfinite: [[null, 0, 0, 7], [1, 1, 0, 0]], log: true }, 4);
  assert.deepEqual([codes[0], codes[1], codes[3], codes[4], codes[5], codes[7]], [MISSING, ZERO, NONFINITE, NONFINITE, NONFINITE, ZERO]);
  assert.ok(codes[2] > ZERO && codes[2] < codes[6] && codes[6] < NONFINITE);
});

test("one non-finite cell among ten thousand on one pixel is painted red", () => {
  const colours = palette(true);
  for (const at of [0, 4321, 9999]) {
    const values = Array.from({ length: 100 }, () => new Array(100).fill(1));
    values[Math.floor(at / 100)][at % 100] = NaN;
    const image = { width: 2, height: 2, data: new Uint8ClampedArray(16) };
    paint(encode({ values, log: false }, 100).codes, 100, 100, image, colours, 1);
    const pixels = [...new Uint32Array(image.data.buffer)];
    const red = pixels.filter((pixel) => pixel === colours.nonfinite || pixel === colours.mark);
    assert.equal(red.length, 1, `cell ${at}`);
  }
});

test("the density keeps the number of elements and follows an even spread", () => {
  const counts = new Array(32).fill(0);
  counts.fill(50, 8, 24);
  let area = 0;
  for (let x = -10; x < 42; x += 0.01) area += densityAt(counts, x) * 0.01;
  assert.ok(Math.abs(area - 800) < 0.5, `${area}`);
  assert.ok(Math.abs(densityAt(counts, 16) - 50) < 0.01);
  assert.ok(Math.abs(densityAt(counts, 8) - 25) < 0.01, "half of it at the edge");
});

test("shares of a distribution over time are of all elements, and what has not come is missing", () => {
  const of = { step: 10, zeros: 10, nan: 20, inf: 5, underflow: 1, overflow: 4, lowest_bound: 2 ** -28, upper_bounds: Array.from({ length: 32 }, (_, i) => 2 ** (i - 27)), counts: new Array(32).fill(0) };
  of.counts[20] = 60;
  assert.equal(elements(of), 100);
  const data = overTime([{ step: 10, of }, { step: 20, of: null }]);
  const share = Object.fromEntries(data.rows.map((name, i) => [name, data.values[i]]));
  assert.deepEqual(data.steps, [10, 20]);
  for (const [name, value] of [["NaN", 0.2], ["Inf", 0.05], ["0", 0.1], ["> 2⁴", 0.04], ["≤ 2⁻⁷", 0.6], ["≤ 2⁻²⁸", 0.01]]) assert.deepEqual(share[name], [value, null], name);
  assert.deepEqual(data.alarms.map((isAlarm, i) => isAlarm && data.rows[i]).filter(Boolean), ["NaN", "Inf"]);
});

test("steps of distributions are few, keep their ends, and those asked for stay while the run goes on", () => {
  let before = stepsOf({ first: 1, last: 1 });
  let asked = new Set(before);
  let total = before.length;
  for (let last = 10; last <= 20000; last += 10) {
    const now = stepsOf({ first: 1, last });
    assert.ok(now.length <= MOST_STEPS && now[0] === 1 && now.at(-1) === last, `${last}`);
    assert.deepEqual(now, [...new Set(now)].sort((a, b) => a - b));
    // But for the last step, what is new is a multiple that the run has just come to.
    for (const step of now.slice(0, -1)) assert.ok(asked.has(step) || step > before.at(-1) - 1024, `${step} of ${last}`);
    for (const step of now) if (!asked.has(step)) ++total;
    now.forEach((step) => asked.add(step));
    before = now;
  }
  assert.ok(total < 2000 + 20000 / 8, `${total} questions`);
});
