// Columns of a series: smoothing, what a chart draws of many points, rates; and numbers in words.
import assert from "node:assert/strict";
import test from "node:test";

import { formatBytes, formatNumber, formatSeconds, formatValue, tickLabels, toNumber } from "../../dashboard/assets/format.js";
import { Rate, Series } from "../../dashboard/assets/series.js";

/** A reproducible draw from [0, 1). */
function draws(seed) {
  let state = seed;
  return () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32);
}

const counting = (length, from = 1) => Array.from({ length }, (_, i) => from + i);

function seriesOf(values, batch = values.length) {
  const series = new Series("loss");
  for (let i = 0; i < values.length; i += batch) {
    const part = values.slice(i, i + batch);
    series.append(counting(part.length, i + 1), counting(part.length, i + 1).map((step) => step / 100), part);
  }
  return series;
}

const valuesOf = (series, column = "values") => [...series[column].subarray(0, series.length)];

test("the smoothed value is the mean of what came before, weighted by age, whatever was not finite", () => {
  const values = [4, 2, "NaN", 8, "Infinity", 1, 1];
  const weight = 0.7;
  const series = seriesOf(values, 2);
  series.smoothing = weight;
  const expected = values.map((value, i) => {
    if (typeof value === "string") return NaN;
    const before = values.slice(0, i + 1).reverse().map((one, age) => ({ one, weight: typeof one === "number" ? weight ** age : 0 }));
    return before.reduce((sum, { one, weight: of }) => (of > 0 ? sum + one * of : sum), 0) / before.reduce((sum, { weight: of }) => sum + of, 0);
  });
  valuesOf(series, "smooth").forEach((value, i) => assert.ok(Object.is(value, expected[i]) || Math.abs(value - expected[i]) < 1e-12, `${i}: ${value}, is ${expected[i]}`));
  assert.equal(series.nonfiniteLength, 2);
});

/** As the server thins out: of each bucket the first, smallest, largest and last, and where they are the first or last. */
function thinnedOut(values, stride, bucketOf) {
  const kept = [];
  for (let i = 0; i < values.length;) {
    let end = i;
    while (end < values.length && bucketOf(end * stride) === bucketOf(i * stride)) ++end;
    const places = counting(end - i, i);
    const by = (isBetter) => places.reduce((best, place) => (isBetter(values[place], values[best]) ? place : best));
    const summary = new Set([i, by((a, b) => a < b), by((a, b) => a > b), end - 1]);
    for (const place of [...summary].sort((a, b) => a - b)) kept.push({ place, isEnd: place === i || place === end - 1 });
    i = end;
  }
  return kept;
}

/** A skewed loss: mostly small, sometimes large. */
function skewed(length, seed) {
  const draw = draws(seed);
  return Array.from({ length }, () => 0.5 - 1.2 * Math.log(1 - draw()) + (draw() < 0.01 ? 30 * draw() : 0));
}

/** Means of what came before, weighted by age. */
function smoothedBy(values, weight, stride = 1) {
  let [sum, weights] = [0, 0];
  return values.map((value) => ([sum, weights] = [sum * weight ** stride + value, weights * weight ** stride + 1]) && sum / weights);
}

const mean = (list) => list.reduce((sum, one) => sum + one, 0) / list.length;

test("of a long run the weight is of a part of it, in powers of two", () => {
  const values = skewed(5000, 3);
  const steps = values.map((_, i) => 1 + i);
  const series = new Series("loss");
  series.smoothing = 0.5;
  // Step by step, as it grows: what was smoothed by another unit is smoothed anew.
  for (let i = 0; i < values.length; i += 100) series.append(steps.slice(i, i + 100), steps.slice(i, i + 100), values.slice(i, i + 100));
  const expected = smoothedBy(values, 0.5 ** (1 / 4));
  valuesOf(series, "smooth").forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-9 * expected[i], `${i}: ${value}, is ${expected[i]}`));
});

