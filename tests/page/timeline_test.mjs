// Alerts, reports of non-finite steps, and the ranks of a run.
import assert from "node:assert/strict";
import test from "node:test";

import { originsOf } from "../../dashboard/assets/origin_report.js";
import { median, missingRanks, rankRows } from "../../dashboard/assets/rank_spread.js";
import { firingsOf, stillFiring } from "../../dashboard/assets/timeline.js";

const alert = (state, step, parameter = "w", alert = "gradient_spike") => ({ kind: "alert", step, time: step / 10, details: { alert, state, parameter, severity: "warning", since_step: step, since_time: step / 10, sentence: `at ${step}` } });

test("an alert ends with the event of the same alert and parameter, and may fire again", () => {
  const firings = firingsOf([
    alert("firing", 10), alert("firing", 12, "v"), alert("firing", 14, "w", "dead_units"), alert("resolved", 20), alert("resolved", 25), alert("resolved", 21, "unknown"), alert("firing", 30), { kind: "state", step: 31, time: 3, details: {} },
  ]);
  assert.deepEqual(firings.map(({ alert, parameter, begin, end, endTime }) => [alert, parameter, begin, end, endTime]), [
    ["gradient_spike", "w", 30, null, null], ["dead_units", "w", 14, null, null], ["gradient_spike", "v", 12, null, null], ["gradient_spike", "w", 10, 20, 2],
  ]);
});

test("what began and did not end still fires, since the step at which it began", () => {
  const found = stillFiring([alert("firing", 10), alert("firing", 12, "v"), alert("resolved", 20), { kind: "state", step: 31, time: 3, details: { state: "finished" } }]);
  assert.deepEqual(found.map(({ alert, parameter, since_step, sentence }) => [alert, parameter, since_step, sentence]), [["gradient_spike", "v", 12, "at 12"]]);
});

test("of each streak the report that tells most comes first, the latest streak on top", () => {
  const event = (step, found_by) => ({ kind: "nonfinite", step, details: { found_by } });
  const found = originsOf([event(5, "bracket"), event(5, "replay"), alert("firing", 6), event(9, "bracket"), event(9, "trace")]);
  assert.deepEqual(found.map((streak) => streak.map(({ step, details }) => `${step} ${details.found_by}`)), [["9 trace", "9 bracket"], ["5 replay", "5 bracket"]]);
});

test("ranks stand out that are slow, behind, or gone while the others go on", () => {
  const rank = (rank, step, step_seconds, state = "running") => ({ run: "ddp", rank, step, step_seconds, state });
  const rows = rankRows([rank(3, 990, 0.1), rank(0, 1000, 0.1), rank(1, 1001, 0.14), rank(2, 900, 0.1), rank(4, 700, 0.1, "crashed"), { run: "other", rank: 0, step: 1, step_seconds: 9, state: "running" }], "ddp");
  assert.deepEqual(rows.map(({ rank, mark }) => [rank, mark]), [[0, ""], [1, "slow"], [2, "behind"], [3, ""], [4, "crashed"]]);
  assert.deepEqual([rows[2].lag, rows[1].lag], [90, -11]);
  assert.ok(Math.abs(rows[1].ratio - 1.4) < 1e-12);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.deepEqual(rankRows([rank(0, 5, 0.1, "finished"), rank(1, 9, 0.1, "finished")], "ddp").map(({ mark }) => mark), ["", ""]);
});

test("ranks that are not there are told", () => {
  const rows = [0, 1, 3].map((rank) => ({ run: "ddp", rank, step: 9, step_seconds: 0.1, state: "running" }));
  assert.deepEqual(missingRanks(rankRows(rows, "ddp"), 4), [2]);
  assert.deepEqual(missingRanks(rankRows(rows.slice(0, 2), "ddp"), 2), []);
});
