// A series as columns, smoothed, thinned out for a chart; the series of a run.

import { toNumber } from "./format.js";

/** First, smallest, largest, last finite, first not finite. */
const bucketPoints = 5;
/** When there are more, twice as wide ones take their place. */
const mostBuckets = 512;

function grown(column, length) {
  if (column.length >= length) return column;
  const larger = new column.constructor(Math.max(length, column.length * 2));
  larger.set(column);
  return larger;
}

export class Series {
  length = 0;
  version = 0;
  isDownsampled = false;
  steps = new Float64Array(256);
  times = new Float64Array(256);
  values = new Float64Array(256);
  smooth = new Float64Array(256);
  /** Of points of a bucket between its first and its last: 1. */
  #isInner = new Uint8Array(256);
  nonfinite = new Int32Array(16);
  nonfiniteLength = 0;
  /** Of each how many it stands for. */
  nonfiniteCounts = new Float64Array(16);
  #weight = 0;
  #average = 0;
  #correction = 0;
  #smoothed = 0;
  #lastStep = 0;
  #stride = Infinity;
  /** The weight is of a step, of a long series of one of so many parts. */
  parts = 1000;
  #unit = 1;
  #buckets = new Int32Array(mostBuckets * bucketPoints);
  #width = 1;

  constructor(name, unit = "") {
    this.name = name;
    this.unit = unit;
  }

  clear() {
    this.length = 0;
    this.nonfiniteLength = 0;
    this.isDownsampled = false;
    this.#width = 1;
    this.#stride = Infinity;
    this.#resetSmoothing();
    ++this.version;
  }

  /** A series of an answer. @param {any} row @param {number} most points that were asked for, where it is downsampled, else 0 */
  take(row, most) {
    if (most) this.isDownsampled = true;
    this.append(row.steps, row.times, row.values, row.nonfinite, most ? endsOf(row, most / bucketPoints) : undefined);
  }

  /** Of steps that are there the last is replaced, others are left out. */
  append(steps, times, values, counts = undefined, ends = undefined) {
    let from = 0;
    const last = this.length > 0 ? this.steps[this.length - 1] : -Infinity;
    while (from < steps.length && steps[from] < last) ++from;
    if (from === steps.length) return 0;
    if (steps[from] === last) this.#removeLast();
    const count = steps.length - from;
    const total = this.length + count;
    this.steps = grown(this.steps, total);
    this.times = grown(this.times, total);
    this.values = grown(this.values, total);
    this.smooth = grown(this.smooth, total);
    this.#isInner = grown(this.#isInner, total);
    for (let i = from; i < steps.length; ++i) {
      const place = this.length++;
      this.steps[place] = steps[i];
      this.times[place] = times[i];
      this.values[place] = toNumber(values[i]);
      this.#isInner[place] = ends && !ends.has(i) ? 1 : 0;
      if (place > 0 && steps[i] - this.steps[place - 1] < this.#stride) {
        this.#stride = steps[i] - this.steps[place - 1];
        this.#resetSmoothing();
      }
      if (!Number.isFinite(this.values[place])) this.#noteNonfinite(place, counts?.[i] || 1);
      this.#extendEnvelope(place);
    }
    this.#extendSmoothing();
    ++this.version;
    return count;
  }

  #removeLast() {
    const place = --this.length;
    if (this.nonfiniteLength > 0 && this.nonfinite[this.nonfiniteLength - 1] === place) --this.nonfiniteLength;
    const first = Math.floor(place / this.#width) * this.#width;
    for (let i = first; i < place; ++i) this.#extendEnvelope(i);
    if (this.#smoothed > place) this.#resetSmoothing();
  }

  #noteNonfinite(place, count) {
    this.nonfinite = grown(this.nonfinite, this.nonfiniteLength + 1);
    this.nonfiniteCounts = grown(this.nonfiniteCounts, this.nonfiniteLength + 1);
    this.nonfiniteCounts[this.nonfiniteLength] = count;
    this.nonfinite[this.nonfiniteLength++] = place;
  }

  // By age in steps, whatever the number of points; without extremes of buckets.
  get smoothing() {
    return this.#weight;
  }

  set smoothing(weight) {
    if (weight === this.#weight) return;
    this.#weight = weight;
    this.#resetSmoothing();
    this.#extendSmoothing();
    ++this.version;
  }

  #resetSmoothing() {
    this.#average = this.#correction = this.#smoothed = this.#lastStep = 0;
  }