for (const { length, stride, block } of [{ length: 4000, stride: 1 }, { length: 20_000, stride: 1 }, { length: 20_000, stride: 10 }, { length: 200_000, stride: 1, block: 300 }]) {
  test(`smoothed, ${length} points that are thinned out have the mean of all, ${stride} steps apart${block ? `, in blocks of ${block}` : ""}`, () => {
    const most = 2000;
    const values = skewed(length, length + stride);
    const width = Math.floor((length * stride) / (most / 5)) + 1;
    // Blocks come whole into the bucket of their first step.
    const kept = thinnedOut(values, stride, (step) => Math.floor((block ? Math.floor(step / block) * block : step) / width));
    const series = new Series("loss");
    series.parts = Infinity;
    const steps = kept.map(({ place }) => 1 + place * stride);
    series.take({ steps, times: steps, values: kept.map(({ place }) => values[place]) }, most);
    series.smoothing = 0.9;
    const smooth = valuesOf(series, "smooth");
    const all = mean(smoothedBy(values, 0.9));
    assert.ok(mean(kept.map(({ place }) => values[place])) > 1.15 * all, "the extremes are well above");
    assert.ok(Math.abs(mean(smooth) - all) < 0.12 * all, `${mean(smooth)}, is ${all}`);
    // What comes after is all there, and goes on as if nothing had been left out.
    const later = skewed(300, 5);
    const laterSteps = later.map((_, i) => 1 + (length + i) * stride);
    series.append(laterSteps, laterSteps, later);
    const expected = smoothedBy([...values, ...later], 0.9);
    valuesOf(series, "smooth").slice(-200).forEach((value, i) => assert.ok(Math.abs(value - expected[length + 100 + i]) < 1e-3 * expected[length + 100 + i], `${value}`));
    if (block) return;
    // Reference: the ends of the buckets alone, by age.
    let [sum, weights, last] = [0, 0, 0];
    const wrong = kept.filter(({ place, isEnd }, i) => {
      if (isEnd) [sum, weights, last] = [sum * 0.9 ** (place - last) + values[place], weights * 0.9 ** (place - last) + 1, place];
      return Math.abs(smooth[i] - sum / weights) > 1e-9;
    });
    // In the last bucket, which is shorter, and where one ends between two steps, an extreme may be taken for its end.
    assert.ok(wrong.length <= (stride === 1 ? 4 : kept.length / 30), `${wrong.length} of ${kept.length}`);
  });
}

test("values that are not finite are counted as the server counts them", () => {
  const series = new Series("loss");
  series.append([1, 50, 100], [1, 2, 3], [1, "NaN", "Infinity"], [0, 40, 7]);
  assert.equal(series.nonfiniteTotal, 47);
  series.append([100, 101], [3, 4], ["NaN", "NaN"], [9, 1]);
  assert.equal(series.nonfiniteTotal, 50);
  series.append([102], [5], ["NaN"]);
  assert.equal(series.nonfiniteTotal, 51, "without a count each is one");
});

test("of 131,072 points a chart draws few, and no extreme, no end and no stretch of NaN is lost", () => {
  const draw = draws(7);
  const values = Array.from({ length: 2 ** 17 }, () => (draw() < 0.001 ? "NaN" : draw() < 0.001 ? 100 * draw() : draw()));
  const series = seriesOf(values, 777);
  const places = [...series.drawn(0, series.length)];
  assert.ok(places.length < 3000, `${places.length}`);
  assert.deepEqual(places, [...new Set(places)].sort((a, b) => a - b));
  const drawn = new Set(places);
  const columns = 128;
  const width = values.length / columns;
  for (let column = 0; column < columns; ++column) {
    const here = counting(width, column * width);
    const finite = here.filter((place) => typeof values[place] === "number");
    const of = (most, list) => most(...list.map((place) => values[place]));
    const finiteDrawn = finite.filter((place) => drawn.has(place));
    assert.equal(of(Math.max, finiteDrawn), of(Math.max, finite));
    assert.equal(of(Math.min, finiteDrawn), of(Math.min, finite));
    assert.ok(drawn.has(finite[0]) && drawn.has(finite.at(-1)));
    const bad = here.filter((place) => typeof values[place] === "string");
    assert.ok(bad.length === 0 || drawn.has(bad[0]));
  }
});

test("points that come in bits are drawn like those that come at once", () => {
  const draw = draws(11);
  const values = Array.from({ length: 9000 }, () => draw());
  const atOnce = seriesOf(values);
  for (const batch of [1, 7, 512]) {
    const inBits = seriesOf(values, batch);
    assert.deepEqual([...inBits.drawn(1000, 8000)], [...atOnce.drawn(1000, 8000)]);
  }
  assert.deepEqual([...atOnce.drawn(100, 300)], counting(200, 100), "few points are all drawn");
});

