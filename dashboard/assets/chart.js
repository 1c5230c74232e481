// uPlot draws axes and takes the pointer, plot_painting.js draws what lies between. Charts of a group share x.

import { el, fill, icon, loadStyle, setText } from "./dom.js";
import { formatCount, formatNumber, formatSeconds, formatValue, tickLabels } from "./format.js";
import { areaOf, paintAnnotations, paintBands, paintLine, paintNonfinite, toX } from "./plot_painting.js";
import { color, seriesColor, themeChanges } from "./theme.js";

const uPlot = globalThis.uPlot;

const timeIncrements = [1e-3, 1e-2, 0.1, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000];
/** uPlot's own end at 1e32. */
const increments = Array.from({ length: 339 }, (_, i) => [1, 2, 2.5, 5].map((digit) => Number(`${digit}e${i - 32}`))).flat();
const wholeIncrements = increments.filter(Number.isInteger);
const byteIncrements = Array.from({ length: 60 }, (_, power) => 2 ** power);
let extrasLoaded;
const extras = () => (extrasLoaded ??= loadStyle("chart_extras.css").then(() => import("./chart_extras.js")));
const keys = new Set(["ArrowLeft", "ArrowRight", "Home", "End", "Escape", "+", "-", "n", "p"]);

export class Chart {
  isVisible = false;
  hasData = false;
  #u = null;
  #seen = [];
  #detail = null;
  table = el("div", { class: "chart-table", hidden: true });
  #isMoving = false;
  #described = "";

  constructor(group, options) {
    this.group = group;
    this.id = options.id;
    this.title = options.title;
    this.unit = options.unit ?? "";
    this.x = options.x ?? "steps";
    this.traces = options.traces;
    this.isLog = options.isLog ?? false;
    this.fromZero = options.fromZero ?? false;
    this.onScale = options.onScale ?? (() => {});
    this.plot = el("div", { class: "plot", tabindex: "0", role: "application" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.cursorLabel = el("div", { class: "cursor-label", hidden: true });
    this.legend = el("div", { class: "legend" });
    this.logButton = el("button", { class: "toggle", type: "button", text: "log", title: "Logarithmic scale", "aria-pressed": String(this.isLog), on: { click: () => this.setLog(!this.isLog) } });
    this.tableButton = el("button", { class: "icon-button small", type: "button", title: "As a table", "aria-label": `${this.title} as a table`, "aria-pressed": "false", on: { click: () => this.toggleTable() } }, icon("table"));
    this.element = el("figure", { class: "chart card", data: { series: this.id, unit: this.unit } },
      el("figcaption", { class: "chart-head" },
        el("h3", { class: "chart-title", title: options.hint ?? null, text: this.title }), el("span", { class: "chart-space" }),
        el("div", { class: "chart-actions" }, this.logButton, this.tableButton)),
      el("div", { class: "plot-box" }, this.plot, this.tip, this.cursorLabel, el("p", { class: "plot-empty", text: "No data yet" })), this.table);
    this.plot.addEventListener("keydown", (event) => void this.#onKey(event));
    this.plot.addEventListener("blur", () => this.group.setCursor(null));
    this.#drawLegend();
    group.add(this);
  }

  dispose() {
    this.#u?.destroy();
    this.#u = null;
  }

  setTraces(traces) {
    this.traces = traces;
    this.#drawLegend();
    this.group.draw(this);
  }

  /** Series by name with more points within the zoom, or null. */
  setDetail(detail) {
    this.#detail = detail;
    this.group.draw(this);
  }

  shown(trace) {
    const detail = this.#detail?.get(trace.series.name);
    if (detail && detail.smoothing !== trace.series.smoothing) detail.smoothing = trace.series.smoothing;
    return detail ?? trace.series;
  }

  /** Of each trace the places in the range, and those that are drawn. */
  #look() {
    const range = this.group.range();
    return this.traces.flatMap((trace, index) => {
      const series = this.shown(trace);
      if (trace.isHidden || series.length === 0) return [];
      const [from, to] = this.places(series, trace, range);
      const bad = [...series.nonfinite.subarray(0, series.nonfiniteLength)].filter((place) => place >= from && place < to);
      return [{ trace, series, from, to, bad, places: series.drawn(from, to).slice(), offset: trace.offset ?? 0, color: trace.color ?? index }];
    });
  }

  /** For tests. */
  get drawn() {
    return this.#look().map(({ trace, series, bad, places }) => {
      const pick = (column) => Array.from(places, (place) => column[place]);
      return { name: series.name, label: trace.label, steps: pick(series.steps), values: pick(series.values), smooth: series.smoothing > 0 ? pick(series.smooth) : null, nonfiniteSteps: bad.map((place) => series.steps[place]), points: series.length };
    });
  }

  setLog(isLog) {
    this.isLog = isLog;
    this.logButton.setAttribute("aria-pressed", String(isLog));
    this.restyle();
    this.onScale(isLog);
  }

