// A real training (MNIST) in which one gradient becomes NaN, and which is killed afterwards.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { startBrowser, visit } from "./browser.js";
import { endWithTests } from "./end_of_tests.js";
import { temporaryFolder, until } from "./programs.js";
import { drawnChart, goTo, shownTable, untilStep } from "./reading.js";
import { startMnist, startVigild } from "./servers.js";
import { checkAlerts, checkLayers, checkNumerics, checkRun } from "./view_checks.js";

const folder = temporaryFolder();
const of = { run: "nan", rank: 0 };
const injectedAt = 60;
/** @type {import("./servers.js").Server} */
let vigild;
/** @type {import("./servers.js").Server} */
let trainer;

before(async () => {
  [vigild, trainer] = await Promise.all([startVigild(folder),
    startMnist(folder, "nan", "--inject-nan-at", String(injectedAt), "--layer", "conv2", "--on-nonfinite", "skip_step")]);
  await startBrowser();
});
endWithTests();

/** The report of the origin in the words of the API, once it is there. @param {import("./servers.js").Server} server @returns {Promise<string>} */
const reportOf = (server) => until("the report", async () => {
  const { events } = await server.api("events", of);
  return events.findLast((/** @type {any} */ one) => one.kind === "nonfinite")?.details.message;
});

describe("a NaN in a training that goes on", () => {
  test("is marked in red, and reported in the words of the API, at the trainer's own endpoint", async () => {
    const message = await reportOf(trainer);
    assert.match(message, /conv2/);
    const page = await visit(`${trainer.url}/#/run/nan/0`);
    await untilStep(page, injectedAt + 1);
    await page.until("a red mark", () => Number(/** @type {HTMLElement} */ (document.querySelector("[data-series=gradient_norm] .plot")).dataset.nonfinite) > 0);
    const [trace] = await drawnChart(page, "gradient_norm");
    assert.deepEqual(trace.nonfiniteSteps, [injectedAt]);
    await goTo(page, "numerics", of);
    // A report that tells more may have come since, with this one behind it.
    await page.page.locator(`.origin [data-message=${JSON.stringify(message)}]`).waitFor();
  });
});

describe("a run with a NaN that was killed, at vigild", () => {
  test("says crashed, and shows the NaN in every view as the API has it", async () => {
    await until("steps after the NaN", async () => (await vigild.run("nan"))?.step > injectedAt + 100);
    await trainer.stop("SIGKILL");
    const { reason } = await until("vigild says crashed", async () => {
      const run = await vigild.run("nan");
      return run.state === "crashed" && run;
    });
    const page = await visit(`${vigild.url}/`);
    await checkRun(page, vigild, of);
    await page.page.locator(".state", { hasText: "crashed" }).first().waitFor();
    await page.page.getByText(reason).first().waitFor();
    const [trace] = await drawnChart(page, "gradient_norm");
    assert.deepEqual(trace.nonfiniteSteps, [injectedAt]);
    const event = page.page.locator(`.event[data-kind=nonfinite][data-step="${injectedAt}"]`);
    assert.ok((await event.innerText()).includes(await reportOf(vigild)));

    const { messages, stretches, shown } = await checkNumerics(page, vigild, of);
    assert.deepEqual(stretches, [{ first: injectedAt, last: injectedAt, count: 1 }]);
    assert.ok(messages.has(await reportOf(vigild)));
    const shownText = await page.page.locator(".origin-message").first().innerText();
    assert.equal(shownText, await page.page.locator(".origin-message").first().getAttribute("data-message"));
    assert.ok(shown.some((/** @type {any} */ one) => one.kind === "gradient" && one.name === "conv2.weight"), "the tensor is a row of the timeline");

    const firings = await checkAlerts(page, vigild, of);
    assert.ok(firings.some((/** @type {any} */ one) => one.details.alert === "nonfinite_gradient"));

    // The frame of the NaN in the table.
    await checkLayers(page, vigild, of);
    await goTo(page, "layers", of, { step: String(injectedAt) });
    await page.until("the frame of the NaN", (step) => /** @type {any} */ (window).vigil.view?.store?.frame?.step === step, injectedAt);
    const rows = await shownTable(page, "Parameters");
    const { cells } = /** @type {any} */ (rows.find(({ key }) => key === "parameter:conv2.weight"));
    assert.equal(cells.gradient_norm.text, "NaN");
    assert.ok(Number(cells.nan_values.value) > 0);
  });
});