test("the last step is replaced when it comes again, and earlier ones are left out", () => {
  const values = counting(5000).map((i) => Math.sin(i));
  const expected = seriesOf([...values.slice(0, -1), 0.1]);
  const series = seriesOf([...values.slice(0, -1), "NaN"], 100);
  series.append([5000], [50], [1000]);
  for (const one of [expected, series]) one.smoothing = 0.5;
  series.append([4999, 5000], [1, 50], [3, 0.1]);
  assert.deepEqual(valuesOf(series), valuesOf(expected));
  assert.deepEqual(valuesOf(series, "smooth"), valuesOf(expected, "smooth"));
  assert.deepEqual([...series.drawn(0, 5000)], [...expected.drawn(0, 5000)]);
  assert.equal(series.nonfiniteLength, 0);
  assert.equal(series.append([1, 2], [1, 2], [0, 0]), 0);
});

test("the place nearest to a step is found", () => {
  const series = new Series("sparse");
  series.append([10, 20, 40], [1, 2, 4], [1, 2, 3]);
  assert.deepEqual([1, 14, 16, 29, 31, 99].map((step) => series.nearest(series.steps, step)), [0, 0, 1, 1, 2, 2]);
  assert.equal(new Series("none").nearest(new Float64Array(1), 5), -1);
});

test("a rate is the growth of a counter by time, also over points that were thinned out", () => {
  const counter = new Series("examples_total");
  const rate = new Rate(counter, "examples_per_second", "/s");
  const steps = [1, 100, 101, 200, 201, 300];
  // 64 examples a step, 50 steps a second; but the clock of close points jitters.
  counter.append(steps, steps.map((step) => step / 50 + (step === 101 ? -0.019 : 0)), steps.map((step) => step * 64));
  rate.update();
  assert.deepEqual(valuesOf(rate.series, "steps"), [100, 200, 300]);
  valuesOf(rate.series).forEach((value) => assert.ok(Math.abs(value - 3200) < 40, `${value}`));
  counter.append([301], [301 / 50], [301 * 64]);
  rate.update();
  assert.equal(rate.series.steps[rate.series.length - 1], 301);
  counter.clear();
  counter.append([1, 2], [1, 2], [10, 20]);
  rate.update();
  assert.deepEqual(valuesOf(rate.series), [10]);
  const untold = new Series("examples_total");
  untold.append([1, 2], [1, 2], [0, 0]);
  const none = new Rate(untold, "examples_per_second", "/s");
  none.update();
  assert.equal(none.series.length, 0);
});

test("numbers are read from the API and written for people", () => {
  assert.deepEqual(["NaN", "Infinity", "-Infinity", 1.5, null, undefined].map(toNumber), [NaN, Infinity, -Infinity, 1.5, NaN, NaN]);
  assert.deepEqual([NaN, -Infinity, 0, 0.08314159, 12345.6, 1234, -2.5, 3.14159e-7, 2e9].map((value) => formatNumber(value)), ["NaN", "−Inf", "0", "0.08314", "12,346", "1,234", "−2.500", "3.14e-7", "2e9"]);
  assert.deepEqual([0, 8.2e-4, 0.0125, 3.2, 250, 300, 7500, 273600].map((value) => formatSeconds(value)), ["0 s", "820 µs", "12.5 ms", "3.20 s", "4 min 10 s", "5 min", "2 h 5 min", "3 d 4 h"]);
  assert.deepEqual([512, 3565158].map((value) => formatBytes(value)), ["512 B", "3.40 MiB"]);
  assert.equal(formatValue(0.0042, "ratio"), "0.420 %");
  // Where rounding makes another power of ten of it.
  assert.deepEqual([formatNumber(999.96), formatNumber(999.96, 3), formatSeconds(9.9996e-4), formatSeconds(0.99996), formatSeconds(59.99)], ["1,000", "1,000", "1.00 ms", "1.00 s", "1 min"]);
});

test("labels of ticks tell them apart, in powers or exponents where they are large or small", () => {
  assert.deepEqual(tickLabels([0.1, 0.1000001, 0.1000002], ""), ["0.1", "0.1000001", "0.1000002"]);
  assert.deepEqual(tickLabels([0, 0.25, 0.5], ""), ["0", "0.25", "0.5"]);
  assert.deepEqual(tickLabels([0, 250000, 250120], ""), ["0", "250k", "250.12k"]);
  assert.deepEqual(tickLabels([5e29, 1e30, 1.5e30], ""), ["5e29", "1e30", "1.5e30"]);
  assert.deepEqual(tickLabels([-2e-7, 0, 2e-7], ""), ["−2e-7", "0", "2e-7"]);
  assert.deepEqual(tickLabels([0, 2 ** 29, 2 ** 30], "bytes"), ["0 B", "512 MiB", "1 GiB"]);
  assert.deepEqual(tickLabels([1, null, 10], ""), ["1", "", "10"]);
});
