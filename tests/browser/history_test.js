// Runs that are over, out of the history: long ones, wide ones, several over each other, and ones with hostile names.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { startBrowser, visit } from "./browser.js";
import { endWithTests } from "./end_of_tests.js";
import { temporaryFolder } from "./programs.js";
import { checkFigure, drawnChart, goTo, number, shownTable, untilStep } from "./reading.js";
import { makeHistory, startVigild } from "./servers.js";
import { checkAlerts, checkHistory, checkLayerCells, checkLayers, checkNumerics, checkRun, checkTensor } from "./view_checks.js";

const folder = temporaryFolder();
/** @type {import("./servers.js").Server} */
let vigild;

before(async () => {
  await makeHistory(folder, "ten_thousand", "wide", "pair", "hostile");
  vigild = await startVigild(folder);
  await startBrowser();
});
endWithTests();

describe("a history of 10,000 steps", () => {
  const of = { run: "ten_thousand", rank: 0 };

  test("is shown as the API has it in every view", async () => {
    const page = await visit(`${vigild.url}/#/run/ten_thousand/0`);
    const run = await checkRun(page, vigild, of);
    assert.equal(run.attempts[0].steps, 10_000);
    const { history } = await checkLayers(page, vigild, of);
    // make_frame() has a histogram of the first parameter, and of its gradient.
    await checkTensor(page, vigild, of, "parameter", "layer0.weight");
    const { messages, shown } = await checkNumerics(page, vigild, of);
    assert.deepEqual([...messages], ["step 7000: aten::log in layer2 made 6 NaN"]);
    assert.deepEqual(shown.map((/** @type {any} */ one) => [one.kind, one.name]), [["gradient", "layer2.weight"]]);
    assert.ok(history.steps.includes(7000), "the frame with the NaN is a column");
    const [firing] = await checkAlerts(page, vigild, of);
    assert.equal(firing.details.alert, "nonfinite_gradient");
  });

  test("shows every step where one zooms in, and no extreme is lost before", async () => {
    const page = await visit(`${vigild.url}/#/run/ten_thousand/0`);
    await untilStep(page, 10_000);
    const all = (await vigild.api("series", { ...of, name: "loss", max_points: 20_000 })).series[0];
    const [whole] = await drawnChart(page, "loss");
    assert.equal(Math.max(...whole.values), Math.max(...all.values));
    assert.equal(Math.min(...whole.values), Math.min(...all.values));
    const box = await page.page.locator("[data-series=loss] .u-over").boundingBox();
    assert.ok(box);
    await page.page.mouse.move(box.x + box.width * 0.4, box.y + 40);
    await page.page.mouse.down();
    await page.page.mouse.move(box.x + box.width * 0.5, box.y + 40, { steps: 4 });
    await page.page.mouse.up();
    await page.until("every step of the zoom", () => {
      const [trace] = /** @type {any} */ (window).vigil.charts.find((/** @type {any} */ one) => one.id === "loss").drawn;
      return trace.steps.length > 100 && trace.steps.every((/** @type {number} */ step, /** @type {number} */ i) => i === 0 || step === trace.steps[i - 1] + 1);
    });
    const [zoomed] = await drawnChart(page, "loss");
    zoomed.steps.forEach((/** @type {number} */ step, /** @type {number} */ i) => assert.equal(zoomed.values[i], all.values[step - 1]));
    const others = await drawnChart(page, "gradient_norm");
    assert.deepEqual([others[0].steps[0], others[0].steps.at(-1)], [zoomed.steps[0], zoomed.steps.at(-1)], "all charts are zoomed alike");
    await page.page.getByRole("button", { name: /Reset zoom/ }).click();
    await page.until("the whole run again", () => /** @type {any} */ (window).vigil.charts[0].drawn[0].steps[0] === 1);
  });

  test("marks the step that was not finite in red", async () => {
    const page = await visit(`${vigild.url}/#/run/ten_thousand/0`);
    await untilStep(page, 10_000);
    const [trace] = await drawnChart(page, "gradient_norm");
    assert.deepEqual(trace.nonfiniteSteps, [7000]);
    await page.until("a red mark", () => /** @type {HTMLElement} */ (document.querySelector("[data-series=gradient_norm] .plot")).dataset.nonfinite === "1");
  });
});

