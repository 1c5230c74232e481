// @ts-check
// Rows × steps as colours on a canvas, with axes, a legend, and a readout of the cell under the pointer or the keyboard.

import { el, fill } from "./dom.js";
import { MISSING, NONFINITE, ZERO, encode, paint, palette, ramp, swatch } from "./heatmap_pixels.js";
import { figure, printable, raw } from "./text.js";
import { theme, themeChanges } from "./theme.js";

const MOST_HEIGHT = 880;
const MOST_ROW = 18;
const LEAST_LABEL = 12;
const MOST_COLUMN = 40;
const AXIS = 22;
const FONT = "11px system-ui, sans-serif";

/**
 * @typedef {object} HeatmapData
 * @property {string[]} rows names, from the top
 * @property {number[]} steps of the columns
 * @property {(number | null)[][]} values by row and column; null: missing
 * @property {(number | null)[][]} [nonfinite] elements that are not finite, behind each cell
 * @property {boolean[]} [alarms] rows whose every value above 0 is drawn as non-finite
 */

/**
 * @typedef {object} HeatmapOptions
 * @property {string} label what it shows
 * @property {(value: number | null) => string} [format]
 * @property {(row: number, column: number) => string} [note] more about a cell, for the readout
 * @property {(row: number, column: number) => void} [onOpen] a cell was clicked, or chosen by Enter
 * @property {string} [rowKind] what a row is
 * @property {number} [mostRow] height of a row at most, px
 * @property {string} [zero] what a cell of value 0 is called in the legend
 * @property {string} [nonfinite] what a red cell is called in the legend
 */

/** Ends of long names tell more than their beginnings. @param {CanvasRenderingContext2D} pen @param {string} text @param {number} room */
function fitted(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  const characters = [...text];
  let [low, high] = [0, characters.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pen.measureText(`…${characters.slice(middle).join("")}`).width <= room) high = middle;
    else low = middle + 1;
  }
  return `…${characters.slice(low).join("")}`;
}