  /** uPlot keeps colours and the kind of a scale. */
  restyle() {
    this.#u?.destroy();
    this.#u = null;
    this.#drawLegend();
    this.group.draw(this);
  }

  resize() {
    if (!this.#u || this.plot.clientWidth === 0) return;
    this.#u.setSize({ width: this.plot.clientWidth, height: this.plot.clientHeight });
  }

  xs(series) {
    return this.x === "times" ? series.times : series.steps;
  }

  extent() {
    let min = Infinity;
    let max = -Infinity;
    for (const { series, offset = 0, isHidden } of this.traces) {
      if (series.length === 0 || isHidden) continue;
      const xs = this.xs(series);
      min = Math.min(min, xs[0] - offset);
      max = Math.max(max, xs[series.length - 1] - offset);
    }
    return { min, max };
  }

  places(series, trace, range) {
    const xs = this.xs(series);
    const offset = trace.offset ?? 0;
    const from = Math.max(series.lowerBound(xs, range.min + offset) - 1, 0);
    const to = Math.min(series.lowerBound(xs, range.max + offset) + 1, series.length);
    return [from, to];
  }

  draw() {
    this.hasData = this.traces.some((trace) => trace.series.length > 0);
    this.element.classList.toggle("is-empty", !this.hasData);
    this.describe();
    // Until there is data, making it would only hold up the data.
    if (!this.#u && !this.hasData) return;
    if (!this.#u) this.#make();
    const range = this.group.range();
    this.#seen = this.#look();
    const y = this.#rangeOfY();
    this.#u.batch(() => {
      this.#u.setScale("x", { ...range });
      this.#u.setScale("y", y);
    });
    if (this.isLog || extrasLoaded) void extras().then(({ drawExtras }) => drawExtras(this, this.#seen));
  }

  #rangeOfY() {
    let min = Infinity;
    let max = -Infinity;
    const isLog = this.isLog;
    for (const { series: { values }, places } of this.#seen) {
      for (const place of places) {
        const value = values[place];
        if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
        if (value < min) min = value;
        if (value > max) max = value;
      }
    }
    if (min > max) return isLog ? { min: 0.1, max: 1 } : { min: 0, max: 1 };
    if (isLog) return min === max ? { min: min / 2, max: max * 2 } : { min: min / (max / min) ** 0.05, max: max * (max / min) ** 0.05 };
    if (this.fromZero && min > 0) min = 0;
    const pad = max > min ? (max - min) * 0.06 : Math.abs(max) * 0.1 || 1;
    return { min: this.fromZero && min === 0 ? 0 : min - pad, max: max + pad };
  }

  #make() {
    const axis = { stroke: color("--text-muted"), font: `11px ${color("--font")}`, grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false } };
    const isSteps = this.x === "steps";
    this.#u = new uPlot({
      width: Math.max(this.plot.clientWidth, 40), height: Math.max(this.plot.clientHeight, 40), padding: [12, 16, 0, 0],
      legend: { show: false },
      cursor: {
        y: false, points: { show: false }, drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => (this.group.setZoom(null), null) },
      },
      scales: {
        x: { time: false, auto: false, range: (_, min, max) => [min, max] },
        y: { auto: false, distr: this.isLog ? 3 : 1, range: (_, min, max) => [min, max] },
      },
      // uPlot has no points: what is painted comes from columns.
      series: [{}, { paths: () => null, points: { show: false } }],
      axes: [
        { ...axis, size: 26, gap: 4, space: 64, incrs: isSteps ? wholeIncrements : timeIncrements, values: (_, splits) => (isSteps ? tickLabels(splits, "") : splits.map((value) => formatSeconds(value))) },
        { ...axis, size: (_, labels) => Math.max(54, ...(labels ?? []).map((label) => 7 * label.length)), gap: 4, space: 34, incrs: this.unit === "bytes" ? byteIncrements : increments, values: (_, splits) => tickLabels(splits, this.unit) },
      ],
      hooks: {
        draw: [(u) => this.#paint(u)],
        setSelect: [(u) => this.#onSelect(u)],
        setCursor: [(u) => this.#onCursor(u)],
      },
    }, [[0], [null]], this.plot);
  }

