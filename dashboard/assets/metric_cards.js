// @ts-check
// Answers of /api/v1/metrics as cards of figures.

import { el, fill } from "./dom.js";
import { formatCount, formatNumber, formatTime, formatValue, toNumber } from "./format.js";
import { printable, raw } from "./text.js";

/**
 * @typedef {{labels: Record<string, string>, value: number | string}} Sample
 * @typedef {{name: string, unit: string, help: string, kind: string, samples: Sample[]}} Family
 */

/** Cards in order; a family belongs to the first that matches. */
const CARDS = /** @type {[string, RegExp][]} */ ([
  ["Process", /^process_/],
  ["Device", /^vigil_(device_|allocation_retries|out_of_memory)/],
  ["Ring", /^vigil_ring_(overwritten|torn|slots|bytes|records)/],
  ["Exporters and hooks", /^vigil_(exporter_|hook_)/],
  ["Overhead", /^vigil_overhead_/],
  ["Series", /^vigil_(series|activation_layers_dropped)/],
  ["Alerts", /^vigil_alerts_/],
  ["Steps", /^vigil_(up$|steps_|samples_|examples_|micro_batches_|step_flops|model_flops|last_step_timestamp|start_time)/],
  ["Model", /^vigil_model_/],
  ["Runs followed", /^vigil_(daemon_|runs_|ring_)/],
  ["History", /^vigil_history_/],
  ["HTTP", /^vigil_(http_|reload_)/],
  ["Remote write and push", /^vigil_(remote_write_|push)/],
]);

/** What other views show, or is text. */
const ELSEWHERE = /^vigil_(loss|learning_rate|gradient_norm|parameter_norm|update_ratio|clip_ratio|user_scalar|run_info|run_state|run_end_info|build_info|nonfinite_|skipped_steps_total|rollbacks_total|alert_active|step_duration_seconds|last_step_duration_seconds)/;

/** Counters that are 0 as long as nothing went wrong. */
const TROUBLE = /(error|failure|dropped|overwritten|torn|refused|lost|hidden|unreadable|left_out|fault|out_of_memory|retries|yielded|cut_connections|wrong_passwords)/;

/** Words where those of the name do not do. */
const WORDS = /** @type {Record<string, string>} */ ({
  process_cpu_seconds_total: "CPU time", process_open_fds: "open files", process_max_fds: "most open files", vigil_up: "up", vigil_history_bytes: "size", vigil_daemon_turns_total: "looks at all rings",
  vigil_daemon_turn_seconds_total: "time that looks took", vigil_daemon_runs: "runs", vigil_overhead_seconds_total: "time in vigil", vigil_overhead_ratio: "share of the time", vigil_series: "per-tensor series",
  vigil_alerts_total: "alerts begun", vigil_series_dropped_total: "series dropped", vigil_runs_hidden: "runs hidden", vigil_last_step_timestamp_seconds: "latest step", vigil_start_time_seconds: "watched since",
});

/** `vigil_ring_torn_total` as `torn` on the card of the rings. @param {string} name */
const wordsOf = (name) => WORDS[name] ?? name.replace(/^(vigil_(ring|history|http|device|model|exporter|hook|remote_write|alerts)|vigil|process)_/, "").replace(/_total$/, "").replace(/_(seconds|bytes|ratio)$/, "").replaceAll("_", " ");

/** @param {Family} family @param {number | string} value */
function format({ name, kind, unit }, value) {
  const number = toNumber(value);
  if (/timestamp_seconds$|start_time_seconds$/.test(name)) return formatTime(number);
  if (unit === "seconds" || unit === "bytes" || unit === "ratio") return formatValue(number, unit);
  return kind === "counter" || Number.isInteger(number) ? formatCount(number) : formatNumber(number);
}

/** @param {Family} family @param {Sample} sample @param {string} words */
function line(family, sample, words) {
  const isBad = TROUBLE.test(family.name) && toNumber(sample.value) > 0;
  return el("div", { class: `metric${isBad ? " warning" : ""}`, title: family.help },
    el("dt", {}, el("bdi", {}, words)),
    el("dd", { data: { metric: family.name, labels: JSON.stringify(sample.labels), value: raw(sample.value) } }, format(family, sample.value)));
}

/** Labels but for those that all samples of a run have. @param {Sample} sample */
const ownLabels = (sample) => Object.entries(sample.labels).filter(([name]) => name !== "run" && name !== "rank");

/** @param {Sample} sample */
const labelWords = (sample) => printable(ownLabels(sample).filter(([, value]) => value !== "").map(([, value]) => value).join(" · "));

/** @param {Family} family @param {Set<string>} open families whose samples are shown one by one */
function lines(family, open) {
  if (family.samples.length === 1) {
    const [sample] = family.samples;
    const words = labelWords(sample);
    return line(family, sample, words ? `${wordsOf(family.name)}, ${words}` : wordsOf(family.name));
  }
  if (family.samples.length <= 3) return family.samples.map((sample) => line(family, sample, `${wordsOf(family.name)}, ${labelWords(sample)}`));
  const sum = family.samples.reduce((total, { value }) => total + toNumber(value), 0);
  const isBad = TROUBLE.test(family.name) && sum > 0;
  const [label] = ownLabels(family.samples[0])[0] ?? [""];
  const details = el("details", { class: "metric-group", open: open.has(family.name), data: { metric: family.name } },
    el("summary", { class: `metric${isBad ? " warning" : ""}`, title: family.help }, el("span", {}, `${wordsOf(family.name)}, by ${label}`), el("span", { class: "metric-sum" }, format(family, sum))),
    el("dl", { class: "metrics" }, family.samples.map((sample) => line(family, sample, labelWords(sample)))));
  details.addEventListener("toggle", () => (details.open ? open.add(family.name) : open.delete(family.name)));
  return details;
}

/**
 * Draws families into cards, in place.
 * @param {HTMLElement} place
 * @param {Family[]} families
 * @param {Set<string>} open
 */
export function drawCards(place, families, open) {
  const told = families.filter(({ name, kind, samples }) => kind !== "histogram" && samples.length > 0 && !ELSEWHERE.test(name));
  /** @type {Map<string, Family[]>} */
  const cards = new Map(CARDS.map(([title]) => [title, []]));
  for (const family of told) {
    const title = CARDS.find(([, names]) => names.test(family.name))?.[0] ?? "Other";
    cards.set(title, [...(cards.get(title) ?? []), family]);
  }
  const summary = (/** @type {Element | null} */ of) => (of instanceof HTMLElement && place.contains(of) ? of.closest("details")?.dataset.metric : undefined);
  const focused = summary(document.activeElement);
  fill(place, [...cards].filter(([, own]) => own.length > 0).map(([title, own]) =>
    el("section", { class: "card panel metric-card", data: { card: title } }, el("h3", { text: title }), el("dl", { class: "metrics" }, own.flatMap((family) => lines(family, open))))));
  for (const one of place.querySelectorAll("summary")) if (focused && summary(one) === focused) one.focus({ preventScroll: true });
}

/** @param {Family[]} families @param {string} name @param {Record<string, string>} [labels] */
export function valueOf(families, name, labels = {}) {
  const sample = families.find((family) => family.name === name)?.samples.find((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value));
  return sample ? toNumber(sample.value) : null;
}