/** @param {HeatmapOptions} options */
export function createHeatmap(options) {
  const format = options.format ?? figure;
  const element = el("figure", { class: "heatmap" });
  const plot = el("div", { class: "heatmap-plot" });
  const canvas = el("canvas", { class: "heatmap-canvas" });
  const cursor = el("div", { class: "heatmap-cursor" });
  const readout = el("p", { class: "heatmap-readout" });
  const legend = el("div", { class: "heatmap-legend" });
  cursor.hidden = true;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "heatmap");
  canvas.setAttribute("aria-label", `${options.label}. Arrow keys move over the cells${options.onOpen ? ", Enter opens one" : ""}.`);
  readout.setAttribute("aria-live", "polite");
  plot.append(canvas, cursor);
  element.append(plot, readout, legend);

  /** @type {HeatmapData} */
  let data = { rows: [], steps: [], values: [] };
  let isLog = false;
  let encoded = encode({ values: [], log: false }, 0);
  const box = { left: 0, width: 0, height: 0 };
  /** @type {{row: number, column: number} | null} */
  let chosen = null;
  /** @type {{row: number, column: number} | null} */
  let hovered = null;
  let frame = 0;

  function draw() {
    frame = 0;
    const room = plot.clientWidth;
    const [rows, columns] = [data.rows.length, data.steps.length];
    if (room === 0 || rows === 0 || columns === 0) return;
    const dpr = window.devicePixelRatio || 1;
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.font = FONT;
    const names = data.rows.map(printable);
    const longest = Math.max(...names.slice(0, 400).map((name) => pen.measureText(name).width));
    box.left = Math.ceil(Math.min(longest + 8, room * 0.32, 220));
    box.width = Math.floor(Math.min(room - box.left - 4, Math.max(columns * MOST_COLUMN, 160)));
    box.height = Math.round(Math.min(MOST_HEIGHT, Math.max(rows * Math.min(options.mostRow ?? MOST_ROW, Math.max(2, 600 / rows)), 24)));
    const height = box.height + AXIS;
    canvas.width = Math.round(room * dpr);
    canvas.height = Math.round(height * dpr);
    canvas.style.setProperty("width", `${room}px`);
    canvas.style.setProperty("height", `${height}px`);

    const colours = palette(theme() === "dark");
    const image = new ImageData(Math.max(1, Math.round(box.width * dpr)), Math.max(1, Math.round(box.height * dpr)));
    paint(encoded.codes, rows, columns, image, colours, dpr);
    pen.putImageData(image, Math.round(box.left * dpr), 0);

    pen.scale(dpr, dpr);
    pen.font = FONT;
    pen.direction = "ltr";
    pen.fillStyle = getComputedStyle(readout).color;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const each = box.height / rows;
    const stride = Math.ceil(LEAST_LABEL / each);
    for (let r = Math.floor(stride / 2); r < rows; r += stride) pen.fillText(fitted(pen, names[r], box.left - 8), box.left - 5, (r + 0.5) * each);
    drawSteps(pen, columns);
    drawLegend(colours, dpr);
    showCursor();
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} columns */
  function drawSteps(pen, columns) {
    const widest = pen.measureText(String(data.steps[columns - 1])).width + 18;
    const ticks = Math.max(1, Math.min(columns, Math.floor(box.width / widest)));
    const stride = Math.ceil(columns / ticks);
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (let c = 0; c < columns; c += stride) {
      const x = box.left + ((c + 0.5) * box.width) / columns;
      pen.fillRect(x, box.height, 1, 4);
      const text = String(data.steps[c]);
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(x, canvas.clientWidth - half - 1), box.height + 7);
    }
  }

  /** @param {import("./heatmap_pixels.js").Palette} colours @param {number} dpr */
  function drawLegend(colours, dpr) {
    legend.replaceChildren();
    const { scale, codes } = encoded;
    const bar = el("canvas", { class: "heatmap-ramp" });
    bar.width = Math.round(120 * dpr);
    bar.height = Math.round(10 * dpr);
    bar.getContext("2d")?.putImageData(ramp(colours, bar.width, bar.height), 0, 0);
    const low = el("span", { class: "heatmap-low" }, format(scale.low));
    low.dataset.value = raw(scale.low);
    const high = el("span", { class: "heatmap-high" }, format(scale.high));
    high.dataset.value = raw(scale.high);
    const span = el("span", { class: "heatmap-scale" });
    span.append(low, bar, high);
    if (isLog) span.append(el("span", { class: "muted" }, "log"));
    if (codes.some((code) => code > ZERO && code < NONFINITE)) legend.append(span);
    const kinds = /** @type {[number, string][]} */ ([[ZERO, options.zero ?? "0"], [NONFINITE, options.nonfinite ?? "NaN or Inf"], [MISSING, "not measured"]]);
    for (const [code, text] of kinds) {
      if (code !== NONFINITE && !codes.includes(code)) continue;
      const item = el("span", { class: "heatmap-key" }, text);
      const sample = el("canvas", { class: "heatmap-swatch" });
      sample.width = Math.round(16 * dpr);
      sample.height = Math.round(10 * dpr);
      sample.getContext("2d")?.putImageData(swatch(code, colours, sample.width, sample.height, dpr), 0, 0);
      item.prepend(sample);
      legend.append(item);
    }
  }

  function showCursor() {
    const at = hovered ?? chosen;
    const isThere = at !== null && at.row < data.rows.length && at.column < data.steps.length;
    cursor.hidden = !isThere;
    readout.replaceChildren();
    if (!isThere || !at) {
      for (const key of ["row", "step", "value", "nonfinite"]) delete readout.dataset[key];
      readout.append(el("span", { class: "muted" }, `Point at a cell, or use the arrow keys${options.onOpen ? "; click or Enter opens it" : ""}.`));
      return;
    }
    const [width, height] = [box.width / data.steps.length, box.height / data.rows.length];
    cursor.style.setProperty("left", `${box.left + at.column * width - 1}px`);
    cursor.style.setProperty("top", `${at.row * height - 1}px`);
    cursor.style.setProperty("width", `${Math.max(3, width)}px`);
    cursor.style.setProperty("height", `${Math.max(3, height)}px`);
    const value = data.values[at.row][at.column];
    const nonfinite = data.nonfinite?.[at.row]?.[at.column] ?? null;
    readout.dataset.row = data.rows[at.row];
    readout.dataset.step = String(data.steps[at.column]);
    readout.dataset.value = raw(value);
    readout.dataset.nonfinite = raw(nonfinite);
    const isRed = encoded.codes[at.row * data.steps.length + at.column] === NONFINITE;
    readout.append(el("bdi", { class: "name" }, printable(data.rows[at.row])), el("span", { class: "muted" }, ` step ${data.steps[at.column]} `));
    readout.append(el("span", { class: isRed ? "value nonfinite" : "value" }, value === null ? "not measured" : format(value)));
    const note = options.note?.(at.row, at.column);
    if (note) readout.append(el("span", { class: "muted" }, ` ${note}`));
  }

  /** @param {PointerEvent | MouseEvent} event */
  function cellAt(event) {
    const bounds = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left - box.left, event.clientY - bounds.top];
    if (x < 0 || x >= box.width || y < 0 || y >= box.height) return null;
    return { row: Math.floor((y * data.rows.length) / box.height), column: Math.floor((x * data.steps.length) / box.width) };
  }

  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    hovered = cellAt(event);
    canvas.style.setProperty("cursor", hovered && options.onOpen ? "pointer" : "default");
    showCursor();
  });
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    showCursor();
  });
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const cell = cellAt(event);
    if (!cell) return;
    chosen = cell;
    showCursor();
    options.onOpen?.(cell.row, cell.column);
  });
  canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const [rows, columns] = [data.rows.length, data.steps.length];
    if (rows === 0 || columns === 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const from = chosen ?? { row: 0, column: columns - 1 };
    const page = Math.max(1, Math.round(columns / 10));
    const moves = /** @type {Record<string, [number, number]>} */ ({
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -columns], End: [0, columns],
      PageUp: [0, -page], PageDown: [0, page],
    });
    if (event.key === "Enter" && chosen) {
      options.onOpen?.(chosen.row, chosen.column);
    } else if (moves[event.key]) {
      const [down, right] = chosen ? moves[event.key] : [0, 0];
      chosen = { row: Math.min(rows - 1, Math.max(0, from.row + down)), column: Math.min(columns - 1, Math.max(0, from.column + right)) };
      hovered = null;
      showCursor();
    } else {
      return;
    }
    event.preventDefault();
  });

  const redraw = () => {
    if (frame === 0) frame = requestAnimationFrame(draw);
  };
  const resizes = new ResizeObserver(redraw);
  resizes.observe(plot);
  themeChanges.addEventListener("change", redraw);

  return {
    element,
    /** @param {HeatmapData} next @param {{log?: boolean, label?: string}} [how] */
    update(next, { log = false, label } = {}) {
      const [row, step] = chosen ? [data.rows[chosen.row], data.steps[chosen.column]] : [undefined, undefined];
      data = next;
      isLog = log;
      encoded = encode({ values: data.values, log, alarms: data.alarms, nonfinite: data.nonfinite }, data.steps.length);
      element.dataset.rows = String(data.rows.length);
      element.dataset.columns = String(data.steps.length);
      if (label) canvas.setAttribute("aria-label", `${label}. Arrow keys move over the cells${options.onOpen ? ", Enter opens one" : ""}.`);
      hovered = null;
      if (row !== undefined && step !== undefined) this.select(row, step);
      redraw();
    },
    /** Marks the cell of a row at the latest column up to a step. @param {string} row @param {number} step */
    select(row, step) {
      const index = data.rows.indexOf(row);
      let column = -1;
      while (column + 1 < data.steps.length && data.steps[column + 1] <= step) ++column;
      chosen = index < 0 || column < 0 ? null : { row: index, column };
      showCursor();
    },
    clear() {
      chosen = null;
      showCursor();
    },
    destroy() {
      cancelAnimationFrame(frame);
      resizes.disconnect();
      themeChanges.removeEventListener("change", redraw);
    },
  };
}
