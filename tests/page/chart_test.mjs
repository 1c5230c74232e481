// What a chart paints and says, without a browser.
import assert from "node:assert/strict";
import test from "node:test";

// Colours come from the stylesheet: each is its own name here.
Object.assign(globalThis, {
  document: { documentElement: { dataset: {} } },
  matchMedia: () => ({ addEventListener() {} }),
  getComputedStyle: () => ({ getPropertyValue: (/** @type {string} */ name) => name }),
});
const { paintAnnotations } = await import("../../dashboard/assets/plot_painting.js");

/** What was filled, in order: colour, and where the path began. */
function painted(annotations) {
  const signs = [];
  let from = NaN;
  const ctx = new Proxy({}, {
    get: (target, name) => target[name] ?? ((x) => {
      if (name === "beginPath") from = NaN;
      else if (name === "moveTo" && Number.isNaN(from)) from = x;
      else if (name === "arc") from = x;
      else if (name === "fill") signs.push([target.fillStyle, Math.round(from)]);
    }),
  });
  paintAnnotations({ ctx, left: 0, top: 10, width: 100, height: 50, ratio: 1, isLog: false, x0: 0, perX: 1, y0: 0, perY: 1 }, annotations);
  return signs;
}

test("where events share a place the gravest is painted, and the gravest of all last", () => {
  const at = (x, severity) => ({ x, severity, title: "", text: "" });
  const signs = painted([at(20, "info"), at(20.2, "critical"), at(20.4, "warning"), at(40, "critical"), at(60, "info"), at(61, "info"), at(80, "warning"), at(200, "critical")]);
  assert.deepEqual(signs.map(([colour]) => colour).filter((colour) => colour !== "--info"), ["--warning", "--critical", "--critical"]);
  assert.equal(signs[0][0], "--info");
  const critical = signs.filter(([colour]) => colour === "--critical").map(([, x]) => x);
  assert.ok(critical.some((x) => Math.abs(x - 20) < 6) && critical.some((x) => Math.abs(x - 40) < 6), `${critical}`);
});
