// The Run view: how the training goes, step by step.

import { Chart } from "../chart.js";
import { el, fill, icon, setText } from "../dom.js";
import { formatAge, formatCount, formatNumber, formatRatio, formatSeconds, formatTime, toNumber } from "../format.js";
import { attemptOf, endedStates, sentenceOf, severityOf, stateName, titleOf } from "../runs.js";
import { Rate, SeriesStore } from "../series.js";

const liveSeconds = 1;
const namesSeconds = 10;
const eventsShown = 100;
const metricsSeconds = 5;
const settings = { smoothing: 0.6, window: Infinity, log: new Set() };

/** There before the first answer, so that nothing jumps. */
const always = [
  { id: "loss", title: "Loss", isWide: true, traces: [{ name: "loss", label: "loss" }] },
  { id: "gradient_norm", title: "Gradient norm", hint: "Euclidean norm over all gradients, before clipping", traces: [{ name: "gradient_norm", label: "gradient norm" }] },
  { id: "learning_rate", title: "Learning rate", isExact: true, traces: [{ name: "learning_rate[0]", label: "group 0" }] },
  { id: "parameter_norm", title: "Parameter norm", isExact: true, hint: "Euclidean norm over all parameters", traces: [{ name: "parameter_norm", label: "parameter norm" }] },
  {
    id: "step_time", title: "Step time", unit: "seconds", fromZero: true,
    traces: [{ name: "step_seconds", label: "total" }, { name: "forward_backward_seconds", label: "fwd + bwd" }, { name: "optimizer_seconds", label: "optimizer" }, { name: "data_seconds", label: "data" }],
  },
  { id: "examples_per_second", title: "Examples per second", unit: "/s", fromZero: true, hint: "By wall time, evaluation among it", traces: [{ name: "examples_per_second", label: "examples" }] },
  { id: "overhead", title: "Time in vigil", unit: "seconds", fromZero: true, hint: "Of each step; samples stand out", traces: [{ name: "vigil_seconds", label: "vigil" }] },
];

const optional = [
  { id: "clip_ratio", title: "Clip ratio", isOptional: true, hint: "What clipping multiplies the gradients by", traces: [{ name: "clip_ratio", label: "clip ratio" }] },
  {
    id: "device_memory", title: "Device memory", unit: "bytes", isExact: true, fromZero: true, isOptional: true,
    traces: [{ name: "device_allocated_bytes", label: "allocated" }, { name: "device_reserved_bytes", label: "reserved" }, { name: "device_peak_bytes", label: "peak" }],
  },
];

/** Series that are computed here, of which one. */
const rates = { examples_per_second: "examples_total" };

/** @param {{name: string}[]} names of /api/v1/series/names @returns {Panel[]} */
function panelsOf(names) {
  const learningRates = names.filter(({ name }) => name.startsWith("learning_rate["));
  const scalars = names.filter(({ name }) => name.startsWith("user_scalar["));
  const inner = (name) => name.slice(name.indexOf("[") + 1, -1);
  const panels = always.map((panel) => {
    if (panel.id !== "learning_rate" || learningRates.length === 0) return panel;
    return { ...panel, traces: learningRates.map(({ name }) => ({ name, label: /^\d+$/.test(inner(name)) ? `group ${inner(name)}` : inner(name) })) };
  });
  return [
    ...panels,
    ...scalars.map(({ name }) => ({ id: name, title: inner(name), hint: "Scalar that the program logs itself", traces: [{ name, label: inner(name) }] })),
    ...optional.filter((panel) => panel.traces.some((trace) => names.some(({ name }) => name === trace.name))),
  ];
}

/** @param {Panel[]} panels @returns {string[]} */
function sourcesOf(panels) {
  const names = panels.flatMap((panel) => panel.traces.map(({ name }) => (name in rates ? rates[name] : name)));
  return [...new Set(names)];
}

/** @param {HTMLElement} root @param {any} context */
export async function mount(root, context) {
  return new RunView(root, context);
}