describe("a model of 500 parameters", () => {
  const of = { run: "wide", rank: 0 };

  test("is filtered and sorted as the API's figures say", async () => {
    const page = await visit(`${vigild.url}/#/run/wide/0?view=layers`);
    const { answer, history } = await checkLayers(page, vigild, of);
    assert.equal(answer.tensors.filter((/** @type {any} */ one) => one.kind === "parameter").length, 500);
    assert.equal(history.tensors.length, 500);
    await checkHistory(history, vigild, of);
    const table = page.page.locator('table[aria-label="Parameters"]');
    const gradients = new Map(answer.tensors.filter((/** @type {any} */ one) => one.kind === "gradient" && !one.missing).map((/** @type {any} */ one) => [one.tensor, one.l2_norm]));
    const sorted = [...gradients].sort((a, b) => b[1] - a[1]).map(([name]) => name);
    const first = async (/** @type {number} */ count) => (await shownTable(page, "Parameters")).slice(0, count).map(({ key }) => key.replace("parameter:", ""));

    await table.getByRole("button", { name: /^Grad norm\W*$/ }).click();
    assert.deepEqual(await first(20), sorted.slice(0, 20));
    await table.getByRole("button", { name: /^Grad norm\W*$/ }).click();
    assert.deepEqual(await first(20), [...sorted].reverse().slice(0, 20));

    await page.page.getByPlaceholder(/Filter/).fill("layer49");
    const named = answer.tensors.filter((/** @type {any} */ one) => one.kind === "parameter" && one.tensor.includes("layer49")).map((/** @type {any} */ one) => one.tensor);
    await page.until("the filter", (count) => Number(document.querySelector('table[aria-label="Parameters"]')?.getAttribute("aria-rowcount")) === count + 1, named.length);
    const rows = await shownTable(page, "Parameters");
    assert.deepEqual(new Set(rows.map(({ key }) => key.replace("parameter:", ""))), new Set(named));
    checkLayerCells(rows, answer);
    await page.page.getByPlaceholder(/Filter/).fill("/^layer(7|12)\\.weight$/");
    await page.until("the expression", () => document.querySelector('table[aria-label="Parameters"]')?.getAttribute("aria-rowcount") === "3");
  });
});

describe("two runs over each other", () => {
  test("are drawn with every figure that the API has of each", async () => {
    const page = await visit(`${vigild.url}/#/compare?run=pair%252Fa/0&run=pair%252Fb/0`);
    const runs = [{ run: "pair/a", rank: 0 }, { run: "pair/b", rank: 0 }];
    for (const name of ["loss", "parameter_norm"]) {
      await page.page.getByLabel("Series", { exact: true }).selectOption(name);
      await page.until(`both runs' ${name}`, (wanted) => {
        const [chart] = /** @type {any} */ (window).vigil.charts;
        return chart?.id === wanted && chart.drawn.length === 2 && chart.drawn.every((/** @type {any} */ trace) => trace.points > 0);
      }, name);
      const traces = await drawnChart(page, name);
      for (const [i, of] of runs.entries()) {
        const [series] = (await vigild.api("series", { ...of, name })).series;
        assert.ok(traces[i].label.includes(of.run));
        const at = new Map(series.steps.map((/** @type {number} */ step, /** @type {number} */ place) => [step, series.values[place]]));
        assert.equal(traces[i].points, series.steps.length);
        assert.ok(traces[i].steps.length > 100);
        traces[i].steps.forEach((/** @type {number} */ step, /** @type {number} */ place) => assert.ok(Object.is(traces[i].values[place], number(at.get(step))), `${name} of ${of.run} at ${step}`));
        const finite = series.values.filter((/** @type {unknown} */ value) => typeof value === "number");
        const row = page.page.locator(`tr[data-key="${encodeURIComponent(of.run)}/0"]`);
        const cell = async (/** @type {string} */ which) => (await row.locator(`[data-value=${which}]`).innerText()).replace(/ at step.*/s, "");
        checkFigure(await cell("last"), number(series.values.at(-1)) ?? NaN, "last");
        checkFigure(await cell("lowest"), Math.min(...finite), "lowest");
        checkFigure(await cell("highest"), Math.max(...finite), "highest");
      }
    }
    // By time they begin together, whenever they were started.
    await page.page.getByRole("button", { name: "Time", exact: true }).click();
    await page.until("times", () => /** @type {any} */ (window).vigil.charts[0]?.x === "times");
    await page.page.getByRole("checkbox", { checked: true }).last().click();
    await page.until("one run", () => /** @type {any} */ (window).vigil.charts[0]?.drawn.length === 1);
  });
});

describe("names that would be markup", () => {
  test("are text in every view", async () => {
    const { run, rank } = (await vigild.api("runs")).runs.find((/** @type {any} */ one) => one.run.startsWith("<img"));
    const page = await visit(`${vigild.url}/`);
    for (const view of ["run", "layers", "numerics", "alerts", "system"]) {
      await goTo(page, view, { run, rank });
      if (view === "run") await untilStep(page, 500);
      if (view === "layers") {
        await page.until("rows", () => document.querySelectorAll('table[aria-label="Parameters"] tr[data-key]').length > 2);
        await page.page.locator('table[aria-label="Parameters"] tr[data-key]').first().click();
        await page.page.locator(".tensor-panel").waitFor();
      }
      if (view === "numerics") await page.page.locator(".origin-message").waitFor();
      if (view === "alerts") await page.page.locator('table[aria-label="Alerts that fired"] tr[data-key]').waitFor();
    }
    await page.page.keyboard.press("r");
    await page.page.locator("dialog[open]").waitFor();
    assert.equal(await page.page.locator('img:not(.logo), script:not([src]), b').count(), 0);
    assert.doesNotMatch(await page.page.title(), /^taken$/);
    assert.ok(await page.page.locator("dialog[open]").getByText("<img src=x").first().isVisible(), "the name is there, as text");
  });
});
