// @ts-check
// System: the process, the device, the rings, exporters and hooks, the ranks of a run, and vigild itself.

import { Chart, ChartGroup } from "../chart.js";
import { el, fill, setText } from "../dom.js";
import { drawCards, valueOf } from "../metric_cards.js";
import { missingRanks, rankColumns, rankRows } from "../rank_spread.js";
import { attemptOf } from "../runs.js";
import { Series } from "../series.js";
import { createTable } from "../table.js";
import { printable } from "../text.js";

const DEVICE = /** @type {[string, string][]} */ ([["device_allocated_bytes", "allocated"], ["device_reserved_bytes", "reserved"], ["device_peak_bytes", "peak"]]);

/** Readings of the process that answers, kept while the page is open: they stand in no history. */
const readings = { memory: new Series("process_resident_memory_bytes", "bytes"), cpu: new Series("process_cpu_seconds_total", "ratio"), count: 0, start: 0, lastTime: 0, lastCpu: 0 };

/** That are named. */
const mostMissing = 20;

/** Two hours at one in two seconds. */
const mostReadings = 3600;

/** The older half. @param {Series} series */
export function forgetHalf(series) {
  const half = series.length >> 1;
  const [steps, times, values] = [series.steps, series.times, series.values].map((column) => [...column.subarray(half, series.length)]);
  series.clear();
  series.append(steps, times, values);
}

/** @param {import("../metric_cards.js").Family[]} families @param {number} time */
function takeReading(families, time) {
  const memory = valueOf(families, "process_resident_memory_bytes");
  const cpu = valueOf(families, "process_cpu_seconds_total");
  const start = valueOf(families, "process_start_time_seconds") ?? 0;
  if (memory === null && cpu === null) return;
  if (start !== readings.start) {
    // Another process answers at this address now.
    readings.memory.clear();
    readings.cpu.clear();
    Object.assign(readings, { count: 0, start, lastTime: 0 });
  }
  const step = ++readings.count;
  for (const series of [readings.memory, readings.cpu]) if (series.length >= mostReadings) forgetHalf(series);
  if (memory !== null) readings.memory.append([step], [time], [memory]);
  if (cpu !== null && readings.lastTime > 0 && time > readings.lastTime) readings.cpu.append([step], [time], [(cpu - readings.lastCpu) / (time - readings.lastTime)]);
  [readings.lastTime, readings.lastCpu] = [time, cpu ?? 0];
}

/**
 * @param {HTMLElement} root
 * @param {any} context
 */