class RunView {
  help = [["z", "Show all steps again"], ["s", "Smoothing on or off"]];
  #rates = new Map();
  #charts = new Map();
  #smoothed = new Set();
  #zoomAbort = new AbortController();
  #grid = el("div", { class: "chart-grid is-loading", "aria-busy": "true" });
  #notice = el("div", { class: "notice" });
  #events = el("section", { class: "events card" });
  #zoomNote = el("span", { class: "zoom-note", role: "status" });

  constructor(root, context) {
    this.context = context;
    this.group = context.group;
    this.store = new SeriesStore(context.api, context.selection);
    // Asked first: everything waits for them.
    const onError = (error) => this.#onError(error);
    this.names = context.poll(async (signal) => {
      const { series } = await context.api.get("series/names", context.question(), { signal });
      this.#arrange(series);
      this.data.now();
    }, { seconds: namesSeconds, onError });
    this.headline = new Headline(context, this.store);
    this.toolbar = this.#makeToolbar();
    fill(root, this.headline.element, this.#notice, this.toolbar, this.#grid, this.#events);
    this.#arrange([]);
    this.group.setWindow(settings.window);
    this.group.onFirstDraw = () => performance.measure("vigil:open", { start: context.openedAt, end: performance.now(), detail: { view: "run" } });
    context.on(this.group, "zoom", () => this.#onZoom());
    context.on(this.store, "change", () => this.#onData());
    context.on(this.store, "reset", () => this.group.setZoom(null));
    context.on(context.events, "change", () => this.#onEvents());
    this.#onEvents();
    this.data = context.poll((signal) => this.store.update(signal), { seconds: liveSeconds, onError });
  }

  dispose() {
    this.#zoomAbort.abort();
    this.headline.dispose();
  }

  onKey(event) {
    if (event.key === "z") this.group.setZoom(null);
    else if (event.key === "s") this.#setSmoothing(settings.smoothing > 0 ? 0 : 0.6);
    else return false;
    return true;
  }

  #makeToolbar() {
    this.slider = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: settings.smoothing, id: "smoothing", on: { input: () => this.#setSmoothing(Number(this.slider.value)) } });
    this.sliderValue = el("output", { for: "smoothing" });
    this.resetButton = el("button", { class: "button small", type: "button", disabled: true, title: "Show all steps again (z)", on: { click: () => this.group.setZoom(null) } }, icon("reset"), "Reset zoom");
    const choices = [["All", Infinity], ["Last 10k", 10000], ["Last 1k", 1000]];
    this.windows = el("div", { class: "segmented", role: "group", "aria-label": "Steps that are shown" }, choices.map(([label, window]) => el("button", { type: "button", text: label, "aria-pressed": String(window === settings.window), on: { click: () => this.#setWindow(window) }, data: { window } })));
    this.#showSmoothing();
    return el("div", { class: "toolbar" },
      el("div", { class: "field" }, el("label", { for: "smoothing", text: "Smoothing" }), this.slider, this.sliderValue),
      el("div", { class: "field" }, el("span", { class: "field-label", text: "Steps" }), this.windows),
      this.resetButton, this.#zoomNote);
  }

  #showSmoothing() {
    setText(this.sliderValue, settings.smoothing === 0 ? "off" : settings.smoothing.toFixed(2));
    this.slider.value = String(settings.smoothing);
  }

  #setSmoothing(weight) {
    settings.smoothing = weight;
    this.#showSmoothing();
    for (const series of this.#smoothed) series.smoothing = weight;
    this.group.draw();
  }

  #setWindow(window) {
    settings.window = window;
    for (const button of this.windows.children) button.setAttribute("aria-pressed", String(button.dataset.window === String(window)));
    this.group.setZoom(null);
    this.group.setWindow(window);
    this.#fitStore();
  }

  #isThin() {
    return [...this.store.series.values()].some((series) => series.isDownsampled);
  }

  /** The last steps come in detail where all of them are too many. */
  #fitStore() {
    const last = this.group.extent().max;
    const start = Number.isFinite(settings.window) && (this.store.start > 0 || this.#isThin()) ? Math.max(Math.floor(last - settings.window), 0) : 0;
    if (start === this.store.start) return;
    this.store.restart(start);
    this.data.now();
  }

  #arrange(names) {
    const panels = panelsOf(names);
    const known = new Map(names.map((one) => [one.name, one.unit]));
    // The server refuses names that a run does not have.
    this.store.want(sourcesOf(panels).filter((name) => known.has(name)).map((name) => ({ name, unit: known.get(name) ?? "" })));
    for (const panel of panels) {
      const traces = panel.traces.flatMap(({ name, label }) => {
        const series = this.#seriesOf(name);
        if (series && !panel.isExact) {
          this.#smoothed.add(series);
          series.smoothing = settings.smoothing;
        }
        return series ? [{ series, label }] : [];
      });
      const chart = this.#charts.get(panel.id);
      if (!chart) this.#addChart(panel, traces);
      else if (chart.traces.length !== traces.length) chart.setTraces(traces);
    }
  }

  #seriesOf(name) {
    const source = rates[name];
    if (!source) {
      return this.store.get(name);
    }
    const counter = this.store.get(source);
    if (!counter) return undefined;
    let rate = this.#rates.get(name);
    if (!rate) this.#rates.set(name, (rate = new Rate(counter, name, "/s")));
    return rate.series;
  }

  #addChart(panel, traces) {
    const chart = new Chart(this.group, {
      ...panel, traces, isLog: settings.log.has(panel.id),
      onScale: (isLog) => (isLog ? settings.log.add(panel.id) : settings.log.delete(panel.id)),
    });
    if (panel.isWide) chart.element.classList.add("is-wide");
    if (panel.isOptional) chart.element.hidden = true;
    this.#charts.set(panel.id, chart);
    this.#grid.append(chart.element);
  }

  #onData() {
    const begin = performance.now();
    for (const rate of this.#rates.values()) rate.update();
    for (const chart of this.#charts.values()) {
      if (chart.element.hidden && chart.traces.some((trace) => trace.series.length > 0)) chart.element.hidden = false;
    }
    this.group.bands = this.store.nonfiniteSteps;
    this.group.ingestMs += this.store.ingestMs + performance.now() - begin;
    if (this.#grid.classList.contains("is-loading")) this.#fitStore();
    this.#grid.classList.remove("is-loading");
    this.#grid.removeAttribute("aria-busy");
    this.#showNotice(null);
    this.#onEvents();
    this.headline.draw();
    this.group.draw();
  }

  async #onError(error) {
    this.#grid.classList.remove("is-loading");
    this.#grid.removeAttribute("aria-busy");
    const isShown = this.store.isLoaded && error.status !== 404;
    if (!isShown) this.#showBody(false);
    this.#showNotice((await import("../problems.js")).noSteps(error, this.context.info, isShown));
  }

  #showBody(isShown) {
    for (const part of [this.toolbar, this.#grid, this.#events]) part.hidden = !isShown;
  }

  #showNotice(panel) {
    if (!panel && this.#notice.childElementCount === 0) return;
    if (!panel) this.#showBody(true);
    fill(this.#notice, panel);
  }

  #onZoom() {
    const { zoom } = this.group;
    this.resetButton.disabled = zoom === null;
    this.#zoomAbort.abort();
    this.#zoomAbort = new AbortController();
    const what = { zoom, rates, store: this.store, charts: this.#charts, note: this.#zoomNote, isThin: this.#isThin(), signal: this.#zoomAbort.signal };
    void import("../zoom_detail.js").then(({ showZoom }) => showZoom(what));
  }

  #onEvents() {
    const { events: feed } = this.context;
    const events = this.#ofAttempt();
    this.group.annotations = events.filter(({ kind, step, details }) => step > 0 && (kind !== "alert" || details.state !== "resolved")).map((event) => ({ x: event.step, title: titleOf(event), text: sentenceOf(event), severity: severityOf(event) })).sort((a, b) => a.x - b.x);
    this.group.draw();
    const mark = `${feed.isLoaded} ${feed.error} ${events.length} ${events.at(-1)?.id}`;
    if (mark === this.eventsMark) return;
    this.eventsMark = mark;
    const rows = events.slice(-eventsShown).reverse().map((event) => this.#eventRow(event));
    fill(this.#events, el("div", { class: "section-head" }, el("h2", { text: "Events" }), events.length > 0 && el("span", { class: "count", text: formatCount(events.length) })),
      rows.length > 0 ? el("ol", { class: "event-list" }, rows) : el("p", { class: "muted", text: feed.isLoaded ? "Nothing happened that is worth telling." : feed.error ? "Events could not be read." : "Loading" }));
  }

  /** Of several findings about one non-finite step the last knows most. */
  #ofAttempt() {
    const events = this.context.events.of(this.store.attempt ?? this.context.selection.attempt);
    const kept = new Map();
    for (const event of events) {
      const key = event.kind === "nonfinite" ? `nonfinite ${event.step}` : String(event.id);
      kept.delete(key);
      kept.set(key, event);
    }
    return [...kept.values()];
  }

  #eventRow(event) {
    const point = () => this.group.setCursor(event.step);
    const leave = () => this.group.setCursor(null);
    const severity = severityOf(event);
    const zoom = () => this.group.setZoom({ min: Math.max(event.step - 50, 0), max: event.step + 50 });
    return el("li", {}, el("button", { class: `event is-${severity}`, type: "button", title: "Zoom to these steps", data: { kind: event.kind, step: event.step, id: event.id }, on: { mouseenter: point, mouseleave: leave, focus: point, blur: leave, click: zoom } },
      el("span", { class: "event-sign", "aria-hidden": "true" }), el("span", { class: "event-step", text: `step ${formatCount(event.step)}` }), el("span", { class: "event-time", text: formatTime(event.time) }),
      el("strong", { class: "event-title", text: titleOf(event) }), el("span", { class: "event-text", text: sentenceOf(event) })));
  }
}

/** The state of the run in words and figures. */
class Headline {
  #state = el("span", { class: "state" });
  #reason = el("p", { class: "reason" });
  #title = el("h1", { class: "run-title" });
  #meta = el("p", { class: "run-meta" });
  #figures = el("dl", { class: "figures" });
  #alerts = el("ul", { class: "alerts", "aria-label": "Alerts that fire" });
  #cells = new Map();
  #overhead = NaN;
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
    const metrics = context.poll((signal) => this.#askMetrics(signal), { seconds: metricsSeconds });
    if (!context.run) context.runs.addEventListener("change", () => metrics.now(), { once: true, signal: context.signal });
  }

  dispose() {
    clearInterval(this.timer);
  }

  async #askMetrics(signal) {
    const { run, rank } = this.context.selection;
    // They are of the newest attempt; a run that is over has none.
    if (!this.context.run || endedStates.has(this.context.run.state) || !this.#latest().isNewest) return;
    const { metrics } = await this.context.api.get("metrics", { run, rank }, { signal });
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

  /** The run list has figures of the newest attempt, the series of any. */
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
    void this.#drawAlerts(now);
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

  /** Of a run that is there now, else of its events. */
  async #drawAlerts({ run, isNewest }) {
    const alerts = isNewest ? run?.alerts : undefined;
    const events = alerts || !run ? [] : this.context.events.of(this.context.selection.attempt).filter(({ kind }) => kind === "alert");
    const mark = JSON.stringify(alerts ?? events.length);
    if (mark === this.#alertsDrawn) return;
    this.#alertsDrawn = mark;
    this.#alerts.hidden = true;
    if ((alerts ?? events).length === 0) return;
    const { fillFirings } = await import("../firing_list.js");
    if (mark === this.#alertsDrawn) fillFirings(this.#alerts, alerts, events);
  }
}
