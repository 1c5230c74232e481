// The report that `vigil inspect` writes, as a browser shows it: of a saved model, of one with names and values that nobody wants, and of a run.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { visit } from "./browser.js";
import { endWithTests } from "./end_of_tests.js";
import { faintTexts, isDark, tooWide } from "./layout.js";
import { built, finish, temporaryFolder } from "./programs.js";
import { ringFolder, startRingTrainer } from "./servers.js";

endWithTests();

const golden = join(dirname(fileURLToPath(import.meta.url)), "../inspection/golden");

/** @param {string} model @param {string} folder */
async function reportOf(model, folder) {
  const report = join(folder, "report.html");
  await finish(built("VIGIL_CLI"), ["inspect", model, "--report", report]);
  return pathToFileURL(report).href;
}

/** At every width and in both schemes it fits, can be read, and has nothing that is drawn outside of its picture. @param {string} url */
async function checkLayout(url) {
  for (const [width, height] of [[1280, 900], [390, 844]]) {
    for (const scheme of /** @type {const} */ (["light", "dark"])) {
      const { page } = await visit(url, { width, height, scheme });
      assert.equal(await page.evaluate(isDark), scheme === "dark");
      assert.deepEqual(await page.evaluate(tooWide), [], `${width}, ${scheme}`);
      assert.deepEqual(await page.evaluate(faintTexts, 4.5), [], `${width}, ${scheme}`);
      const outside = await page.evaluate(() => [...document.querySelectorAll("svg")].flatMap((svg) => {
        const frame = svg.getBoundingClientRect();
        return [...svg.querySelectorAll("path, text")].map((one) => one.getBoundingClientRect())
          .filter((box) => box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2 || box.bottom > frame.bottom + 2)
          .map((box) => `${svg.textContent}: ${box.left} to ${box.right}, ${box.top} to ${box.bottom}`);
      }));
      assert.deepEqual(outside, [], `${width}, ${scheme}`);
      assert.ok(await page.evaluate(() => [...document.querySelectorAll("svg")].every((svg) => svg.clientWidth > 50 && svg.clientHeight > 10)));
    }
  }
}

describe("the report", () => {
  test("of a saved model fits and can be read at any width, light and dark", async () => {
    const url = await reportOf(join(golden, "module_2_6.pt"), temporaryFolder());
    await checkLayout(url);
    const { page } = await visit(url);
    assert.equal(await page.locator("h1").innerText(), "module_2_6.pt");
    assert.equal(await page.locator("#group-0 tbody tr").count(), 10);
    assert.equal(await page.locator("script").count(), 0);
    // A keyboard comes to what can be scrolled.
    assert.equal(await page.locator(".scroll:not([tabindex='0'])").count(), 0);
  });

  test("of many tensors of all types does, too", async () => {
    await checkLayout(await reportOf(join(golden, "types_2_6.pt"), temporaryFolder()));
  });

  test("of a run shows parameters beside their gradients", async () => {
    const folder = temporaryFolder();
    const trainer = await startRingTrainer(folder, "report");
    const [ring] = readdirSync(ringFolder(folder)).filter((name) => name.endsWith(".ring"));
    const url = await reportOf(join(ringFolder(folder), ring), folder);
    await trainer.stop();
    await checkLayout(url);
    const { page } = await visit(url);
    assert.equal(await page.locator("h2", { hasText: "Parameters and their gradients" }).count(), 1);
  });

  test("can be printed: no navigation, and no table is cut", async () => {
    const { page } = await visit(await reportOf(join(golden, "module_2_6.pt"), temporaryFolder()));
    await page.emulateMedia({ media: "print", colorScheme: "light" });
    await page.setViewportSize({ width: 1030, height: 710 }); // what is left of A4, landscape
    assert.deepEqual(await page.evaluate(tooWide), []);
    assert.equal(await page.locator("nav").isVisible(), false);
    assert.equal(await page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.querySelector(".scroll"))).overflowX), "visible");
  });
});
