// @ts-check
// Ranks of one run against their median.

import { el } from "./dom.js";
import { formatSeconds } from "./format.js";
import { count, figure, numberOrNull } from "./text.js";

/** As the rule straggler_rank has it: the median rank takes less than this share of a rank's time. */
const STRAGGLER_RATIO = 0.75;
/** Ranks are looked at one after the other, so they are seen apart by what they do in this time. */
const LOOK_SECONDS = 2;

/**
 * @typedef {object} RankRow
 * @property {number} rank
 * @property {string} state
 * @property {number | null} step
 * @property {number | null} stepSeconds
 * @property {any} loss
 * @property {number | null} lag steps behind the median
 * @property {number | null} ratio step time over the median
 * @property {string} mark why it stands out, empty when it does not
 */

/** @param {number[]} values */
export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param {any[]} runs rows of /api/v1/runs
 * @param {string} run
 * @returns {RankRow[]}
 */
export function rankRows(runs, run) {
  const own = runs.filter((row) => row.run === run);
  const steps = /** @type {number[]} */ (own.map((row) => row.step ?? null).filter((step) => step !== null));
  const times = /** @type {number[]} */ (own.map((row) => numberOrNull(row.step_seconds)).filter((time) => time !== null));
  const [middleStep, middleTime] = [median(steps), median(times)];
  const states = new Map();
  for (const { state } of own) states.set(state, (states.get(state) ?? 0) + 1);
  const usual = [...states].sort((a, b) => b[1] - a[1])[0]?.[0];
  return own
    .map((row) => {
      const stepSeconds = numberOrNull(row.step_seconds);
      const lag = row.step === undefined || middleStep === null ? null : middleStep - row.step;
      const ratio = stepSeconds === null || !middleTime ? null : stepSeconds / middleTime;
      const allowed = Math.max(2, middleTime ? LOOK_SECONDS / middleTime : 0);
      const isGoing = row.state === "running" || row.state === "hung";
      let mark = "";
      if (row.state !== usual && ["crashed", "failed", "hung", "unreadable"].includes(row.state)) mark = row.state;
      else if (ratio !== null && ratio * STRAGGLER_RATIO > 1) mark = "slow";
      else if (lag !== null && isGoing && lag > allowed) mark = "behind";
      return { rank: row.rank, state: row.state, step: row.step ?? null, stepSeconds, loss: row.loss, lag, ratio, mark };
    })
    .sort((a, b) => a.rank - b.rank);
}

/** Ranks below the world size that are not there. @param {RankRow[]} rows @param {number} worldSize @returns {number[]} */
export function missingRanks(rows, worldSize) {
  const there = new Set(rows.map(({ rank }) => rank));
  return Array.from({ length: worldSize }, (_, rank) => rank).filter((rank) => !there.has(rank));
}

/** @param {number} most largest ratio @returns {import("./table.js").Column<RankRow>[]} */
export function rankColumns(most = 2) {
  return [
    { key: "rank", head: "Rank", value: (row) => row.rank },
    { key: "state", head: "State", text: true, value: (row) => row.state, show: (row) => el("span", { class: "state-word" }, el("span", { class: "dot", data: { state: row.state }, "aria-hidden": "true" }), row.state) },
    { key: "step", head: "Step", value: (row) => row.step, show: (row) => count(row.step) },
    { key: "lag", head: "Behind", title: "Steps behind the median rank", value: (row) => row.lag, show: (row) => (row.lag === null ? "–" : row.lag > 0 ? figure(row.lag) : row.lag < 0 ? `${figure(-row.lag)} ahead` : "0") },
    { key: "step_seconds", head: "Step time", title: "Mean of the latest steps", value: (row) => row.stepSeconds, show: (row) => (row.stepSeconds === null ? "–" : formatSeconds(row.stepSeconds)) },
    {
      key: "ratio", head: "Against the median", title: "Step time over that of the median rank; the line is the median", value: (row) => row.ratio,
      show: (row) => (row.ratio === null ? "–" : el("span", { class: `spread${row.mark === "slow" ? " slow" : ""}`, style: { "--ratio": `${Math.min(100, (row.ratio / most) * 100)}%`, "--median": `${100 / most}%` } }, el("span", { class: "spread-bar" }), el("span", { class: "share-text" }, `${row.ratio.toFixed(2)} ×`))),
    },
    { key: "loss", head: "Loss", value: (row) => numberOrNull(row.loss), show: (row) => figure(row.loss), state: (row) => (typeof row.loss === "string" ? "nonfinite" : "") },
    { key: "mark", head: "Stands out", text: true, value: (row) => row.mark, show: (row) => (row.mark ? el("span", { class: `badge ${row.mark === "slow" || row.mark === "behind" ? "warning" : "critical"}` }, row.mark === "slow" || row.mark === "behind" ? `straggler: ${row.mark}` : row.mark) : "") },
  ];
}
