// @ts-check
// What the page holds and shows, to be compared with what the API says.

import assert from "node:assert/strict";

/** A number of the API, where NaN and infinities are strings. @param {number | string | null} value */
export const number = (value) => (typeof value === "string" ? Number(value) : value);

/**
 * The series that the page keeps, as the columns of the API.
 * @param {import("./browser.js").Visit} visit
 * @returns {Promise<Record<string, {steps: number[], times: number[], values: number[]}>>}
 */
export function storedSeries(visit) {
  return visit.page.evaluate(() => {
    const store = /** @type {any} */ (window).vigil.store;
    const column = (/** @type {Float64Array} */ of, /** @type {number} */ length) => Array.from(of.subarray(0, length));
    return Object.fromEntries([...store.series.values()].map((one) => [one.name,
      { steps: column(one.steps, one.length), times: column(one.times, one.length), values: column(one.values, one.length) }]));
  });
}

/** What a chart draws, of each trace. @param {import("./browser.js").Visit} visit @param {string} id @returns {Promise<any[]>} */
export function drawnChart(visit, id) {
  return visit.page.evaluate((wanted) => /** @type {any} */ (window).vigil.charts.find((/** @type {any} */ one) => one.id === wanted).drawn, id);
}

/** The last step of the loss that the page has; 0: none. @param {import("./browser.js").Visit} visit */
export function lastStep(visit) {
  return visit.page.evaluate(() => {
    const loss = /** @type {any} */ (window).vigil?.store?.series?.get("loss");
    return loss?.length > 0 ? loss.steps[loss.length - 1] : 0;
  });
}

/** Waits until the Run view has its first steps. @param {import("./browser.js").Visit} visit @param {number} [step] at least up to this one */
export function untilStep(visit, step = 1) {
  return visit.until(`the page has step ${step}`, (least) => {
    const loss = /** @type {any} */ (window).vigil?.store?.series?.get("loss");
    return loss?.length > 0 && loss.steps[loss.length - 1] >= least && loss.steps[loss.length - 1];
  }, step);
}

/**
 * The page's series are those of the API: name by name, step by step, to the last digit.
 * @param {import("./browser.js").Visit} visit
 * @param {import("./servers.js").Server} server
 * @param {Record<string, any>} question  run, rank and whatever the page asks with
 */
export async function checkSeries(visit, server, question) {
  const stored = await storedSeries(visit);
  const names = Object.keys(stored);
  assert.ok(names.includes("loss") && names.includes("gradient_norm"), `the page keeps ${names}`);
  const { series } = await server.api("series", { ...question, name: names });
  assert.equal(series.length, names.length);
  for (const { name, steps, times, values } of series) {
    assert.deepEqual(stored[name].steps, steps, `steps of ${name}`);
    assert.deepEqual(stored[name].times, times, `times of ${name}`);
    assert.deepEqual(stored[name].values, values.map(number), `values of ${name}`);
  }
  return stored;
}

/**
 * Text of a figure as the page writes it must be the value, within the digits that are shown: three at least, two before a power of ten, and all of whole numbers.
 * @param {string | null} text @param {number} value @param {string} what
 */
export function checkFigure(text, value, what) {
  const shown = String(text).trim().replaceAll(",", "").replaceAll("−", "-").replace(/\+?Inf$/, (sign) => sign.replace("Inf", "Infinity"));
  if (shown === "< 0.01 %") return assert.ok(value > 0 && value < 1e-4, `${what}: "${text}" of ${value}`);
  if (shown === "> 99.9 %") return assert.ok(value > 0.999 && value < 1, `${what}: "${text}" of ${value}`);
  const [, digits, unit = ""] = /^(-?(?:[\d.]+(?:e-?\d+)?|Infinity)|NaN)\s*(.*)$/.exec(shown) ?? [];
  assert.ok(digits !== undefined, `${what}: "${text}" is no figure of ${value}`);
  const factors = /** @type {Record<string, number>} */ ({ "%": 0.01, ms: 1e-3, "µs": 1e-6, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 });
  const read = Number(digits) * (factors[unit] ?? 1);
  if (!Number.isFinite(value)) return assert.ok(Object.is(read, value), `${what}: shows "${text}", is ${value}`);
  const precision = Math.max(digits.replace(/e.*$/, "").replace(/[-.]/g, "").replace(/^0+/, "").length, digits.includes("e") ? 2 : 3);
  const allowed = Number.isInteger(value) && unit === "" ? 0 : Math.abs(value) * 10 ** (1 - precision);
  assert.ok(Math.abs(read - value) <= allowed, `${what}: shows "${text}", is ${value}`);
}

/**
 * A table that is shown: of each row its key, and of each cell what it says and the number behind that.
 * @param {import("./browser.js").Visit} visit @param {string} label
 * @returns {Promise<{key: string, cells: Record<string, {value: string, text: string}>}[]>}
 */
export function shownTable(visit, label) {
  return visit.page.locator(`table[aria-label="${label}"] tbody`).evaluate((body) => [...body.querySelectorAll("tr[data-key]")].map((row) => ({
    key: /** @type {HTMLElement} */ (row).dataset.key ?? "",
    cells: Object.fromEntries([...row.querySelectorAll("[data-column]")].map((cell) => [/** @type {HTMLElement} */ (cell).dataset.column,
      { value: /** @type {HTMLElement} */ (cell).dataset.value, text: cell.textContent }])),
  })));
}

/** What the view has for tests. @param {import("./browser.js").Visit} visit @returns {Promise<any>} */
export const viewStore = (visit) => visit.page.evaluate(() => /** @type {any} */ (window).vigil.view?.store ?? null);

/**
 * Goes to a view of a run, and waits until it is mounted.
 * @param {import("./browser.js").Visit} visit @param {string} view @param {{run: string, rank?: number}} of @param {Record<string, string>} [params]
 */
export async function goTo(visit, view, { run, rank = 0 }, params = {}) {
  const query = new URLSearchParams({ ...(view === "run" ? {} : { view }), ...params }).toString();
  await visit.go(`#/run/${encodeURIComponent(run)}/${rank}${query ? `?${query}` : ""}`);
  await visit.page.locator(`.view[data-view="${view}"]`).waitFor();
}
