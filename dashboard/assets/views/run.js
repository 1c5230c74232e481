// @ts-check
// The Run view: how the training goes, step by step.

import { Chart } from "../chart.js";
import { el, fill, icon, setText, statePanel } from "../dom.js";
import { sentenceOf, severityOf, titleOf } from "../events.js";
import { formatCount, formatTime } from "../format.js";
import { Rate } from "../series.js";
import { SeriesStore } from "../store.js";
import { Headline } from "./run-headline.js";
import { panelsOf, rates, sourcesOf } from "./run-panels.js";

const liveSeconds = 1;
const namesSeconds = 10;
const eventsShown = 100;
const settings = { smoothing: 0.8, window: Infinity, /** @type {Set<string>} */ log: new Set() };

/** @param {HTMLElement} root @param {any} context */
export async function mount(root, context) {
  return new RunView(root, context);
}

class RunView {
  help = /** @type {[string, string][]} */ ([
    ["z", "Show all steps again"], ["s", "Smoothing on or off"], ["← →", "In a chart: the cursor, with Shift further"], ["+ −", "In a chart: zoom"], ["n p", "In a chart: next and previous event"],
  ]);
  /** @type {Map<string, Rate>} */
  #rates = new Map();
  /** @type {Map<string, Chart>} */
  #charts = new Map();
  /** @type {Set<Series>} */
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
    this.headline = new Headline(context, this.store);
    fill(root, this.headline.element, this.#notice, this.#makeToolbar(), this.#grid, this.#events);
    this.#arrange([]);
    this.group.setWindow(settings.window);
    this.group.onFirstDraw = () => performance.measure("vigil:open", { start: context.openedAt, end: performance.now(), detail: { view: "run" } });
    context.on(this.group, "zoom", () => this.#onZoom());
    context.on(this.store, "change", () => this.#onData());
    context.on(this.store, "reset", () => this.group.setZoom(null));
    context.on(context.events, "change", () => this.#onEvents());
    this.#onEvents();
    const onError = (error) => this.#onError(error);
    this.names = context.poll(async (signal) => {
      const { series } = await context.api.get("series/names", context.question(), { signal });
      this.#arrange(series);
      this.data.now();
    }, { seconds: namesSeconds, onError });
    this.data = context.poll((signal) => this.store.update(signal), { seconds: liveSeconds, onError });
  }

  dispose() {
    this.#zoomAbort.abort();
    this.headline.dispose();
    this.group.dispose();
  }

  onKey(event) {
    if (event.key === "z") this.group.setZoom(null);
    else if (event.key === "s") this.#setSmoothing(settings.smoothing > 0 ? 0 : 0.8);
    else return false;
    return true;
  }

  #makeToolbar() {
    this.slider = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: settings.smoothing, id: "smoothing", on: { input: () => this.#setSmoothing(Number(this.slider.value)) } });
    this.sliderValue = el("output", { for: "smoothing" });
    this.resetButton = el("button", { class: "button small", type: "button", disabled: true, title: "Show all steps again (z)", on: { click: () => this.group.setZoom(null) } }, icon("reset"), "Reset zoom");
    const choices = /** @type {[string, number][]} */ ([["All", Infinity], ["Last 10k", 10000], ["Last 1k", 1000]]);
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
    this.#askDetail();
  }

  /** Charts for the names that there are; those that are there stay. */
  #arrange(names) {
    const panels = panelsOf(names);
    const known = new Map(names.map((one) => [one.name, one.unit]));
    // Before the names are known nothing is asked for: the server refuses names that a run does not have.
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
    const source = rates[/** @type {keyof typeof rates} */ (name)];
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
    this.#grid.classList.remove("is-loading");
    this.#grid.removeAttribute("aria-busy");
    this.#showNotice(null);
    this.#onEvents();
    this.headline.draw();
    this.group.draw();
  }

  #onError(error) {
    this.#grid.classList.remove("is-loading");
    this.#grid.removeAttribute("aria-busy");
    if (this.store.isLoaded && error.status !== 404) return this.#showNotice(statePanel({ kind: "error", title: "The newest steps could not be read", text: error.message }));
    this.#grid.hidden = true;
    if (error.isUnavailable && /history/i.test(error.message)) {
      return this.#showNotice(statePanel({
        kind: "error", title: "No history is kept", text: "vigild shows how runs stand now, but keeps no steps, so there is nothing to draw. Start it with a place for its database:", command: "vigild --storage.path=/var/lib/vigil/history.db",
      }));
    }
    this.#showNotice(statePanel({ kind: "error", title: error.status === 404 ? "There are no steps of this run" : "The steps could not be read", text: error.message }));
  }

  #showNotice(panel) {
    if (!panel && this.#notice.childElementCount === 0) return;
    if (!panel) this.#grid.hidden = false;
    fill(this.#notice, panel);
  }

  // Zoom: what lies in it comes again from the server, with as many steps as it gives.

  #onZoom() {
    this.resetButton.disabled = this.group.zoom === null;
    this.#askDetail();
  }

  #askDetail() {
    this.#zoomAbort.abort();
    const { zoom } = this.group;
    for (const chart of this.#charts.values()) chart.setDetail(null);
    setText(this.#zoomNote, "");
    if (!zoom) return;
    setText(this.#zoomNote, `Steps ${formatCount(Math.ceil(zoom.min))} to ${formatCount(Math.floor(zoom.max))}`);
    if (![...this.store.series.values()].some((series) => series.isDownsampled)) return;
    this.#zoomAbort = new AbortController();
    const { signal } = this.#zoomAbort;
    // A zoom is often one of several in a row.
    const timer = setTimeout(() => void this.#loadDetail(zoom, signal), 120);
    signal.addEventListener("abort", () => clearTimeout(timer));
  }

  async #loadDetail(zoom, signal) {
    try {
      const detail = await this.store.range([...this.store.series.keys()], zoom.min, zoom.max, signal);
      if (signal.aborted) return;
      for (const [name, source] of Object.entries(rates)) {
        const counter = detail.get(source);
        if (!counter) continue;
        const rate = new Rate(counter, name, "/s");
        rate.update();
        detail.set(name, rate.series);
      }
      for (const chart of this.#charts.values()) chart.setDetail(detail);
    } catch (error) {
      if (!signal.aborted) setText(this.#zoomNote, "More detail could not be read.");
    }
  }

  // Events.

  #onEvents() {
    const { events: feed } = this.context;
    const events = this.#ofAttempt();
    this.group.annotations = events.filter(({ kind, step, details }) => step > 0 && (kind !== "alert" || details.state !== "resolved")).map((event) => ({ x: event.step, title: titleOf(event), text: sentenceOf(event), severity: severityOf(event) })).sort((a, b) => a.x - b.x);
    this.group.draw();
    const mark = `${feed.isLoaded} ${events.length} ${events.at(-1)?.id}`;
    if (mark === this.eventsMark) return;
    this.eventsMark = mark;
    const rows = events.slice(-eventsShown).reverse().map((event) => this.#eventRow(event));
    fill(this.#events, el("div", { class: "section-head" }, el("h2", { text: "Events" }), events.length > 0 && el("span", { class: "count", text: formatCount(events.length) })),
      rows.length > 0 ? el("ol", { class: "event-list" }, rows) : el("p", { class: "muted", text: feed.isLoaded ? "Nothing happened that is worth telling." : feed.error ? "Events could not be read." : "Loading" }));
  }

  /** Events of the attempt that is shown; of several findings about one non-finite step the last, which knows most. */
  #ofAttempt() {
    const events = this.context.events.of(this.store.attempt ?? this.context.selection.attempt);
    /** @type {Map<string, any>} */
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
