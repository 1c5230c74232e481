// The linter on the dashboards as they are, and on one broken dashboard for each of its checks.
import assert from "node:assert/strict";
import test from "node:test";

import { exclusions } from "./exclusions.mjs";
import { checks, lint } from "./linter.mjs";
import { dashboards } from "./dashboards.mjs";

test("the linter finds nothing but what is excluded for a reason", () => {
  const used = new Set();
  const found = [];
  for (const dashboard of dashboards) {
    for (const finding of lint(dashboard)) {
      const exclusion = exclusions.find(
        (row) =>
          row.dashboard === dashboard.uid &&
          row.check === finding.check &&
          row.panel.test(finding.panel) &&
          (row.problem?.test(finding.problem) ?? true),
      );
      if (exclusion === undefined) found.push(`${dashboard.uid}: ${finding.check}: ${finding.panel}: ${finding.problem}`);
      else used.add(exclusion);
    }
  }
  assert.deepEqual(found, []);
  assert.deepEqual(
    exclusions.filter((row) => !used.has(row)),
    [],
    "exclusions without a finding",
  );
});

const dashboard = (change) => {
  const whole = structuredClone(dashboards.find(({ uid }) => uid === "vigil-run"));
  change(whole);
  return whole;
};
const panel = (whole, title) => whole.panels.find((one) => one.title === title);
const variable = (whole, name) => whole.templating.list.find((one) => one.name === name);
const expression = (change) => dashboard((whole) => (panel(whole, "Loss").targets[0].expr = change(panel(whole, "Loss").targets[0].expr)));

/** What breaks a check, and a part of what it then says. */
const breaks = {
  "template-datasource": [dashboard((whole) => whole.templating.list.shift()), "no variable datasource"],
  "template-job": [dashboard((whole) => (variable(whole, "job").allValue = ".*")), "not .+"],
  "template-instance": [dashboard((whole) => (variable(whole, "instance").multi = false)), "several values"],
  "template-label-promql": [dashboard((whole) => (variable(whole, "rank").query = "label_values(vigil_up{run=, rank)")), "not PromQL"],
  "template-on-time-change-reload": [dashboard((whole) => (variable(whole, "run").refresh = 1)), "time range"],
  "panel-datasource": [dashboard((whole) => (panel(whole, "Loss").targets[0].datasource = { type: "prometheus", uid: "mine" })), "does not ask"],
  "panel-title-description": [dashboard((whole) => delete panel(whole, "Step").description), "no description"],
  "panel-units": [dashboard((whole) => (panel(whole, "Step").fieldConfig.defaults.unit = "parsecs")), "parsecs"],
  "panel-no-targets": [dashboard((whole) => (panel(whole, "Step").targets = [])), "no query"],
  "target-promql": [expression((text) => text + " +"), "not PromQL"],
  "target-rate-interval": [expression((text) => `rate(${text}[5m])`), "window of 5m"],
  "target-job": [expression((text) => text.replace('job=~"$job"', 'job="vigil"')), 'job=~"$job"'],
  "target-instance": [expression((text) => text.replace('instance=~"$instance",', "")), 'instance=~"$instance"'],
  "target-counter-agg": [expression((text) => text.replace("vigil_loss", "vigil_examples_total")), "vigil_examples_total"],
  "uneditable-dashboard": [dashboard((whole) => (whole.editable = true)), "edited"],
};

const known = JSON.stringify(lint(dashboard(() => {})));
for (const check of Object.keys(checks)) {
  test(`${check} finds what is broken`, () => {
    assert.ok(check in breaks, "there is no broken dashboard for it");
    const [broken, part] = breaks[check];
    const found = lint(broken, [check]).filter((finding) => !known.includes(JSON.stringify(finding)));
    assert.equal(found.length, 1, JSON.stringify(found));
    assert.ok(found[0].problem.includes(part), found[0].problem);
  });
}

test("titles of panels that exclusions and expectations name are those of one panel each", () => {
  for (const { uid, panels } of dashboards) {
    const named = panels.filter(({ type }) => type !== "row").map(({ title, type }) => `${title} (${type})`);
    assert.equal(new Set(named).size, named.length, uid);
  }
});

test("dashboards are linked, refer to themselves only, and keep Grafana's limits", () => {
  const uids = dashboards.map(({ uid }) => uid);
  assert.equal(new Set(uids).size, 6);
  for (const whole of dashboards) {
    assert.ok(whole.uid.length <= 40);
    assert.deepEqual(whole.tags, ["vigil"]);
    const [link] = whole.links;
    assert.deepEqual([link.type, link.tags, link.includeVars, link.keepTime], ["dashboards", ["vigil"], true, true]);
    for (const [, uid] of JSON.stringify(whole).matchAll(/\/d\/([a-z-]+)\?/g)) assert.ok(uids.includes(uid), `${whole.uid} leads to ${uid}`);
    const names = whole.templating.list.map(({ name }) => name);
    for (const [, name] of JSON.stringify([whole.panels, whole.annotations, whole.templating]).matchAll(/\$\{?([a-z]+)\b/g)) {
      assert.ok(names.includes(name), `${whole.uid} has no variable ${name}`);
    }
  }
});

test("a NaN is red and says so in every panel", () => {
  for (const { uid, panels } of dashboards) {
    for (const { type, title, fieldConfig } of panels) {
      if (type === "row") continue;
      const nan = fieldConfig.defaults.mappings.find((mapping) => mapping.options.match === "nan");
      assert.deepEqual(nan?.options.result, { text: "NaN", color: "red", index: 0 }, `${uid}: ${title}`);
    }
  }
});

test("panels do not overlap", () => {
  for (const { uid, panels } of dashboards) {
    const taken = new Set();
    for (const { title, gridPos } of panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, `${uid}: ${title}`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; ++x) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; ++y) {
          assert.ok(!taken.has(`${x},${y}`), `${uid}: ${title} lies over another panel`);
          taken.add(`${x},${y}`);
        }
      }
    }
  }
});
