// A trainer that is started again at its port, under its name: its attempt is 1 again.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeVisits, startBrowser, stopBrowser, visit } from "./browser.js";
import { stopAll, temporaryFolder } from "./programs.js";
import { storedSeries, untilStep } from "./reading.js";
import { startMnist } from "./servers.js";

before(startBrowser);
after(async () => {
  await stopBrowser();
  await stopAll();
});

test("a page that stays open shows the steps of the new process, each once", async () => {
  const folder = temporaryFolder();
  const first = await startMnist(folder, "again");
  const page = await visit(`${first.url}/`, { before: async (made) => void made.expected.push(/ERR_CONNECTION_|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|ERR_INCOMPLETE_CHUNKED/) });
  await untilStep(page, 60);
  const [{ attempts: [{ start_time: begin }] }] = await page.page.evaluate(() => /** @type {any} */ (window).vigil.runs);
  await first.stop("SIGKILL");
  await startMnist(folder, "again", "--port", first.port);
  await page.until("the new process is known", (old) => ![undefined, old].includes(/** @type {any} */ (window).vigil.runs?.[0]?.attempts?.[0]?.start_time), begin);
  await page.until("its first step is shown", () => /** @type {any} */ (window).vigil.store?.series?.get("loss")?.steps[0] === 1 && /** @type {any} */ (window).vigil.store.series.get("loss").length > 5);
  await page.until("the older steps are gone", (old) => {
    const loss = /** @type {any} */ (window).vigil.store?.series?.get("loss");
    return loss?.length > 5 && loss.times[0] > old;
  }, (await page.page.evaluate(() => /** @type {any} */ (window).vigil.runs[0].attempts[0].start_time)) - 1);
  const { steps } = (await storedSeries(page)).loss;
  assert.deepEqual(steps, steps.map((_, i) => i + 1));
  await closeVisits();
});
