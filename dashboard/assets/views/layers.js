// @ts-check
// Layers: all tensors of a run in a table and over time, one of them in detail, and the outputs of the layers.

import { el, fill, setText, statePanel } from "../dom.js";
import { createHeatmap } from "../heatmap.js";
import { activationColumns, filterRows, joinRows, layerColumns, nameFilter } from "../layer_rows.js";
import { createTable } from "../table.js";
import { createTensorPanel } from "../tensor_panel.js";
import { columnsFor, hasSteps, loadHistory } from "../tensor_history.js";
import { count, figure, percent, printable } from "../text.js";

/**
 * @typedef {{id: string, kind: "parameter" | "gradient", statistic: string, name: string, log: boolean, format: (value: number | null) => string, without: string}} Choice
 * @type {Choice[]} what the heatmap can show; `without`: what to do where nothing of it is measured
 */
const CHOICES = [
  { id: "gradient_norm", kind: "gradient", statistic: "l2_norm", name: "Gradient norm", log: true, format: figure, without: "No gradient was sampled: sampling.gradients is off, or all parameters are frozen." },
  { id: "update_ratio", kind: "parameter", statistic: "update_ratio", name: "Update ratio", log: true, format: figure, without: 'Update ratios are not measured. Name the parameters in the trainer\'s configuration: sampling: {update_ratio: ["*"]}. It costs a copy of each.' },
  { id: "gradient_zero_ratio", kind: "gradient", statistic: "zero_ratio", name: "Zero ratio of gradients", log: false, format: percent, without: "No gradient was sampled: sampling.gradients is off, or all parameters are frozen." },
  { id: "zero_ratio", kind: "parameter", statistic: "zero_ratio", name: "Zero ratio of parameters", log: false, format: percent, without: "Parameters are not sampled: sampling.parameters is off." },
  { id: "norm", kind: "parameter", statistic: "l2_norm", name: "Parameter norm", log: true, format: figure, without: "Parameters are not sampled: sampling.parameters is off." },
];

/** @param {string} kind @param {string} statistic @returns {import("../tensor_history.js").TensorHistory} of a run that samples no tensor of the kind */
const noHistory = (kind, statistic) => ({ kind, statistic, steps: [], times: [], tensors: [], values: [], nonfinite: [], passedOver: 0 });

/**
 * @param {HTMLElement} root
 * @param {any} context
 */
