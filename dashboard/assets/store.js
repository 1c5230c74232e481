// @ts-check
// The series of one run, as the API has them, kept up to date step by step.

import { Series } from "./series.js";

/** Points of one series above which the server is asked for a thinned-out range again: 100,000 and room for those that come meanwhile. */
const mostPoints = 120000;
const pointsOfAnAnswer = 2000;
/** Names in one question; a URL has an end. */
const namesOfAQuestion = 60;

/** Fires "change" after data came, and "reset" when another attempt has taken the place of the one before. */
export class SeriesStore extends EventTarget {
  /** @type {Map<string, Series>} */
  series = new Map();
  /** @type {Stretch[]} */
  nonfiniteSteps = [];
  /** @type {number | null} */
  attempt = null;
  isLoaded = false;
  /** Time that the latest answer took to take in, ms. */
  ingestMs = 0;
  #next = /** @type {string | null} */ (null);
  /** @type {string[]} */
  #names = [];

  constructor(api, selection) {
    super();
    this.api = api;
    this.selection = selection;
  }

  /** Which series are kept. New ones are asked for from the beginning at the next update. */
  want(names) {
    let isNew = false;
    for (const { name, unit } of names) {
      if (this.series.has(name)) continue;
      this.series.set(name, new Series(name, unit));
      isNew = true;
    }
    this.#names = [...this.series.keys()];
    if (isNew) this.#next = null;
    return names.map(({ name }) => /** @type {Series} */ (this.series.get(name)));
  }

  get(name) {
    return this.series.get(name);
  }

  /** Takes in what is new, or everything the first time. */
  async update(signal) {
    if (this.#names.length === 0) return;
    const isWhole = this.#next === null;
    const answers = await this.#ask({ since: this.#next, max_points: pointsOfAnAnswer }, signal);
    const { attempt } = answers[0];
    if (!isWhole && attempt !== this.attempt) {
      // The cursor has gone over to a new attempt; its steps begin again.
      this.#next = null;
      this.dispatchEvent(new Event("reset"));
      return this.update(signal);
    }
    const begin = performance.now();
    if (isWhole) this.#clear();
    this.attempt = attempt;
    for (const answer of answers) this.#take(answer);
    // Each question has a cursor; the one that is furthest behind loses nothing, and what comes twice is left out.
    this.#next = answers.map((answer) => answer.next).reduce(earlier);
    this.isLoaded = true;
    this.ingestMs = performance.now() - begin;
    if ([...this.series.values()].some((one) => one.length > mostPoints)) {
      this.#next = null;
      if (!isWhole) return this.update(signal);
    }
    this.dispatchEvent(new Event("change"));
  }

  /** A stretch of steps in as much detail as the server gives, beside what is kept. */
  async range(names, since, until, signal) {
    const answers = await this.#ask({ since: Math.max(Math.floor(since) - 1, 0), until: Math.ceil(until), max_points: 5000, attempt: this.attempt }, signal, names);
    /** @type {Map<string, Series>} */
    const series = new Map();
    for (const answer of answers)
      for (const row of answer.series) {
        const one = new Series(row.name, row.unit);
        one.append(row.steps, row.times, row.values);
        one.isDownsampled = Boolean(answer.downsampled);
        series.set(row.name, one);
      }
    return series;
  }

  #ask(more, signal, names = this.#names) {
    const { run, rank, attempt } = this.selection;
    const questions = [];
    for (let i = 0; i < names.length; i += namesOfAQuestion)
      questions.push(this.api.get("series", { run, rank, attempt, name: names.slice(i, i + namesOfAQuestion), ...more }, { signal }));
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
      one.append(row.steps, row.times, row.values);
      if (answer.downsampled) one.isDownsampled = true;
    }
    for (const stretch of answer.nonfinite_steps ?? []) {
      const last = this.nonfiniteSteps.at(-1);
      if (last && stretch.first <= last.last + 1) {
        if (stretch.last > last.last) this.nonfiniteSteps[this.nonfiniteSteps.length - 1] = { first: Math.min(last.first, stretch.first), last: stretch.last, count: last.count + stretch.count };
      } else {
        this.nonfiniteSteps.push(stretch);
      }
    }
  }
}

function earlier(a, b) {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < left.length; ++i) if (left[i] !== right[i]) return left[i] < (right[i] ?? 0) ? a : b;
  return a;
}
