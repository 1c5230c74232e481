// Charts that share x: range, zoom, cursor, and the turn in which what is due is drawn.

import { themeChanges } from "./theme.js";

/** Fires "zoom" and "cursor". */
export class ChartGroup extends EventTarget {
  charts = [];
  zoom = null;
  /** So much of x up to the latest is shown. */
  window = Infinity;
  cursor = null;
  /** @type {Annotation[]} in rising order of x */
  annotations = [];
  bands = [];
  /** What taking data in took, ms: a part of the update. */
  ingestMs = 0;
  /** Called after the first drawing with data. @type {(() => void) | null} */
  onFirstDraw = null;
  #frame = 0;
  #dirty = new Set();
  #byElement = new WeakMap();
  #visibility = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const chart = this.#byElement.get(entry.target);
      if (!chart) continue;
      chart.isVisible = entry.isIntersecting;
      if (chart.isVisible && this.#dirty.has(chart)) this.#schedule();
    }
  }, { rootMargin: "40px" });
  #sizes = new ResizeObserver((entries) => {
    for (const entry of entries) this.#byElement.get(entry.target)?.resize();
  });

  #onTheme = () => this.charts.forEach((chart) => chart.restyle());

  constructor() {
    super();
    themeChanges.addEventListener("change", this.#onTheme);
  }

  add(chart) {
    this.charts.push(chart);
    this.#byElement.set(chart.plot, chart);
    this.#visibility.observe(chart.plot);
    this.#sizes.observe(chart.plot);
    this.draw(chart);
  }

  remove(chart) {
    this.charts = this.charts.filter((one) => one !== chart);
    this.#dirty.delete(chart);
    this.#visibility.unobserve(chart.plot);
    this.#sizes.unobserve(chart.plot);
  }

  dispose() {
    themeChanges.removeEventListener("change", this.#onTheme);
    cancelAnimationFrame(this.#frame);
    this.#visibility.disconnect();
    this.#sizes.disconnect();
    for (const chart of this.charts) chart.dispose();
    this.charts = [];
  }

  /** In the next frame, one chart or all; what is not visible waits until it is. */
  draw(chart) {
    if (chart) this.#dirty.add(chart);
    else for (const one of this.charts) this.#dirty.add(one);
    this.#schedule();
  }

  #schedule() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    this.#frame = 0;
    const begin = performance.now();
    let drawn = 0;
    let hasData = false;
    for (const chart of this.#dirty) {
      if (!chart.isVisible) {
        chart.describe();
        continue;
      }
      this.#dirty.delete(chart);
      chart.draw();
      hasData ||= chart.hasData;
      ++drawn;
    }
    if (drawn === 0) return;
    const end = performance.now();
    if (!hasData) return;
    // Data came in before; the measure is as long as both.
    performance.measure("vigil:update", { start: begin - this.ingestMs, end, detail: { charts: drawn, ingestMs: this.ingestMs, drawMs: end - begin } });
    this.ingestMs = 0;
    this.onFirstDraw?.();
    this.onFirstDraw = null;
  }

  range() {
    if (this.zoom) return this.zoom;
    const all = this.extent();
    return { min: Math.max(all.min, all.max - this.window), max: all.max };
  }

  extent() {
    let min = Infinity;
    let max = -Infinity;
    for (const chart of this.charts) {
      const range = chart.extent();
      min = Math.min(min, range.min);
      max = Math.max(max, range.max);
    }
    if (min > max) return { min: 0, max: 1 };
    return min === max ? { min: min - 0.5, max: max + 0.5 } : { min, max };
  }

  setZoom(range) {
    if (range === null && this.zoom === null) return;
    this.zoom = range;
    this.dispatchEvent(new Event("zoom"));
    this.draw();
  }

  setWindow(window) {
    this.window = window;
    this.draw();
  }

  setCursor(x, source) {
    if (x === this.cursor) return;
    this.cursor = x;
    for (const chart of this.charts) if (chart.isVisible) chart.showCursor(x, chart !== source);
    this.dispatchEvent(new Event("cursor"));
  }
}
