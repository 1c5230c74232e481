// A run at 100 steps a second, watched by a page while vigild goes away and comes back, until the run ends.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { closeVisits, startBrowser, stopBrowser, visit } from "./browser.js";
import { stopAll, temporaryFolder, until } from "./programs.js";
import { checkSeries, lastStep, storedSeries, untilStep } from "./reading.js";
import { makeHistory, startRingTrainer, startVigild } from "./servers.js";

const away = [/ERR_CONNECTION_REFUSED/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/, /ERR_SOCKET_NOT_CONNECTED/, /ERR_INCOMPLETE_CHUNKED/];
const everyStepOnce = (/** @type {number[]} */ steps) => assert.deepEqual(steps, steps.map((_, i) => i + 1));

describe("the page at 100 steps a second", () => {
  const folder = temporaryFolder();
  /** @type {import("./servers.js").Server} */
  let vigild;
  /** @type {import("./programs.js").Program} */
  let trainer;
  /** @type {import("./browser.js").Visit} */
  let page;

  before(startBrowser);
  after(async () => {
    await trainer?.stop("SIGKILL");
    await vigild?.stop();
  });

  test("says what to do where there is no run yet, and goes on by itself when one begins", async () => {
    vigild = await startVigild(folder);
    // A run that has just begun is not in the history yet.
    page = await visit(`${vigild.url}/`, { before: async (made) => void made.expected.push(/404.*[?&]run=fast&/) });
    await page.page.getByRole("heading", { name: "No run yet" }).waitFor();
    await page.page.evaluate(() => { /** @type {any} */ (window).isSamePage = true; });
    trainer = await startRingTrainer(folder, "fast", "--interval-us", "10000");
    await untilStep(page);
    page.expected.pop();
    assert.equal(await page.page.evaluate(() => /** @type {any} */ (window).vigil.route.run), "fast");
  });

  test("has every step once, and shows none more than two seconds late", async () => {
    const late = [];
    for (let i = 0; i < 5; ++i) {
      const { step } = await vigild.run("fast");
      const seen = performance.now();
      await untilStep(page, step);
      late.push((performance.now() - seen) / 1000);
    }
    late.sort((a, b) => a - b);
    console.log(`steps behind, s: ${late.map((one) => one.toFixed(2))}`);
    // The median: other work on the machine may hold up a single one.
    assert.ok(late[2] <= 2, `${late}`);
    everyStepOnce((await storedSeries(page)).loss.steps);
    await checkSeries(page, vigild, { run: "fast", until: await lastStep(page) });
  });

  test("says so when vigild is gone, keeps what it has, and goes on without a reload when it is back", async () => {
    page.expected.push(...away);
    const { port } = vigild;
    await vigild.stop("SIGKILL");
    await page.until("the page says that it is offline", () => /** @type {any} */ (window).vigil.connection === "offline");
    await page.page.locator("#connection").getByText(/does not answer|disconnected|lost|offline/i).first().waitFor();
    const kept = await storedSeries(page);
    assert.ok(kept.loss.steps.length > 0);
    assert.ok(await page.page.locator("[data-series=loss] canvas").isVisible());
    vigild = await startVigild(folder, { port });
    const { step } = await until("vigild knows the run", () => vigild.run("fast"));
    await untilStep(page, step);
    await page.until("the page says that it is online", () => /** @type {any} */ (window).vigil.connection === "online");
    assert.equal(await page.page.evaluate(() => /** @type {any} */ (window).isSamePage), true);
    const stored = await storedSeries(page);
    assert.deepEqual(stored.loss.steps.slice(0, kept.loss.steps.length), kept.loss.steps);
    everyStepOnce(stored.loss.steps);
    await checkSeries(page, vigild, { run: "fast", until: await lastStep(page) });
    page.checkClean();
  });

  test("says that the run crashed when its process was killed, and keeps all of its steps", async () => {
    await trainer.stop("SIGKILL");
    const run = await until("vigild says crashed", async () => {
      const one = await vigild.run("fast");
      return one.state === "crashed" && one;
    });
    await untilStep(page, run.attempts[0].last_step);
    await page.page.locator(".state", { hasText: "crashed" }).first().waitFor();
    await page.page.getByText(run.reason).first().waitFor();
    everyStepOnce((await storedSeries(page)).loss.steps);
    page.checkClean();
  });

  test("says that a run finished", async () => {
    const short = await startRingTrainer(folder, "short", "--steps", "300", "--interval-us", "1000");
    await short.exit;
    await until("vigild says finished", async () => {
      const run = await vigild.run("short");
      return run?.state === "finished" && run.attempts?.[0]?.last_step === 300;
    });
    await page.go("#/run/short/0");
    await page.page.locator(".state", { hasText: "finished" }).first().waitFor();
    await untilStep(page, 300);
    await checkSeries(page, vigild, { run: "short" });
    await closeVisits();
  });
});

describe("before there is anything to show", () => {
  after(async () => {
    await stopBrowser();
    await stopAll();
  });
  afterEach(closeVisits);

  test("the page says that it is loading, until the steps have come", async () => {
    const folder = temporaryFolder();
    await makeHistory(folder, "pair");
    const vigild = await startVigild(folder);
    let release = () => {};
    const held = new Promise((resolve) => (release = () => resolve(undefined)));
    const page = await visit(`${vigild.url}/`, {
      before: ({ page: context }) => context.route("**/api/v1/series**", async (route) => {
        await held;
        await route.continue();
      }),
    });
    await page.page.locator("[aria-busy=true]").first().waitFor();
    assert.equal(await lastStep(page), 0);
    release();
    await untilStep(page);
    await page.until("nothing is busy", () => document.querySelector("[aria-busy=true]") === null);
  });

  test("the page says what to do where vigild keeps no history", async () => {
    const folder = temporaryFolder();
    const program = await startRingTrainer(folder, "unkept", "--interval-us", "10000");
    const vigild = await startVigild(folder, { flags: ["--storage.disabled"] });
    await until("vigild knows the run", () => vigild.run("unkept"));
    const page = await visit(`${vigild.url}/`, { before: async (made) => void made.expected.push(/503/) });
    await page.page.getByText("--storage.path").first().waitFor();
    await program.stop("SIGKILL");
  });
});
