// @ts-check
// What is zoomed to, in words and in more detail.

import { setText } from "./dom.js";
import { formatCount } from "./format.js";
import { pointsOfARange, Rate, Series } from "./series.js";

const waitMs = 120;

/**
 * @param {{zoom: Span | null, rates: Record<string, string>, store: SeriesStore, charts: Map<string, Chart>, note: HTMLElement, isThin: boolean, signal: AbortSignal}} what
 * `rates`: the counter of each; `isThin`: not all points are there
 */
export function showZoom({ zoom, rates, store, charts, note, isThin, signal }) {
  if (signal.aborted) return;
  for (const chart of charts.values()) chart.setDetail(null);
  setText(note, zoom ? `Steps ${formatCount(Math.ceil(zoom.min))} to ${formatCount(Math.floor(zoom.max))}` : "");
  if (!zoom || !isThin) return;
  const load = async () => {
    try {
      const detail = await readDetail(store, zoom, rates, signal);
      if (!signal.aborted) for (const chart of charts.values()) chart.setDetail(detail);
    } catch (error) {
      if (!signal.aborted) setText(note, "More detail could not be read.");
    }
  };
  // The range may still be changing.
  const timer = setTimeout(() => void load(), waitMs);
  signal.addEventListener("abort", () => clearTimeout(timer));
}

/**
 * The series of a store within a range of steps, and rates of them, by name.
 * @param {SeriesStore} store @param {Span} range @param {Record<string, string>} rates the counter of each @param {AbortSignal} signal
 */
export async function readDetail(store, range, rates, signal) {
  const question = () => ({ since: Math.max(Math.floor(range.min) - 1, 0), until: Math.ceil(range.max), max_points: pointsOfARange, attempt: store.attempt });
  const answers = await store.ask([...store.series.keys()], question, signal);
  /** @type {Map<string, Series>} */
  const detail = new Map();
  for (const answer of answers)
    for (const row of answer.series) {
      const series = new Series(row.name, row.unit);
      series.take(row, answer.downsampled ? pointsOfARange : 0);
      detail.set(row.name, series);
    }
  for (const [name, source] of Object.entries(rates)) {
    const counter = detail.get(source);
    if (!counter) continue;
    const rate = new Rate(counter, name, "/s");
    rate.update();
    detail.set(name, rate.series);
  }
  return detail;
}
