// A real training (MNIST), watched live at its own endpoint and by vigild, until it is over.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { startBrowser, visit } from "./browser.js";
import { endWithTests } from "./end_of_tests.js";
import { temporaryFolder, until } from "./programs.js";
import { checkSeries, goTo, lastStep, storedSeries, untilStep } from "./reading.js";
import { checkServedFiles } from "./served_files.js";
import { startMnist, startVigild } from "./servers.js";
import { checkAlerts, checkLayers, checkNumerics, checkRun, checkSystem, checkTensor } from "./view_checks.js";

const folder = temporaryFolder();
const of = { run: "mnist", rank: 0 };
const away = [/ERR_CONNECTION_REFUSED/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/, /ERR_INCOMPLETE_CHUNKED/];
/** @type {import("./servers.js").Server} */
let vigild;
/** @type {import("./servers.js").Server} */
let trainer;

before(async () => {
  [vigild, trainer] = await Promise.all([startVigild(folder), startMnist(folder, "mnist")]);
  await startBrowser();
});
endWithTests();

for (const [who, server] of /** @type {[string, () => import("./servers.js").Server][]} */ ([["the trainer's own endpoint", () => trainer], ["vigild", () => vigild]])) {
  describe(`a training that goes on, at ${who}`, () => {
    test("is followed step by step, none of them lost, none more than two seconds late", async () => {
      await until("the run is there", () => server().run("mnist"));
      const page = await visit(`${server().url}/`);
      await untilStep(page);
      const begin = await lastStep(page);
      const late = [];
      for (let i = 0; i < 3; ++i) {
        const { step } = await server().run("mnist");
        const seen = performance.now();
        await untilStep(page, step);
        late.push((performance.now() - seen) / 1000);
      }
      late.sort((a, b) => a - b);
      console.log(`steps behind at ${who}, s: ${late.map((one) => one.toFixed(2))}`);
      assert.ok(late[1] <= 2, `${late}`);
      const { loss } = await storedSeries(page);
      const since = loss.steps.filter((step) => step >= begin);
      assert.ok(since.length > 20);
      assert.deepEqual(since, since.map((_, i) => begin + i), "each step once");
      const known = (await server().api("series", { ...of, name: "loss", since: begin - 1, until: since.at(-1) ?? 0, max_points: 20_000 })).series[0];
      assert.deepEqual(known.steps, since);
      assert.deepEqual(known.values, loss.values.slice(-since.length));
    });

    test("is shown in Layers and System as the API has it", async () => {
      const page = await visit(`${server().url}/#/run/mnist/0`);
      await untilStep(page);
      await goTo(page, "layers", of);
      await page.until("a history of frames", () => /** @type {any} */ (window).vigil.view?.store?.history?.steps?.length > 3);
      // Held, so that what is compared is one frame.
      await page.page.keyboard.press("l");
      await page.until("not live", () => !(/** @type {any} */ (window).vigil.live));
      await checkLayers(page, server(), of);
      await page.page.keyboard.press("l");
      await checkSystem(page, server(), of);
    });
  });
}

describe("the trainer", () => {
  test("hands out the same page as vigild", () => checkServedFiles(trainer));

  test("is gone at the end of the training: its page says so and keeps what it has, vigild says finished", async () => {
    const page = await visit(`${trainer.url}/#/run/mnist/0`);
    await untilStep(page);
    page.expected.push(...away);
    trainer.program.child.kill("SIGINT");
    await trainer.program.exit;
    await page.until("the page says that it is offline", () => /** @type {any} */ (window).vigil.connection === "offline");
    assert.ok((await storedSeries(page)).loss.steps.length > 0);
    assert.ok(await page.page.locator("[data-series=loss] canvas").isVisible());
    await until("vigild says finished", async () => (await vigild.run("mnist")).state === "finished");
  });
});

describe("the training when it is over, at vigild", () => {
  test("is shown as the API has it in every view", async () => {
    const page = await visit(`${vigild.url}/`);
    const run = await checkRun(page, vigild, of);
    await page.page.locator(".state", { hasText: "finished" }).first().waitFor();
    assert.match(trainer.program.output, new RegExp(`^${run.attempts[0].last_step} steps in`, "m"));
    const { answer } = await checkLayers(page, vigild, of);
    assert.deepEqual(answer.tensors.filter((/** @type {any} */ one) => one.kind === "parameter").map((/** @type {any} */ one) => one.tensor),
      ["conv1", "norm1", "conv2", "fc1", "fc2"].flatMap((layer) => [`${layer}.weight`, `${layer}.bias`]));
    await checkTensor(page, vigild, of, "parameter", "fc1.weight");
    await checkTensor(page, vigild, of, "gradient", "conv2.weight");
    const { counted, stretches } = await checkNumerics(page, vigild, of);
    assert.deepEqual(stretches, []);
    assert.ok(counted.length >= 20, "magnitudes of every parameter and gradient are counted");
    await checkAlerts(page, vigild, of);
    await checkSystem(page, vigild, of);
    await goTo(page, "run", of);
    await untilStep(page, run.attempts[0].last_step);
    await checkSeries(page, vigild, of);
  });
});
