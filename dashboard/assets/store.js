// The series of one run, kept up to date.

import { Series } from "./series.js";

/** Of one series, above which it is asked for thinned out: 100,000 and room for what comes meanwhile. */
const mostPoints = 120000;
const pointsOfAnAnswer = 2000;
export const pointsOfARange = 5000;
/** The server answers several questions at a time, and each within a limit. */
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
