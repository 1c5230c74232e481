// On a phone, in the dark and in the light, and without a mouse.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { startBrowser, visit } from "./browser.js";
import { endWithTests } from "./end_of_tests.js";
import { faintTexts, isDark, overlappingTexts, tooWide } from "./layout.js";
import { temporaryFolder } from "./programs.js";
import { goTo, untilStep } from "./reading.js";
import { makeHistory, startVigild } from "./servers.js";

const folder = temporaryFolder();
const of = { run: "ten_thousand", rank: 0 };
/** @type {import("./servers.js").Server} */
let vigild;

before(async () => {
  await makeHistory(folder, "ten_thousand", "pair");
  vigild = await startVigild(folder);
  await startBrowser();
});
endWithTests();

/** What a view has when it is all there. */
const there = /** @type {Record<string, string>} */ ({
  run: '.event[data-kind]', layers: 'table[aria-label="Parameters"] tr[data-key]', numerics: ".origin-message",
  alerts: 'table[aria-label="Alerts that fired"] tr[data-key]', system: "[data-fact=model]", compare: ".view[data-view=compare] .chart",
});

/** Goes through all views. @param {import("./browser.js").Visit} page @param {(view: string) => Promise<void>} look */
async function throughViews(page, look) {
  for (const [view, selector] of Object.entries(there)) {
    if (view === "compare") await page.go("#/compare?run=pair%252Fa/0&run=pair%252Fb/0");
    else await goTo(page, view, of, view === "layers" ? { tensor: "layer0.weight", kind: "parameter" } : {});
    await page.page.locator(selector).first().waitFor();
    if (view === "run") await untilStep(page, 10_000);
    if (view === "layers") await page.page.locator("svg.distribution").waitFor();
    await look(view);
  }
}

describe("every view", () => {
  test("has texts of a contrast of 4.5 or more in the dark and in the light, none over another, and fits a phone", async () => {
    const page = await visit(`${vigild.url}/`);
    const look = async (/** @type {string} */ what) => {
      for (const scheme of /** @type {("dark" | "light")[]} */ (["dark", "light"])) {
        await page.page.emulateMedia({ colorScheme: scheme });
        assert.equal(await page.page.evaluate(isDark), scheme === "dark", "the page follows the system's colours");
        assert.deepEqual(await page.page.evaluate(faintTexts, 4.5), [], `${what} in the ${scheme}`);
      }
      assert.deepEqual(await page.page.evaluate(overlappingTexts), [], what);
      await page.page.setViewportSize({ width: 360, height: 740 });
      assert.deepEqual(await page.page.evaluate(tooWide), [], `${what} at 360 pixels`);
      assert.deepEqual(await page.page.evaluate(overlappingTexts), [], `${what} at 360 pixels`);
      await page.page.setViewportSize({ width: 1280, height: 900 });
    };
    await throughViews(page, look);
    for (const [key, what] of [["r", "the choice of a run"], ["?", "the help"]]) {
      await page.page.keyboard.press(key);
      await page.page.locator("dialog[open]").waitFor();
      await look(what);
      await page.page.keyboard.press("Escape");
    }
  });
});

describe("with the keyboard alone", () => {
  test("one reaches every view, moves over a chart, and opens a tensor", async () => {
    const page = await visit(`${vigild.url}/#/run/ten_thousand/0`);
    const { keyboard } = page.page;
    const viewIs = (/** @type {string} */ view) => page.until(`the view ${view}`, (wanted) => /** @type {any} */ (window).vigil.route.view === wanted, view);
    const focused = () => page.page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200) ?? "");
    await untilStep(page, 10_000);
    await keyboard.press("Tab");
    assert.match(await focused(), /class="skip"/);
    for (const [key, view] of [["2", "layers"], ["3", "numerics"], ["4", "alerts"], ["5", "system"], ["6", "compare"], ["1", "run"]]) {
      await keyboard.press(key);
      await viewIs(view);
    }
    await untilStep(page, 10_000);

    // On to the first chart, whichever controls stand before it.
    for (let i = 0; i < 60 && !(await page.page.evaluate(() => document.activeElement?.matches(".plot"))); ++i) await keyboard.press("Tab");
    assert.match(await focused(), /class="plot"/);
    const outline = await page.page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.activeElement)).outlineStyle);
    assert.notEqual(outline, "none", "what has the focus is seen");
    await keyboard.press("End");
    await keyboard.press("ArrowLeft");
    await keyboard.press("+");
    await page.until("a zoom", () => /** @type {any} */ (window).vigil.charts[0].group.zoom !== null);
    await keyboard.press("Escape");
    await page.until("the whole run", () => /** @type {any} */ (window).vigil.charts[0].group.zoom === null);

    await keyboard.press("2");
    await viewIs("layers");
    await page.page.locator('table[aria-label="Parameters"] tr[data-key]').first().waitFor();
    await keyboard.press("/");
    await page.until("the focus in the filter", () => document.activeElement?.matches("input[type=search]"));
    await keyboard.type("layer2");
    await page.until("one row", () => document.querySelectorAll('table[aria-label="Parameters"] tr[data-key]').length === 1);
    for (let i = 0; i < 40 && !(await page.page.evaluate(() => document.activeElement?.matches("tr[data-key]"))); ++i) await keyboard.press("Tab");
    assert.match(await focused(), /data-key="parameter:layer2.weight"/);
    await keyboard.press("Enter");
    await page.page.locator(".tensor-panel[data-tensor='layer2.weight']").waitFor();
    await keyboard.press("Escape");
    await page.page.locator(".tensor-panel").waitFor({ state: "hidden" });

    await keyboard.press("r");
    await page.page.locator("dialog[open]").waitFor();
    await keyboard.type("pair/b");
    await keyboard.press("Enter");
    await page.until("the run that was chosen", () => /** @type {any} */ (window).vigil.route.run === "pair/b");
    await keyboard.press("?");
    await page.page.locator("dialog[open]").waitFor();
    await keyboard.press("Escape");
    await page.page.locator("dialog[open]").waitFor({ state: "detached" }).catch(() => assert.fail("Escape closes the help"));
  });
});