export async function mount(root, context) {
  await Promise.all([context.loadStyle("views/plots.css"), context.loadStyle("tables.css")]);
  const facts = el("dl", { class: "facts" });
  const ranks = createTable({ label: "Ranks", columns: rankColumns(), key: (row) => String(row.rank), onOpen: (row) => context.go({ run: context.selection.run, rank: row.rank, view: "system" }) });
  const rankNote = el("p", { class: "note" });
  const rankPanel = el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Ranks" })), rankNote, ranks.element);
  const runCards = el("div", { class: "metric-cards" });
  const hostCards = el("div", { class: "metric-cards" });
  const problem = el("p", { class: "note", role: "status" }, "Loading");
  const hostHead = el("h2", { class: "part-head", text: "vigild" });
  const processHead = el("h2", { class: "part-head" });
  const processCharts = el("div", { class: "system-charts" });
  const deviceCharts = el("div", { class: "system-charts" });
  fill(root, el("div", { class: "view-content" },
    problem,
    el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Run" })), facts),
    rankPanel, runCards, deviceCharts, processHead, processCharts, hostHead, hostCards));

  const open = new Set();
  const deviceGroup = new ChartGroup();
  const device = DEVICE.map(([name, label]) => ({ series: new Series(name, "bytes"), label }));
  /** @type {Chart | null} */
  let deviceChart = null;
  const offset = () => readings.memory.times[0] ?? 0;
  const charts = [
    new Chart(context.group, { id: "process_resident_memory_bytes", title: "Resident memory", unit: "bytes", x: "times", hint: "Since this page was opened", traces: [{ series: readings.memory, label: "memory" }], fromZero: true }),
    new Chart(context.group, { id: "process_cpu", title: "CPU", unit: "ratio", x: "times", hint: "100 % is one core; since this page was opened", traces: [{ series: readings.cpu, label: "CPU" }], fromZero: true }),
  ];
  fill(processCharts, charts.map((chart) => chart.element));
  /** @type {any} */
  let ofRun = null;
  /** @type {any} */
  let ofHost = null;

  const isTrainer = () => context.info?.program === "trainer";

  function drawFacts() {
    const info = ofRun?.metrics.find((/** @type {any} */ family) => family.name === "vigil_run_info")?.samples[0]?.labels ?? {};
    const attempt = context.run?.attempts?.find((/** @type {any} */ one) => one.attempt === context.selection?.attempt) ?? context.run?.attempts?.[0];
    const version = (ofHost ?? ofRun)?.metrics.find((/** @type {any} */ family) => family.name === "vigil_build_info")?.samples[0]?.labels ?? {};
    const rows = /** @type {[string, string, any][]} */ ([
      ["State", "state", context.selection.attempt === null ? context.run?.state : attempt?.state], ["Model", "model", attempt?.model ?? info.model], ["libtorch", "libtorch", attempt?.libtorch ?? info.libtorch],
      ["Host", "host", attempt?.host ?? info.host], ["Process", "pid", attempt?.pid ?? info.pid], ["Ranks", "world_size", attempt?.world_size ?? info.world_size], ["Attempt", "attempt", attempt?.attempt],
      ["vigil", "version", version.version], ["Compiler", "compiler", version.compiler],
    ]);
    fill(facts, rows.filter(([, , value]) => value !== undefined && value !== "").map(([head, key, value]) =>
      el("div", {}, el("dt", { text: head }), el("dd", { data: { fact: key, value: String(value) } }, el("bdi", {}, printable(String(value)))))));
  }

  function drawRanks() {
    const rows = rankRows(context.runs.runs ?? [], context.selection?.run);
    const attempt = attemptOf(context.run, context.selection?.attempt ?? null);
    const missing = isTrainer() ? [] : missingRanks(rows, attempt?.world_size ?? 1);
    rankPanel.hidden = rows.length + missing.length < 2;
    ranks.update(rows);
    const marked = rows.filter(({ mark }) => mark);
    rankNote.dataset.stragglers = String(marked.length);
    rankNote.dataset.missing = missing.join(" ");
    const spread = marked.length === 0 ? `${rows.length} ranks, none stands out.` : `${marked.length} of ${rows.length} ranks stand out: ${marked.map(({ rank, mark }) => `rank ${rank} (${mark})`).join(", ")}.`;
    const named = missing.slice(0, mostMissing).join(", ") + (missing.length > mostMissing ? " …" : "");
    const gone = `Of ${attempt?.world_size} ranks ${missing.length === 1 ? `rank ${named} is` : `${missing.length} are`} not told of here${missing.length === 1 ? "" : ` (${named})`}: on another host, or not started.`;
    setText(rankNote, missing.length > 0 ? `${spread} ${gone}` : spread);
  }

  function draw() {
    setText(processHead, isTrainer() ? "Process of the trainer" : "Process of vigild");
    hostHead.hidden = isTrainer() || !ofHost;
    const isOfProcess = (/** @type {any} */ family) => family.name.startsWith("process_");
    const own = (ofRun?.metrics ?? []).filter((/** @type {any} */ family) => !isOfProcess(family));
    const host = ((ofHost ?? ofRun)?.metrics ?? []).filter((/** @type {any} */ family) => isOfProcess(family) || (!isTrainer() && ofHost !== null));
    if (ofRun) drawCards(runCards, own, open);
    drawCards(hostCards, host, open);
    for (const chart of charts) {
      for (const trace of chart.traces) trace.offset = offset();
      context.group.draw(chart);
    }
    drawFacts();
  }

  async function loadDevice(/** @type {AbortSignal} */ signal) {
    const answer = await context.api.get("series", context.question({ name: DEVICE.map(([name]) => name), max_points: 1000 }), { signal });
    const hasAny = answer.series.some((/** @type {any} */ one) => one.steps.length > 0);
    deviceCharts.hidden = !hasAny;
    if (!hasAny) return;
    for (const one of answer.series) {
      const own = device.find(({ series }) => series.name === one.name)?.series;
      own?.clear();
      own?.append(one.steps, one.times, one.values);
    }
    if (!deviceChart) {
      deviceChart = new Chart(deviceGroup, { id: "device_memory", title: "Device memory", unit: "bytes", traces: device, fromZero: true });
      fill(deviceCharts, deviceChart.element);
    }
    deviceGroup.draw();
  }

  context.poll(async (/** @type {AbortSignal} */ signal) => {
    const { run, rank } = context.selection;
    const ask = (/** @type {any} */ of) => context.api.get("metrics", of, { signal });
    // A row of /runs without `alerts` is of the history alone: vigild has no metrics of it.
    const isOlder = context.selection.attempt !== null && attemptOf(context.run, null)?.attempt > context.selection.attempt;
    const isFollowed = !isOlder && (context.run === undefined || context.run.alerts !== undefined);
    [ofRun, ofHost] = await Promise.all([isFollowed ? ask({ run, rank }).catch(missing) : null, ask({}).catch(missing)]);
    const families = (ofHost ?? ofRun)?.metrics ?? [];
    takeReading(families, Date.now() / 1000);
    problem.hidden = ofRun !== null;
    if (!ofRun) setText(problem, isOlder ? "The metrics of the system are of the newest attempt; of this one the history keeps the memory of the device." : context.run ? "This run is told of no more: its ring file is gone, and the history keeps no metrics of the system." : "Loading");
    draw();
  }, { seconds: 2, onError: (/** @type {Error} */ error) => {
    problem.hidden = false;
    setText(problem, error.message);
  } });
  context.poll(loadDevice, { seconds: 5 });
  context.on(context.runs, "change", () => {
    drawRanks();
    drawFacts();
  });
  drawRanks();
  drawFacts();

  return {
    dispose() {
      ranks.destroy();
      deviceGroup.dispose();
    },
    get store() {
      return { run: ofRun, host: ofHost, readings: readings.count };
    },
  };
}

/** A run that has ended long ago has no metrics, and a trainer has none but of its run. @param {any} error */
function missing(error) {
  if (error.status === 404 || error.status === 400) return null;
  throw error;
}