  #extendSmoothing() {
    if (this.#weight === 0) return;
    const unit = 2 ** Math.max(0, Math.floor(Math.log2((this.steps[this.length - 1] - this.steps[0]) / this.#stride / this.parts)));
    if (unit !== this.#unit) this.#resetSmoothing();
    this.#unit = unit;
    const weight = this.#weight ** (1 / unit);
    for (let i = this.#smoothed; i < this.length; ++i) {
      const value = this.values[i];
      if (Number.isFinite(value) && !this.#isInner[i]) {
        const kept = weight ** ((this.steps[i] - this.#lastStep) / this.#stride);
        this.#lastStep = this.steps[i];
        this.#average = kept * this.#average + value;
        this.#correction = kept * this.#correction + 1;
      }
      this.smooth[i] = Number.isFinite(value) ? this.#average / this.#correction : NaN;
    }
    this.#smoothed = this.length;
  }

  #extendEnvelope(place) {
    if (place >= this.#width * mostBuckets) this.#widen();
    const bucket = Math.floor(place / this.#width) * bucketPoints;
    if (place % this.#width === 0) this.#buckets.fill(-1, bucket, bucket + bucketPoints);
    this.#addToBucket(bucket, place);
  }

  #addToBucket(bucket, place) {
    const { values } = this;
    const buckets = this.#buckets;
    const value = values[place];
    if (!Number.isFinite(value)) {
      if (buckets[bucket + 4] < 0) buckets[bucket + 4] = place;
      return;
    }
    if (buckets[bucket] < 0) buckets[bucket] = buckets[bucket + 1] = buckets[bucket + 2] = place;
    else if (value < values[buckets[bucket + 1]]) buckets[bucket + 1] = place;
    else if (value > values[buckets[bucket + 2]]) buckets[bucket + 2] = place;
    buckets[bucket + 3] = place;
  }

  #widen() {
    const old = this.#buckets.slice();
    this.#width *= 2;
    this.#buckets.fill(-1);
    for (let i = 0; i < mostBuckets; ++i) {
      const bucket = (i >> 1) * bucketPoints;
      for (let point = 0; point < bucketPoints; ++point) {
        const place = old[i * bucketPoints + point];
        if (place >= 0) this.#addToBucket(bucket, place);
      }
    }
  }

  /** Places that stand for those of [from, to); valid until the next call. */
  drawn(from, to, most = 2048) {
    let count = 0;
    if (to - from <= most || this.#width === 1) {
      scratch = grown(scratch, to - from);
      for (let i = from; i < to; ++i) scratch[count++] = i;
      return scratch.subarray(0, count);
    }
    const firstBucket = Math.floor(from / this.#width);
    const lastBucket = Math.floor((to - 1) / this.#width);
    scratch = grown(scratch, (lastBucket - firstBucket + 1) * bucketPoints);
    for (let bucket = firstBucket; bucket <= lastBucket; ++bucket) {
      const start = count;
      for (let point = 0; point < bucketPoints; ++point) {
        const place = this.#buckets[bucket * bucketPoints + point];
        if (place < from || place >= to) continue;
        let at = count;
        while (at > start && scratch[at - 1] > place) --at;
        if (at > start && scratch[at - 1] === place) continue;
        scratch.copyWithin(at + 1, at, count);
        scratch[at] = place;
        ++count;
      }
    }
    return scratch.subarray(0, count);
  }

  lowerBound(xs, x) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  nearest(xs, x) {
    if (this.length === 0) return -1;
    const next = this.lowerBound(xs, x);
    if (next === 0) return 0;
    if (next === this.length) return this.length - 1;
    return x - xs[next - 1] <= xs[next] - x ? next - 1 : next;
  }

  get nonfiniteTotal() {
    return this.nonfiniteCounts.subarray(0, this.nonfiniteLength).reduce((sum, count) => sum + count, 0);
  }

  get latest() {
    return this.length > 0 ? this.values[this.length - 1] : NaN;
  }
}

/** First and last points of buckets: where two are nearest, about a width from the last such place. */
function endsOf({ steps, values }, buckets) {
  const finite = values.flatMap((value, i) => (Number.isFinite(toNumber(value)) ? [i] : []));
  const width = (steps[steps.length - 1] - steps[0]) / buckets + 1;
  const last = finite.length - 1;
  const ends = new Set([finite[0], finite[last]]);
  for (let begin = 0; begin < last;) {
    const from = begin;
    let least = Infinity;
    for (let i = from + 1; i <= last; ++i) {
      const length = (steps[finite[i]] - steps[finite[from]]) / width;
      if (length > 2 && least < Infinity) break;
      const distance = steps[finite[i]] - steps[finite[i - 1]] + Math.abs(length - 1) / 4;
      if (length < 0.5 || distance >= least) continue;
      least = distance;
      begin = i;
    }
    if (begin === from) break;
    ends.add(finite[begin - 1]).add(finite[begin]);
  }
  return ends;
}

let scratch = new Int32Array(4096);

/** How fast a counter grows by wall time. */
export class Rate {
  #taken = 0;
  #version = -1;
  #lastStep = NaN;

  constructor(source, name, unit) {
    this.source = source;
    this.series = new Series(name, unit);
  }

  update() {
    const { source, series } = this;
    // A counter that stays 0 counts what nobody told of.
    if (source.version === this.#version || !(source.latest > 0)) return;
    this.#version = source.version;
    const isContinued = this.#taken <= source.length && (this.#taken === 0 || source.steps[this.#taken - 1] === this.#lastStep);
    if (!isContinued) {
      series.clear();
      this.#taken = 0;
    }
    // The last point may have been replaced.
    const begin = Math.max(this.#taken - 1, 1);
    const steps = [];
    const times = [];
    const values = [];
    for (let i = begin; i < source.length; ++i) {
      const seconds = source.times[i] - source.times[i - 1];
      const stride = source.steps[i] - source.steps[i - 1];
      // Thinned-out points come in close pairs, whose rate is noise.
      const before = i > 1 ? source.steps[i - 1] - source.steps[i - 2] : stride;
      const behind = i + 1 < source.length ? source.steps[i + 1] - source.steps[i] : stride;
      if (seconds <= 0 || (stride * 8 < before && stride * 8 < behind)) continue;
      steps.push(source.steps[i]);
      times.push(source.times[i]);
      values.push((source.values[i] - source.values[i - 1]) / seconds);
    }
    series.append(steps, times, values);
    this.#taken = source.length;
    this.#lastStep = source.length > 0 ? source.steps[source.length - 1] : NaN;
  }
}

/** Above it a series is asked for thinned out. */
const mostPoints = 120000;
const pointsOfAnAnswer = 2000;
export const pointsOfARange = 5000;
/** What the server takes at a time. */
const namesOfAQuestion = 8;

/** Fires "change", and "reset" when there is a new attempt. */
export class SeriesStore extends EventTarget {
  series = new Map();
  nonfiniteSteps = [];
  attempt = null;
  isLoaded = false;
  start = 0;
  ingestMs = 0;
  #cursors = null;
  #names = [];

  constructor(api, selection) {
    super();
    this.api = api;
    this.selection = selection;
  }

  /** Series to keep; the next update asks for new ones from the beginning. */
  want(names) {
    let isNew = false;
    for (const { name, unit } of names) {
      if (this.series.has(name)) continue;
      this.series.set(name, new Series(name, unit));
      isNew = true;
    }
    if (isNew) {
      this.#names = [...this.series.keys()];
      this.#cursors = null;
    }
    return names.map(({ name }) => this.series.get(name));
  }

  /** Keeps what comes behind that step, in more detail; 0: everything. */
  restart(start) {
    this.start = start;
    this.#names = [...this.#names];
    this.#cursors = null;
  }

  get(name) {
    return this.series.get(name);
  }

  async update(signal) {
    if (this.#names.length === 0) return;
    const isWhole = this.#cursors === null;
    const names = this.#names;
    const answers = await this.ask(names, (place) => ({ since: this.#cursors?.[place] ?? (this.start || null), max_points: this.#most() }), signal);
    // Others are wanted by now.
    if (names !== this.#names) return this.update(signal);
    const { attempt } = answers[0];
    if (answers.some((answer) => answer.attempt !== (isWhole ? attempt : this.attempt))) {
      // The cursor has gone over to a new attempt.
      this.restart(0);
      this.dispatchEvent(new Event("reset"));
      return this.update(signal);
    }
    const begin = performance.now();
    if (isWhole) this.#clear();
    this.attempt = attempt;
    for (const answer of answers) this.#take(answer);
    // Every question tells of them.
    this.#takeStretches(answers[0].nonfinite_steps ?? []);
    this.#cursors = answers.map((answer) => answer.next);
    this.isLoaded = true;
    this.ingestMs = performance.now() - begin;
    if ([...this.series.values()].some((one) => one.length > mostPoints)) {
      this.#cursors = null;
      if (!isWhole) return this.update(signal);
    }
    this.dispatchEvent(new Event("change"));
  }

  #most() {
    return this.start ? pointsOfARange : pointsOfAnAnswer;
  }

  ask(names, more, signal) {
    const { run, rank, attempt } = this.selection;
    const questions = [];
    for (let i = 0; i < names.length; i += namesOfAQuestion)
      questions.push(this.api.get("series", { run, rank, attempt, name: names.slice(i, i + namesOfAQuestion), ...more(questions.length) }, { signal }));
    return Promise.all(questions);
  }

  #clear() {
    for (const one of this.series.values()) one.clear();
    this.nonfiniteSteps = [];
  }

  #take(answer) {
    for (const row of answer.series) {
      const one = this.series.get(row.name);
      if (!one) continue;
      one.unit = row.unit;
      one.take(row, answer.downsampled ? this.#most() : 0);
    }
  }

  #takeStretches(stretches) {
    for (const stretch of stretches) {
      const last = this.nonfiniteSteps.at(-1);
      if (last && stretch.first <= last.last + 1) {
        if (stretch.last > last.last) this.nonfiniteSteps[this.nonfiniteSteps.length - 1] = { first: Math.min(last.first, stretch.first), last: stretch.last, count: last.count + stretch.count };
      } else {
        this.nonfiniteSteps.push(stretch);
      }
    }
  }
}
