// @ts-check
// Makes the pictures of README and docs from real trainings. scripts/screenshots.sh starts it.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { closeVisits, startBrowser, stopBrowser, visit } from "./browser.js";
import { withPalette } from "./palette_png.js";
import { built, Program, stopAll, temporaryFolder, until } from "./programs.js";
import { goTo } from "./reading.js";
import { startMnist, startVigild } from "./servers.js";

const width = 1280;
const steps = 1800;

/** @typedef {{name: string, view: string, run: string, waits: string, scheme?: "dark" | "light", width?: number, height?: number, params?: Record<string, string>}} Picture */

/** @type {Picture[]} */
const pictures = [
  { name: "page-run", view: "run", run: "mnist", waits: ".event[data-kind]", scheme: "light", height: 980 },
  { name: "page-run-dark", view: "run", run: "mnist-nan", waits: ".event[data-kind=nonfinite]", height: 980 },
  { name: "page-layers", view: "layers", run: "mnist", waits: ".heatmap[data-columns]", scheme: "light", height: 1180 },
  { name: "page-tensor", view: "layers", run: "mnist", params: { tensor: "fc1.weight", kind: "gradient" }, waits: ".tensor-panel .heatmap[data-columns]", height: 900 },
  { name: "page-numerics", view: "numerics", run: "mnist-nan", waits: ".origin-message", height: 1180 },
  { name: "page-compare", view: "compare", run: "", waits: ".view[data-view=compare] .chart", scheme: "light", height: 760 },
  { name: "page-alerts", view: "alerts", run: "mnist-nan", waits: "tr[data-key]", height: 620 },
  { name: "page-system", view: "system", run: "mnist", waits: ".metric-card", height: 980 },
  { name: "page-phone", view: "run", run: "mnist-nan", waits: ".event[data-kind]", width: 390, height: 844 },
];

/** @param {string} out @param {string} url @param {Picture} picture */
async function take(out, url, picture) {
  const page = await visit(`${url}/`, { width: picture.width ?? width, height: picture.height, scheme: picture.scheme ?? "dark" });
  if (picture.view === "compare") {
    const runs = ["mnist", "mnist-momentum", "mnist-nan"].map((run) => `run=${encodeURIComponent(`${run}/0`)}`);
    await page.go(`#/compare?${runs.join("&")}`);
    await page.until("all runs", () => /** @type {any} */ (window).vigil.charts[0]?.drawn.filter((/** @type {any} */ one) => one.points > 0).length === 3);
  } else {
    await goTo(page, picture.view, { run: picture.run }, picture.params);
  }
  await page.page.locator(picture.waits).first().waitFor();
  await page.page.waitForLoadState("networkidle", { timeout: 2000 }).catch(() => {}); // the page goes on asking
  if (picture.view === "system") await page.until("a curve of readings", () => /** @type {any} */ (window).vigil.view.store.readings > 4);
  await page.until("nothing loads", () => document.querySelector("[aria-busy=true]") === null);
  const png = withPalette(await page.page.screenshot({ animations: "disabled", caret: "hide" }));
  const file = join(out, `${picture.name}.png`);
  writeFileSync(file, png);
  console.log(`${file}: ${Math.ceil(png.length / 1000)} kB`);
  await closeVisits();
}

/** The report of a model that a training has saved. @param {string} out @param {string} folder @param {string} model */
async function takeReport(out, folder, model) {
  const inspect = new Program(built("VIGIL_CLI"), ["inspect", model, "--report", "report.html"], { cwd: folder });
  if ((await inspect.exit) !== 0) throw new Error(inspect.output);
  const { page } = await visit(pathToFileURL(join(folder, "report.html")).href, { width, height: 900, scheme: "light" });
  const png = withPalette(await page.screenshot({ fullPage: true }));
  const file = join(out, "model-report.png");
  writeFileSync(file, png);
  console.log(`${file}: ${Math.ceil(png.length / 1000)} kB`);
  await closeVisits();
}

const out = process.argv[2];
if (!out) throw new Error("usage: screenshots.js DIR");
mkdirSync(out, { recursive: true });
const folder = temporaryFolder();
try {
  const vigild = await startVigild(folder);
  const most = ["--max-steps", String(steps)];
  const trainings = await Promise.all([
    startMnist(folder, "mnist", ...most, "--save", "mnist.pt"),
    startMnist(folder, "mnist-momentum", ...most, "--optimizer", "momentum", "--seed", "2"),
    startMnist(folder, "mnist-nan", ...most, "--inject-nan-at", "1200", "--layer", "conv2", "--on-nonfinite", "skip_step", "--seed", "3"),
  ]);
  console.log(`three trainings of ${steps} steps`);
  await Promise.all(trainings.map(({ program }) => program.exit));
  for (const run of ["mnist", "mnist-momentum", "mnist-nan"]) await until(`${run} is over`, async () => (await vigild.run(run))?.state === "finished");
  await startBrowser();
  for (const picture of pictures) await take(out, vigild.url, picture);
  await takeReport(out, folder, "mnist.pt");
} finally {
  await stopBrowser();
  await stopAll();
}
