// Rows, filters and figures of the Layers view.
import assert from "node:assert/strict";
import test from "node:test";

import { filterRows, joinRows, layerColumns, nameFilter, nonfiniteOf } from "../../dashboard/assets/layer_rows.js";
import { boundText, precisionColumns } from "../../dashboard/assets/precision.js";
import { figure, numberOrNull, percent, powerOfTwo, printable, raw } from "../../dashboard/assets/text.js";
import { columnsFor, hasSteps, loadHistory } from "../../dashboard/assets/tensor_history.js";

const tensors = [
  { kind: "buffer", tensor: "norm.mean", nan_values: 0, inf_values: 1 },
  { kind: "parameter", tensor: "a.weight", nan_values: 1, inf_values: 0 },
  { kind: "gradient", tensor: "a.weight", nan_values: 2, inf_values: 4 },
  { kind: "parameter", tensor: "b.weight", missing: "frozen" },
  { kind: "gradient", tensor: "only.gradient", nan_values: 0, inf_values: 0 },
];

test("a gradient stands beside its parameter, buffers come last, a gradient alone is kept", () => {
  const rows = joinRows(tensors);
  assert.deepEqual(rows.map(({ key }) => key), ["parameter:a.weight", "parameter:b.weight", "parameter:only.gradient", "buffer:norm.mean"]);
  assert.deepEqual([nonfiniteOf(rows[0], "nan_values"), nonfiniteOf(rows[0], "inf_values")], [3, 4]);
  assert.equal(rows[1].gradient, null);
  assert.equal(rows[2].gradient, tensors[4]);
});

test("a filter is a substring, an expression between slashes, or says what is wrong with it", () => {
  const rows = joinRows(tensors);
  const names = (by) => filterRows(rows, { text: "", onlyNonfinite: false, ...by }).rows.map(({ name }) => name);
  assert.deepEqual(names({ text: "WEIGHT" }), ["a.weight", "b.weight"]);
  assert.deepEqual(names({ text: "/^(a|norm)\\./" }), ["a.weight", "norm.mean"]);
  assert.deepEqual(names({ onlyNonfinite: true }), ["a.weight", "norm.mean"]);
  assert.match(nameFilter("/(/").problem, /Not a regular expression/);
  assert.equal(names({ text: "/(/" }).length, 4, "a half-written expression hides nothing");
});

test("names cannot break lines, hide or turn what stands beside them", () => {
  assert.equal(printable("a\nb\tc"), "a\\nb\\tc");
  assert.equal(printable("x\u202egnp\u202c"), "x\\u202egnp\\u202c");
  assert.equal(printable("\u200b\u0000"), "\\u200b\\u0000");
  assert.equal(printable("層.重み עברית 😀 <b>"), "層.重み עברית 😀 <b>");
});

test("figures: what is missing is not 0, and what is little is not nothing", () => {
  assert.deepEqual([figure(null), figure(undefined), figure("NaN"), figure(0)], ["–", "–", "NaN", "0"]);
  assert.deepEqual([numberOrNull(undefined), numberOrNull("-Infinity")], [null, -Infinity]);
  assert.deepEqual([percent(0), percent(1), percent(1e-9), percent(1 - 1e-9)], ["0 %", "100 %", "< 0.01 %", "> 99.9 %"]);
  assert.match(percent(0.25), /^25(\.0+)? %$/);
  assert.deepEqual([raw(null), raw("NaN"), raw(0.1)], ["", "NaN", "0.1"]);
  assert.equal(powerOfTwo(-28), "2⁻²⁸");
});

test("what is outside of bfloat16 is what is known of it, in order of the shares", () => {
  const row = { precision: { float16: { overflow: 0.25, subnormal: 0.5, underflow: 0.125 }, bfloat16: { overflow: 0.5 }, int8: { overflow: 0, subnormal: 0, verdict: "out_of_sight" } } };
  const value = (format, key) => precisionColumns(() => format).find((column) => column.key === key).value(row);
  assert.equal(value("float16", "outside"), 0.375);
  assert.equal(value("bfloat16", "outside"), 0.5);
  assert.equal(value("bfloat16", "underflow"), null);
  assert.equal(value("int8", "outside"), null);
});

test("a share that may be less says so", () => {
  assert.deepEqual([boundText(0.25, true), boundText(0.25, false), boundText(0, true), boundText(1e-9, true)], [`≤ ${percent(0.25)}`, percent(0.25), percent(0), percent(1e-9)]);
});

test("a norm that is shown as NaN ranks as NaN, and keeps its value", () => {
  const [broken, sound] = joinRows([
    { kind: "parameter", tensor: "a", l2_norm: 0, zero_ratio: 0.5, nan_values: 3, inf_values: 0 }, { kind: "parameter", tensor: "b", l2_norm: 7, nan_values: 0, inf_values: 0 },
  ]);
  const column = (key) => layerColumns(() => ({ steps: [], rows: new Map() })).find((one) => one.key === key);
  assert.deepEqual([broken, sound].map(column("norm").rank), [NaN, 7]);
  assert.equal(column("norm").value(broken), 0);
  assert.equal(column("zero_ratio").rank(broken), 0.5);
  assert.equal(column("gradient_norm").rank(broken), null);
});

test("counts of NaN and Inf come to the columns of their steps, though a frame came in between", async () => {
  const answers = {
    l2_norm: { steps: [10, 20], times: [1, 2], tensors: ["w"], values: [[0, null]] },
    nan_values: { steps: [10, 20, 30], times: [1, 2, 3], tensors: ["w"], values: [[5, null, 9]] },
    inf_values: { steps: [5, 10, 20], times: [0, 1, 2], tensors: ["w"], values: [[7, 2, null]] },
  };
  const context = { question: (more) => more, api: { get: async (path, { statistic, until }) => (assert.deepEqual([path, until], ["tensors/heatmap", 30]), answers[statistic]) } };
  const history = await loadHistory(context, { kind: "gradient", statistic: "l2_norm", columns: 50, until: 30 }, new AbortController().signal);
  assert.deepEqual(history.values, [[0, null]]);
  assert.deepEqual(history.nonfinite, [[7, null]]);
  assert.ok(columnsFor(5000) * 5000 <= 120000 && columnsFor(10) === 200);
});

test("nothing is asked before a run's first step, of the attempt that is looked at", () => {
  const attempts = [{ attempt: 2, last_step: 0 }, { attempt: 1, last_step: 7 }];
  assert.equal(hasSteps({ run: { attempts }, selection: { attempt: null } }), false);
  assert.equal(hasSteps({ run: { attempts }, selection: { attempt: 1 } }), true);
  assert.equal(hasSteps({ run: { step: 3 }, selection: { attempt: null } }), true);
});
