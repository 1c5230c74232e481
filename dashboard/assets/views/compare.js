// @ts-check
// The Compare view: one series of several runs over each other.

import { Chart } from "../chart.js";
import { el, fill, setText, statePanel } from "../dom.js";
import { formatCount, formatSeconds, formatValue } from "../format.js";
import { attemptOf, endedStates, stateName } from "../runs.js";
import { SeriesStore } from "../series.js";

const mostRuns = 8;
const liveSeconds = 2;
const mostLooksAfterEnd = 5;
const preferredNames = ["loss", "gradient_norm"];

/** @param {any} context */
export async function mount(root, context) {
  await Promise.all([context.loadStyle("views/compare.css"), context.loadStyle("tables.css")]);
  return new CompareView(root, context);
}

/** "name/rank" or "name/rank/attempt", the name escaped. @param {RunChoice} member */
function keyOf({ run, rank, attempt }) {
  return [encodeURIComponent(run), rank, ...(attempt === null ? [] : [attempt])].join("/");
}

/** @param {string} key */
function parseKey(key) {
  const [run, rank, attempt] = key.split("/");
  try {
    return { run: decodeURIComponent(run), rank: Number(rank) || 0, attempt: attempt === undefined ? null : Number(attempt) };
  } catch {
    return null;
  }
}

class CompareView {
  help = /** @type {[string, string][]} */ ([["x", "By step or by time"], ["z", "Show everything again"], ["/", "Filter runs"]]);
  /** @type {Member[]} */
  members = [];
  /** @type {Chart | null} */
  #chart = null;
  /** @type {string[]} */
  #names = [];
  #runs = el("ul", { class: "compare-runs" });
  #plot = el("div", { class: "compare-plot" });
  #table = el("div", { class: "card compare-table" });
  #runsDrawn = "";