  #paint(u) {
    if (u.scales.x.min === null || u.scales.x.min === undefined) return;
    const area = areaOf(u);
    const { ctx } = area;
    paintAnnotations(area, this.group.annotations);
    ctx.save();
    ctx.beginPath();
    ctx.rect(area.left, area.top - area.ratio, area.width, area.height + 2 * area.ratio);
    ctx.clip();
    paintBands(area, this.group.bands);
    const marks = new Map();
    for (const { series, bad, places, offset, color: place } of this.#seen) {
      const xs = this.xs(series);
      const style = { stroke: seriesColor(place), width: 1.5, dots: places.length <= 40, dash: place >= 8 ? [5, 3] : undefined };
      if (series.smoothing > 0) {
        paintLine(area, places, xs, offset, series.values, { ...style, width: 1, alpha: 0.28, dots: false });
        paintLine(area, places, xs, offset, series.smooth, { ...style, dots: false });
      } else {
        paintLine(area, places, xs, offset, series.values, style);
      }
      for (const at of bad) {
        const x = Math.round(toX(area, xs[at] - offset));
        if (!marks.has(x)) marks.set(x, formatNumber(series.values[at]));
      }
    }
    const positions = [...marks.keys()].sort((a, b) => a - b);
    paintNonfinite(area, positions, positions.map((x) => marks.get(x)));
    ctx.restore();
    this.plot.dataset.nonfinite = String(positions.length);
  }

  #onSelect(u) {
    const { left, width } = u.select;
    if (width < 4) return;
    const range = { min: u.posToVal(left, "x"), max: u.posToVal(left + width, "x") };
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.group.setZoom(range);
  }

  #onCursor(u) {
    if (this.#isMoving) return;
    const { left } = u.cursor;
    const isInside = left !== null && left !== undefined && left >= 0;
    const x = isInside ? u.posToVal(left, "x") : null;
    this.group.setCursor(x, this);
    this.showCursor(x, false);
    this.showTip(x);
  }

  showCursor(x, moves) {
    if (!this.#u) return;
    if (moves) {
      this.#isMoving = true;
      this.#u.setCursor({ left: x === null ? -10 : this.#u.valToPos(x, "x"), top: x === null ? -10 : 0 }, false);
      this.#isMoving = false;
      this.tip.hidden = this.cursorLabel.hidden = true;
    }
    this.#writeLegend(x);
  }

  async showTip(x) {
    this.tip.hidden = this.cursorLabel.hidden = true;
    if (x !== null && this.#u) (await extras()).showTip(this, this.#u, x);
  }

  async #onKey(event) {
    if (!keys.has(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    (await extras()).onKey(this, event);
  }

  formatX(x) {
    return this.x === "times" ? formatSeconds(x) : `step ${formatCount(Math.round(x))}`;
  }

  valueAt(trace, x) {
    const { zoom } = this.group;
    const offset = trace.offset ?? 0;
    // Without a cursor the latest, where it is zoomed the latest within.
    const series = x !== null || zoom ? this.shown(trace) : trace.series;
    const xs = this.xs(series);
    const last = zoom && x === null ? series.lowerBound(xs, zoom.max + offset + 1e-9) : series.length;
    const place = x !== null ? series.nearest(xs, x + offset) : last - 1;
    return place < 0 || (x === null && zoom && xs[place] < zoom.min + offset) ? "–" : formatValue(series.values[place], this.unit);
  }

  #drawLegend() {
    const isOne = this.traces.length === 1;
    // One figure stands beside the title, several below.
    if (isOne) this.element.querySelector(".chart-space").replaceChildren(this.legend);
    else this.element.querySelector(".plot-box").after(this.legend);
    fill(this.legend, this.traces.map((trace, index) => {
      trace.value = el("span", { class: "legend-value" });
      const place = trace.color ?? index;
      const swatch = el("span", { class: `swatch${place >= 8 ? " is-dashed" : ""}`, style: { "--swatch": `var(--series-${(place % 8) + 1})` } });
      if (isOne) return el("span", { class: "legend-item" }, trace.value);
      return el("button", {
        class: "legend-item", type: "button", title: `Show or hide ${trace.label}`, "aria-pressed": String(!trace.isHidden), on: { click: () => this.#toggle(trace) },
      }, swatch, el("span", { class: "legend-label", text: trace.label }), trace.value);
    }));
    this.#writeLegend(null);
  }

  #toggle(trace) {
    trace.isHidden = !trace.isHidden;
    const place = this.traces.indexOf(trace);
    this.legend.children[place].setAttribute("aria-pressed", String(!trace.isHidden));
    this.group.draw();
  }

  #writeLegend(x) {
    for (const trace of this.traces) {
      if (!trace.value) continue;
      const text = this.valueAt(trace, x);
      setText(trace.value, text);
      trace.value.parentElement.hidden = this.hasData && trace.series.length === 0;
      trace.value.classList.toggle("is-nonfinite", text === "NaN" || text.endsWith("Inf"));
    }
  }

  /** Figures, and words for those who do not see the drawing. */
  describe() {
    if (this.group.cursor === null) this.#writeLegend(null);
    const range = this.traces.map((trace) => `${trace.label} ${this.valueAt(trace, null)}`).join(", ");
    const bad = this.traces.reduce((sum, trace) => sum + trace.series.nonfiniteTotal, 0);
    const text = `${this.title}. Latest: ${range}.${bad > 0 ? ` ${bad} values are not finite.` : ""} Arrows move the cursor, plus and minus zoom.`;
    if (text !== this.#described) this.plot.setAttribute("aria-label", (this.#described = text));
  }

  async toggleTable() {
    (await extras()).toggleTable(this);
  }
}

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
    if (range && range.max - range.min < 2 && this.charts[0]?.x === "steps") {
      const middle = (range.min + range.max) / 2;
      range = { min: middle - 1, max: middle + 1 };
    }
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