export async function mount(root, context) {
  await Promise.all([context.loadStyle("views/plots.css"), context.loadStyle("tables.css")]);
  const params = () => /** @type {URLSearchParams} */ (context.params);
  const choice = () => CHOICES.find(({ id }) => id === params().get("show")) ?? CHOICES[0];
  const pinned = () => (/^\d+$/.test(params().get("step") ?? "") ? Number(params().get("step")) : null);

  /** @type {any} */
  let frame = null;
  /** @type {number | undefined} */
  let seenStep;
  /** @type {import("../layer_rows.js").LayerRow[]} */
  let rows = [];
  /** @type {import("../tensor_history.js").TensorHistory | null} */
  let history = null;
  /** @type {import("../layer_rows.js").Trace} */
  let trace = { steps: [], rows: new Map() };

  const [sortKey, sortOrder] = (params().get("sort") ?? "").split(".");
  const table = createTable({
    label: "Parameters",
    columns: layerColumns(() => trace),
    key: (row) => row.key,
    sort: sortKey ? { key: sortKey, descending: sortOrder === "desc" } : undefined,
    onSort: (sort) => context.setParams({ sort: sort ? `${sort.key}.${sort.descending ? "desc" : "asc"}` : null }),
    onOpen: (row) => open(row.name, row.kind === "buffer" ? "buffer" : row.gradient && !row.gradient.missing ? "gradient" : "parameter"),
    empty: "No tensor matches, or none is sampled (sampling.parameters, gradients, buffers, include).",
  });
  const activations = createTable({ label: "Activations", columns: activationColumns(), key: (row) => JSON.stringify([row.layer, row.phase]), empty: "No layer matches." });
  const heatmap = createHeatmap({
    label: "Tensors over time",
    rowKind: "parameter",
    format: (value) => choice().format(value),
    note: (row, column) => {
      const broken = history?.nonfinite[shown[row]]?.[column] ?? 0;
      return broken > 0 ? `of the finite elements; ${count(broken)} are NaN or infinite` : "";
    },
    nonfinite: "holds NaN or Inf",
    onOpen: (row, column) => history && open(history.tensors[shown[row]], choice().kind, history.steps[column]),
  });
  /** @type {number[]} rows of the history that the heatmap shows */
  let shown = [];
  const panel = createTensorPanel(context, { onClose: close, onStep: pin });

  const search = el("input", { type: "search", class: "name-filter", placeholder: "Filter by name or /regex/", "aria-label": "Filter by name, or by a regular expression between slashes", value: params().get("q") ?? "" });
  const onlyNonfinite = el("input", { type: "checkbox" });
  onlyNonfinite.checked = params().get("nonfinite") === "1";
  const matches = el("span", { class: "muted", role: "status" });
  const problem = el("span", { class: "filter-problem", role: "alert" });
  const when = el("span", { class: "frame-step" });
  const latest = el("button", { type: "button", class: "button small", text: "Back to the latest", on: { click: () => pin(null) } });
  const select = el("select", { "aria-label": "Figure over time" }, CHOICES.map(({ id, name }) => el("option", { value: id }, name)));
  select.value = choice().id;
  const heatmapNote = el("p", { class: "note" });
  const tablePanel = el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Parameters and buffers" }), when, latest), table.element);
  const heatmapPanel = el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Over time" }), select), heatmapNote, heatmap.element);
  const activationNote = el("p", { class: "note" });
  const activationPanel = el("section", { class: "card panel" }, el("div", { class: "panel-head" }, el("h2", { text: "Activations" })), activationNote, activations.element);
  const toolbar = el("div", { class: "toolbar" }, search, el("label", { class: "check" }, onlyNonfinite, "only non-finite"), matches, problem);
  const content = el("div", { class: "view-content" }, toolbar, panel.element, tablePanel, heatmapPanel, activationPanel);
  const state = el("div", { class: "view-state", "aria-busy": "true" }, el("div", { class: "skeleton" }));
  fill(root, state);

  function filtered() {
    return filterRows(rows, { text: search.value, onlyNonfinite: onlyNonfinite.checked });
  }

  function drawTable() {
    const found = filtered();
    table.update(found.rows);
    setText(problem, found.problem);
    setText(matches, found.rows.length === rows.length ? `${count(rows.length)} tensors` : `${count(found.rows.length)} of ${count(rows.length)} tensors`);
    setText(when, `step ${count(frame.step)}`);
    when.dataset.value = String(frame.step);
    latest.hidden = pinned() === null;
    const { matches: isWanted } = nameFilter(search.value);
    const outputs = (frame.activations ?? []).filter((/** @type {any} */ row) => isWanted(row.layer) && (!onlyNonfinite.checked || row.nan_values > 0 || row.inf_values > 0));
    activations.update(outputs);
    const hasOutputs = (frame.activations ?? []).length > 0;
    activations.element.hidden = !hasOutputs;
    activationNote.hidden = hasOutputs;
    setText(activationNote, "No layer's output was looked at up to this step: sampling.activations_every_steps says how often that is, and 0 is never.");
  }

  function drawHeatmap() {
    if (!history) return;
    const { matches: isWanted } = nameFilter(search.value);
    const chosen = history;
    shown = chosen.tensors.flatMap((name, row) => (isWanted(name) && (!onlyNonfinite.checked || chosen.nonfinite[row].some((value) => (value ?? 0) > 0)) ? [row] : []));
    const pick = (/** @type {(number | null)[][]} */ of) => shown.map((row) => of[row]);
    const values = pick(chosen.values);
    const isMeasured = values.some((row) => row.some((value) => value !== null));
    heatmap.element.hidden = !isMeasured;
    heatmapNote.hidden = isMeasured;
    setText(heatmapNote, shown.length === 0 && chosen.tensors.length > 0 ? "No tensor matches." : choice().without);
    if (!isMeasured) return;
    heatmap.update({ rows: shown.map((row) => chosen.tensors[row]), steps: chosen.steps, values, nonfinite: pick(chosen.nonfinite) }, { log: choice().log, label: `${choice().name} of each parameter over time` });
    const tensor = params().get("tensor");
    if (tensor && pinned() !== null) heatmap.select(tensor, Number(pinned()));
  }

  function drawPanel() {
    const name = params().get("tensor");
    if (!name) return panel.close();
    const kind = params().get("kind") ?? "gradient";
    const row = rows.find((one) => one.name === name && (one.kind === "buffer") === (kind === "buffer"));
    table.select(row?.key ?? "");
    if (!row) {
      setText(problem, `This run has no ${kind === "buffer" ? "buffer" : "parameter"} named ${printable(name)}.`);
      return panel.close();
    }
    void panel.show({ name, kind, row, attempt: frame.attempt, step: frame.step, steps: history?.steps ?? [frame.step] });
  }

  /** @param {string} name @param {string} kind @param {number} [step] */
  function open(name, kind, step) {
    context.setParams({ tensor: name, kind, ...(step === undefined ? {} : { step: String(step) }) });
    if (step === undefined) drawPanel();
    else reload();
    panel.reveal();
  }

  /** @param {number | null} step whose frame is shown; null: the latest */
  function pin(step) {
    context.setParams({ step: step === null ? null : String(step) });
    reload();
  }

  function close() {
    const [name, kind] = [params().get("tensor"), params().get("kind")];
    const hadFocus = panel.element.contains(document.activeElement);
    context.setParams({ tensor: null, kind: null });
    table.select("");
    heatmap.clear();
    panel.close();
    if (hadFocus) table.focus(`${kind === "buffer" ? "buffer" : "parameter"}:${name}`);
  }

  /** @param {string} why */
  function showNothing(why) {
    state.removeAttribute("aria-busy");
    fill(state, pinned() === null
      ? statePanel({ title: "No tensors sampled yet", text: "Statistics of tensors come with the first sample, at the first step and every sampling.every_steps after it.", hint: why })
      : statePanel({ title: `No sample up to step ${count(pinned())}`, text: "The history holds no frame of tensors that old.", hint: why, action: { label: "Show the latest", run: () => pin(null) } }));
  }

  /** @param {AbortSignal} signal */
  async function load(signal) {
    if (!frame && !hasSteps(context)) return showNothing("The run has made no step yet.");
    const wanted = pinned();
    const next = await context.api.get("tensors", context.question({ step: wanted }), { signal });
    const isNew = !frame || next.step !== frame.step || next.attempt !== frame.attempt;
    // What is over time goes on while the table stays at one step.
    const hasMoved = wanted !== null && context.run?.step !== seenStep;
    seenStep = context.run?.step;
    frame = next;
    if (isNew || hasMoved || !history || history.statistic !== choice().statistic || history.kind !== choice().kind) {
      rows = joinRows(next.tensors);
      const columns = columnsFor(rows.length);
      const shows = choice();
      const until = wanted === null ? next.step : Math.max(next.step, context.run?.step ?? 0);
      const ask = (/** @type {string} */ kind, /** @type {string} */ statistic) =>
        next.tensors.some((/** @type {any} */ row) => row.kind === kind) ? loadHistory(context, { kind, statistic, columns, until }, signal) : Promise.resolve(noHistory(kind, statistic));
      const norms = ask("gradient", "l2_norm");
      const own = shows.id === "gradient_norm" ? norms : ask(shows.kind, shows.statistic);
      if (!content.isConnected) {
        // The table does not wait for what is over time.
        fill(root, content);
        drawTable();
      }
      const [gradients, chosen] = await Promise.all([norms, own]);
      trace = { steps: gradients.steps, rows: new Map(gradients.tensors.map((name, i) => [name, { values: gradients.values[i], nonfinite: gradients.nonfinite[i].map((value) => value ?? 0) }])) };
      if (shows.id === choice().id) history = chosen;
      drawTable();
      drawHeatmap();
      drawPanel();
    }
  }

  const handle = context.poll(load, {
    seconds: 3,
    onError: (/** @type {any} */ error) => {
      if (content.isConnected) setText(problem, error.message);
      else if (error.status === 404) showNothing(error.message);
      else fill(state, statePanel({ kind: "error", title: "The tensors could not be read", text: error.message }));
    },
  });
  const reload = () => handle.now();

  search.addEventListener("input", () => {
    context.setParams({ q: search.value || null });
    if (frame) drawTable();
    drawHeatmap();
  });
  onlyNonfinite.addEventListener("change", () => {
    context.setParams({ nonfinite: onlyNonfinite.checked ? "1" : null });
    if (frame) drawTable();
    drawHeatmap();
  });
  select.addEventListener("change", () => {
    context.setParams({ show: select.value === CHOICES[0].id ? null : select.value });
    history = null;
    reload();
  });
  context.on(window, "hashchange", () => {
    if (!frame) return;
    search.value = params().get("q") ?? "";
    select.value = choice().id;
    history = null;
    reload();
  });

  return {
    dispose() {
      table.destroy();
      activations.destroy();
      heatmap.destroy();
      panel.destroy();
    },
    focusFilter: () => search.focus(),
    /** @param {KeyboardEvent} event */
    onKey(event) {
      if (event.key !== "Escape" || !params().get("tensor")) return false;
      close();
      return true;
    },
    help: [["/", "Filter the tensors"], ["Esc", "Close the tensor"], ["← →", "Move over the heatmap"], ["Enter", "Open a row or cell"]],
    get store() {
      return { frame, history, shown };
    },
  };
}
