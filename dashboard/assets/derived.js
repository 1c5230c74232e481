// @ts-check
// Series that are computed from others.

import { Series } from "./series.js";

/** How fast a counter grows by wall time: examples a second from examples_total. */
export class Rate {
  #taken = 0;
  #version = -1;
  #lastStep = NaN;

  /**
   * @param {Series} source
   * @param {string} name
   * @param {string} unit
   */
  constructor(source, name, unit) {
    this.source = source;
    this.series = new Series(name, unit);
  }

  /** Takes in what the source has got since the last time. */
  update() {
    const { source, series } = this;
    if (source.version === this.#version) return;
    this.#version = source.version;
    const isContinued = this.#taken <= source.length && (this.#taken === 0 || source.steps[this.#taken - 1] === this.#lastStep);
    if (!isContinued) {
      series.clear();
      this.#taken = 0;
    }
    // The last point may have been replaced by the source.
    const begin = Math.max(this.#taken - 1, 1);
    const steps = [];
    const times = [];
    const values = [];
    for (let i = begin; i < source.length; ++i) {
      const seconds = source.times[i] - source.times[i - 1];
      const stride = source.steps[i] - source.steps[i - 1];
      // Thinned-out points come in close pairs with a wide gap before and behind: the pair says little, and much of it noise.
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