  constructor(root, context) {
    this.context = context;
    this.group = context.group;
    this.name = context.params.get("name") ?? "loss";
    /** @type {"steps" | "times"} */
    this.x = context.params.get("x") === "time" ? "times" : "steps";
    this.smoothing = Number(context.params.get("smoothing") ?? 0.6);
    this.filter = el("input", { class: "filter-input", type: "search", placeholder: "Filter runs", "aria-label": "Filter runs", on: { input: () => this.#drawRuns(true) } });
    this.select = el("select", { id: "compare-series", on: { change: () => this.#setName(this.select.value) } });
    const axis = [["steps", "Step"], ["times", "Time"]].map(([x, label]) => el("button", { type: "button", text: label, data: { x }, "aria-pressed": String(x === this.x), on: { click: () => this.#setX(x) } }));
    this.axis = el("div", { class: "segmented", role: "group", "aria-label": "By what the runs are laid over each other" }, axis);
    this.slider = el("input", { type: "range", id: "compare-smoothing", min: 0, max: 0.99, step: 0.01, value: this.smoothing, on: { input: () => this.#setSmoothing(Number(this.slider.value)) } });
    this.sliderValue = el("output", { for: "compare-smoothing", text: this.smoothing.toFixed(2) });
    this.reset = el("button", { class: "button small", type: "button", disabled: true, text: "Reset zoom", on: { click: () => this.group.setZoom(null) } });
    fill(root, el("div", { class: "compare" },
      el("aside", { class: "card compare-side", "aria-label": "Runs to compare" }, el("div", { class: "filter" }, this.filter), this.#runs),
      el("div", { class: "compare-main" },
        el("div", { class: "toolbar" },
          el("div", { class: "field" }, el("label", { for: "compare-series", text: "Series" }), this.select),
          el("div", { class: "field" }, el("span", { text: "By" }), this.axis),
          el("div", { class: "field" }, el("label", { for: "compare-smoothing", text: "Smoothing" }), this.slider, this.sliderValue), this.reset),
        this.#plot, this.#table)));
    context.on(this.group, "zoom", () => (this.reset.disabled = this.group.zoom === null));
    context.on(context.runs, "change", () => this.#drawRuns());
    this.group.onFirstDraw = () => performance.measure("vigil:open", { start: context.openedAt, end: performance.now(), detail: { view: "compare" } });
    this.#choose();
    this.#drawRuns();
    this.poll = context.poll((signal) => this.#update(signal), { seconds: liveSeconds });
  }

  focusFilter() {
    this.filter.focus();
  }

  onKey(event) {
    if (event.key === "x") this.#setX(this.x === "steps" ? "times" : "steps");
    else if (event.key === "z") this.group.setZoom(null);
    else return false;
    return true;
  }

  /** For tests: the series that are drawn, by run. */
  get store() {
    return new Map(this.members.map((member) => [member.key, member.store]));
  }

  /** The runs of the address; without any the two latest. */
  #choose() {
    const keys = this.context.params.getAll("run");
    const wanted = this.context.params.has("run") ? keys : (this.context.runs.runs ?? []).filter((row) => row.rank === 0).slice(0, 2).map((row) => keyOf({ run: row.run, rank: row.rank, attempt: null }));
    for (const key of wanted.slice(0, mostRuns)) this.#add(key);
  }

  #add(key) {
    const parsed = parseKey(key);
    if (!parsed || this.members.length >= mostRuns || this.members.some((member) => member.key === key)) return;
    const used = new Set(this.members.map((member) => member.color));
    const color = [...Array(mostRuns).keys()].find((place) => !used.has(place)) ?? 0;
    this.members.push({ key, ...parsed, color, store: new SeriesStore(this.context.api, parsed), problem: "", looksAfterEnd: 0 });
  }

  #toggle(key) {
    const place = this.members.findIndex((member) => member.key === key);
    if (place >= 0) this.members.splice(place, 1);
    else this.#add(key);
    this.#remember();
    this.#names = [];
    this.#drawRuns(true);
    this.#makeChart();
    this.poll?.now();
  }

  #remember() {
    const { params } = this.context;
    params.delete("run");
    for (const member of this.members) params.append("run", member.key);
    this.context.setParams({ name: this.name, x: this.x === "times" ? "time" : null, smoothing: String(this.smoothing) });
  }

  #setName(name) {
    this.name = name;
    for (const member of this.members) {
      member.store = new SeriesStore(this.context.api, member);
      member.problem = "";
      member.looksAfterEnd = 0;
    }
    this.group.setZoom(null);
    this.#remember();
    this.#makeChart();
    this.poll.now();
  }

  #setX(x) {
    this.x = x;
    for (const button of this.axis.children) button.setAttribute("aria-pressed", String(button.dataset.x === x));
    this.group.setZoom(null);
    this.#remember();
    this.#makeChart();
  }

  #setSmoothing(weight) {
    this.smoothing = weight;
    setText(this.sliderValue, weight === 0 ? "off" : weight.toFixed(2));
    for (const member of this.members) {
      const series = member.store.get(this.name);
      if (series) series.smoothing = weight;
    }
    this.#remember();
    this.group.draw();
  }

  // Runs.

  #drawRuns(always = false) {
    const rows = this.context.runs.runs ?? [];
    const mark = JSON.stringify(rows.map((row) => [row.run, row.rank, row.state, row.attempts?.length]));
    if (mark === this.#runsDrawn && !always) return;
    this.#runsDrawn = mark;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = rows.filter((row) => words.every((word) => `${row.run} ${row.state} rank ${row.rank}`.toLowerCase().includes(word)));
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : undefined;
    fill(this.#runs, shown.slice(0, 200).map((row) => this.#runItem(row)));
    if (shown.length === 0) fill(this.#runs, el("li", { class: "run-none", text: "No run matches." }));
    if (focused) for (const input of this.#runs.querySelectorAll("input")) if (input.dataset.key === focused) input.focus();
    this.#drawTable();
  }

  #runItem(row) {
    const attempts = [...(row.attempts ?? [])].sort((a, b) => b.attempt - a.attempt).slice(0, 10);
    const choice = (key, content) => {
      const member = this.members.find((one) => one.key === key);
      const input = el("input", { type: "checkbox", checked: Boolean(member), disabled: !member && this.members.length >= mostRuns, data: { key }, on: { change: () => this.#toggle(key) } });
      return el("label", { class: "compare-choice", style: member ? { "--swatch": `var(--series-${member.color + 1})` } : {}, data: { chosen: Boolean(member) } }, input, content);
    };
    return el("li", {},
      choice(keyOf({ run: row.run, rank: row.rank, attempt: null }), [el("span", { class: "dot", data: { state: stateName(row.state) }, "aria-hidden": "true" }), el("span", { class: "compare-name", text: row.run, title: row.run }), row.rank > 0 && el("small", { class: "muted", text: `rank ${row.rank}` }), el("small", { class: "muted", text: row.state })]),
      attempts.length > 1 && el("div", { class: "compare-attempts" }, attempts.map((one) => choice(keyOf({ run: row.run, rank: row.rank, attempt: one.attempt }), [el("span", { class: "dot", data: { state: stateName(one.state) }, "aria-hidden": "true" }), `attempt ${one.attempt}`]))));
  }

  // Series.

  async #update(signal) {
    if (this.members.length > 0 && this.#names.length === 0) await this.#readNames(signal);
    if (!this.#chart || this.#chart.traces.length !== this.members.length) this.#makeChart();
    await Promise.all(this.members.map(async (member) => {
      const { store } = member;
      const row = this.context.runs.find(member.run, member.rank);
      // What has ended does not change any more, once its last steps are here; a series that ends before has none of them.
      const attempt = attemptOf(row, store.attempt);
      const isOver = store.isLoaded && (member.attempt !== null || endedStates.has(row?.state)) && endedStates.has(attempt?.state);
      if (!isOver) member.looksAfterEnd = 0;
      else if (isComplete(store.get(this.name), attempt) || ++member.looksAfterEnd > mostLooksAfterEnd) return;
      try {
        store.want([{ name: this.name, unit: "" }]);
        await store.update(signal);
        member.problem = "";
      } catch (error) {
        if (signal.aborted || error.isDisconnected) throw error;
        member.problem = error.status === 404 ? "does not have this series" : error.message;
      }
    }));
    this.#onData();
  }

  async #readNames(signal) {
    const lists = await Promise.all(this.members.map(({ run, rank, attempt }) => this.context.api.get("series/names", { run, rank, attempt }, { signal }).catch((error) => {
      if (signal.aborted || error.isDisconnected) throw error;
      return { series: [] };
    })));
    const names = new Set(lists.flatMap((list) => list.series.map((one) => one.name)));
    this.#names = [...preferredNames.filter((name) => names.has(name)), ...[...names].filter((name) => !preferredNames.includes(name))];
    if (this.#names.length > 0 && !this.#names.includes(this.name)) this.#names.push(this.name);
    fill(this.select, this.#names.map((name) => el("option", { value: name, text: name, selected: name === this.name })));
  }

  #makeChart() {
    if (this.#chart) {
      this.group.remove(this.#chart);
      this.#chart.dispose();
      this.#chart = null;
    }
    if (this.members.length === 0) {
      fill(this.#plot, statePanel({ title: "Nothing to compare yet", text: `Choose up to ${mostRuns} runs, or attempts of one, on the left.` }));
      return this.#drawTable();
    }
    this.#chart = new Chart(this.group, {
      id: this.name, title: this.name, x: this.x, unit: this.members[0].store.get(this.name)?.unit ?? "",
      traces: this.members.map((member) => ({ series: member.store.want([{ name: this.name, unit: "" }])[0], label: this.#label(member), color: member.color, offset: this.#offset(member) })),
    });
    for (const trace of this.#chart.traces) trace.series.smoothing = this.smoothing;
    fill(this.#plot, this.#chart.element);
    this.#drawTable();
  }

  #label({ run, rank, attempt }) {
    return [run, rank > 0 ? `rank ${rank}` : "", attempt === null ? "" : `attempt ${attempt}`].filter(Boolean).join(" · ");
  }

  /** When the attempt began: its times are counted from there. */
  #offset(member) {
    if (this.x !== "times") return 0;
    const attempt = attemptOf(this.context.runs.find(member.run, member.rank), member.store.attempt ?? member.attempt);
    return attempt?.start_time ?? member.store.get(this.name)?.times[0] ?? 0;
  }

  #onData() {
    if (this.#chart) {
      this.#chart.traces.forEach((trace, place) => (trace.offset = this.#offset(this.members[place])));
      const unit = this.members[0]?.store.get(this.name)?.unit ?? "";
      if (unit !== this.#chart.unit) {
        this.#chart.unit = unit;
        this.#chart.restyle();
      }
      this.group.ingestMs += this.members.reduce((sum, member) => sum + member.store.ingestMs, 0);
      this.group.draw();
    }
    this.#drawTable();
  }

  #drawTable() {
    const rows = this.members.map((member) => {
      const series = member.store.get(this.name);
      const row = this.context.runs.find(member.run, member.rank);
      const attempt = attemptOf(row, member.store.attempt ?? member.attempt);
      const state = member.attempt === null ? row?.state : attempt?.state;
      const unit = series?.unit ?? "";
      const at = (place) => (series && place >= 0 && place < series.length ? formatValue(series.values[place], unit) : "–");
      const { low, high } = extremesOf(series);
      const where = (place) => (place >= 0 && series ? `at step ${formatCount(series.steps[place])}` : "");
      return el("tr", { data: { key: member.key } },
        el("th", { scope: "row" }, el("span", { class: "swatch", style: { "--swatch": `var(--series-${member.color + 1})` } }), el("span", { text: this.#label(member) })),
        el("td", {}, el("span", { class: "state", data: { state: stateName(state) }, text: state ?? "unknown" })),
        member.problem ? el("td", { class: "muted", colspan: 5, text: member.problem }) : [
          el("td", { data: { value: "last" }, text: series ? at(series.length - 1) : "–" }),
          el("td", { data: { value: "lowest" } }, at(low), el("small", { class: "muted", text: ` ${where(low)}` })),
          el("td", { data: { value: "highest" } }, at(high), el("small", { class: "muted", text: ` ${where(high)}` })),
          el("td", { text: attempt?.steps !== undefined ? formatCount(attempt.steps) : "–" }),
          el("td", { text: attempt?.start_time && (attempt.end_time ?? attempt.last_time) ? formatSeconds((attempt.end_time ?? attempt.last_time) - attempt.start_time) : "–" })]);
    });
    this.#table.hidden = rows.length === 0;
    fill(this.#table, el("table", {},
      el("thead", {}, el("tr", {}, ["Run", "State", "Last", "Lowest", "Highest", "Steps", "Time"].map((text) => el("th", { scope: "col", text })))),
      el("tbody", {}, rows)));
  }
}

/** Whether it goes up to the last step of the attempt. @param {Series | undefined} series @param {any} attempt */
export function isComplete(series, attempt) {
  return series !== undefined && series.length > 0 && series.steps[series.length - 1] >= (attempt?.last_step ?? Infinity);
}

/** Where the smallest and the largest finite value are; -1 where there is none. No extreme is lost when the server thins out. @param {Series | undefined} series */
function extremesOf(series) {
  let low = -1;
  let high = -1;
  if (series) {
    for (let i = 0; i < series.length; ++i) {
      const value = series.values[i];
      if (!Number.isFinite(value)) continue;
      if (low < 0 || value < series.values[low]) low = i;
      if (high < 0 || value > series.values[high]) high = i;
    }
  }
  return { low, high };
}
