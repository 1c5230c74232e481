// @ts-check
// The head of the Run view: what state the run is in, in words and figures.

import { el, fill, setText } from "../dom.js";
import { formatAge, formatCount, formatNumber, formatRatio, formatSeconds, formatTime, toNumber } from "../format.js";
import { attemptOf, endedStates, stateName } from "../runs.js";

const metricsSeconds = 5;

export class Headline {
  #state = el("span", { class: "state" });
  #reason = el("p", { class: "reason" });
  #title = el("h1", { class: "run-title" });
  #meta = el("p", { class: "run-meta" });
  #figures = el("dl", { class: "figures" });
  #alerts = el("ul", { class: "alerts", "aria-label": "Alerts that fire" });
  /** @type {Map<string, {box: HTMLElement, value: HTMLElement, note: HTMLElement}>} */
  #cells = new Map();
  #overhead = NaN;
  #hasNoMetrics = false;
  #alertsDrawn = "";

  constructor(context, store) {
    this.context = context;
    this.store = store;
    this.element = el("section", { class: "headline", "aria-label": "State of the run" },
      el("div", { class: "headline-top" }, el("div", { class: "headline-name" }, this.#title, this.#state), this.#meta), this.#reason, this.#figures, this.#alerts);
    setText(this.#title, context.selection.run);
    for (const [id, label] of [["step", "Step"], ["loss", "Loss"], ["gradient_norm", "Gradient norm"], ["steps_per_second", "Steps per second"], ["nonfinite_steps", "Non-finite steps"], ["overhead", "Overhead"], ["duration", "Running for"], ["age", "Last step"]]) this.#addCell(id, label);
    context.on(context.runs, "change", () => this.draw());
    this.timer = setInterval(() => this.#drawAges(), 1000);
    this.draw();
    context.poll((signal) => this.#askMetrics(signal), { seconds: metricsSeconds });
  }

  dispose() {
    clearInterval(this.timer);
  }

  async #askMetrics(signal) {
    const { run, rank } = this.context.selection;
    if (this.#hasNoMetrics) return;
    let metrics = [];
    try {
      ({ metrics } = await this.context.api.get("metrics", { run, rank }, { signal }));
    } catch (error) {
      // An older server has no such path, and a run that ended long ago no metrics.
      this.#hasNoMetrics = /** @type {any} */ (error).status === 404;
      throw error;
    }
    const sample = metrics.find((one) => one.name === "vigil_overhead_ratio")?.samples[0];
    this.#overhead = sample ? toNumber(sample.value) : NaN;
    this.draw();
  }

  #addCell(id, label) {
    const value = el("dd", { class: "figure-value", text: "–" });
    const note = el("dd", { class: "figure-note" });
    const box = el("div", { class: "figure", data: { figure: id } }, el("dt", { text: label }), value, note);
    this.#cells.set(id, { box, value, note });
    this.#figures.append(box);
  }

  #set(id, text, { note = "", kind = "" } = {}) {
    const cell = this.#cells.get(id);
    if (!cell) return;
    setText(cell.value, text);
    setText(cell.note, note);
    if (cell.box.dataset.kind !== kind) cell.box.dataset.kind = kind;
  }

  /** The latest figures of the attempt that is shown: the run list has them of the newest one, the series of any. */
  #latest() {
    const { run, selection } = this.context;
    const attempt = attemptOf(run, selection.attempt);
    const isNewest = selection.attempt === null || attempt === attemptOf(run, null);
    const of = (name) => this.store.get(name)?.latest ?? NaN;
    const has = (name) => (this.store.get(name)?.length ?? 0) > 0;
    return {
      run, attempt, isNewest,
      state: isNewest ? (run?.state ?? attempt?.state) : attempt?.state,
      reason: (isNewest ? run?.reason : undefined) ?? attempt?.reason ?? "",
      step: isNewest ? run?.step : attempt?.last_step,
      time: (isNewest ? run?.time : undefined) ?? attempt?.last_time,
      loss: isNewest && run?.loss !== undefined ? toNumber(run.loss) : has("loss") ? of("loss") : undefined,
      gradientNorm: isNewest && run?.gradient_norm !== undefined ? toNumber(run.gradient_norm) : has("gradient_norm") ? of("gradient_norm") : undefined,
      nonfinite: isNewest && run?.nonfinite_steps !== undefined ? run.nonfinite_steps : has("nonfinite_steps_total") ? of("nonfinite_steps_total") : this.store.nonfiniteSteps.reduce((sum, one) => sum + one.count, 0),
      stepSeconds: isNewest ? run?.step_seconds : undefined,
    };
  }

  draw() {
    const now = this.#latest();
    const { state, attempt } = now;
    if (this.#state.dataset.state !== stateName(state)) this.#state.dataset.state = stateName(state);
    setText(this.#state, state ?? "");
    const world = attempt?.world_size > 1 ? `rank ${this.context.selection.rank} of ${attempt.world_size}` : "";
    const attempts = now.run?.attempts?.length ?? 0;
    setText(this.#meta, [attempt?.model, attempt?.host, world, attempts > 1 ? `attempt ${attempt?.attempt} of ${attempts}` : "", attempt?.pid ? `pid ${attempt.pid}` : "", attempt?.libtorch ? `libtorch ${attempt.libtorch}` : ""].filter(Boolean).join(" · "));
    const ended = attempt?.end_time ? ` at ${formatTime(attempt.end_time)}` : "";
    const isBad = ["failed", "crashed", "hung", "unreadable"].includes(state);
    setText(this.#reason, isBad ? `The run ${state === "hung" ? "hangs: its training thread has been silent" : state === "unreadable" ? "cannot be read any more" : `${state}${ended}`}${now.reason ? `: ${now.reason}` : ""}.` : "");
    this.#reason.hidden = !isBad;
    this.#set("step", now.step ? formatCount(now.step) : "–");
    const bad = (value) => (value === undefined || Number.isFinite(value) ? "" : "bad");
    this.#set("loss", now.loss === undefined ? "–" : formatNumber(now.loss), { kind: bad(now.loss) });
    this.#set("gradient_norm", now.gradientNorm === undefined ? "–" : formatNumber(now.gradientNorm), { kind: bad(now.gradientNorm) });
    this.#set("steps_per_second", now.stepSeconds ? formatNumber(1 / now.stepSeconds, 3) : "–", { note: now.stepSeconds ? `${formatSeconds(now.stepSeconds)} a step` : "" });
    this.#set("nonfinite_steps", formatCount(now.nonfinite ?? 0), { kind: now.nonfinite > 0 ? "bad" : "" });
    this.#set("overhead", Number.isNaN(this.#overhead) ? "–" : formatRatio(this.#overhead));
    this.#drawAges();
    this.#drawAlerts(now.isNewest ? (now.run?.alerts ?? []) : []);
  }

  #drawAges() {
    const { attempt, time, state } = this.#latest();
    const isOver = endedStates.has(state);
    const now = this.context.runs.now();
    const begin = attempt?.start_time;
    const end = isOver ? (attempt?.end_time ?? time ?? now) : now;
    const label = this.#cells.get("duration")?.box.firstElementChild;
    if (label) setText(label, isOver ? "Ran for" : "Running for");
    this.#set("duration", begin ? formatSeconds(Math.max(Math.round(end - begin), 0)) : "–", { note: begin ? `since ${formatTime(begin)}` : "" });
    this.#set("age", time ? formatAge(now - time) : "–", { note: time ? formatTime(time) : "" });
  }

  #drawAlerts(alerts) {
    const text = JSON.stringify(alerts);
    if (text === this.#alertsDrawn) return;
    this.#alertsDrawn = text;
    fill(this.#alerts, alerts.map((alert) => el("li", { class: `alert is-${alert.severity === "critical" || alert.severity === "warning" ? alert.severity : "info"}`, data: { alert: alert.alert } },
      el("span", { class: "event-sign", "aria-hidden": "true" }), el("strong", { text: alert.alert }), el("span", { class: "alert-severity", text: alert.severity }),
      el("span", { class: "alert-text", text: `${alert.sentence}${alert.since_step ? `, since step ${formatCount(alert.since_step)}` : ""}` }))));
    this.#alerts.hidden = alerts.length === 0;
  }
}
