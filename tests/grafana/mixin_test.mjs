// The mixin gives the rules of deploy/prometheus, and what may be set is.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { dashboards } from "./dashboards.mjs";
import { load } from "./packages.mjs";

const { parse } = load("yaml");
const root = fileURLToPath(new URL("../../", import.meta.url));

function ran(variable, tool, ...command) {
  const program = process.env[variable] ?? "";
  if (program === "" || program.endsWith("-NOTFOUND")) throw new Error(`${tool} was not found when the build was configured: run scripts/setup.sh`);
  const { status, stdout, stderr } = spawnSync(program, command, { encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

const made = (what, config = "{}") =>
  JSON.parse(
    ran("VIGIL_JSONNET", "jsonnet", "-J", join(root, "deploy/mixin"), "-e", `((import 'mixin.libsonnet') + {_config+:: ${config}}).${what}`),
  );
const rulesOf = ({ groups }) => groups.flatMap(({ rules }) => rules);

test("the rules are those of deploy/prometheus, and Prometheus takes them", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "vigil-mixin-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const files = ["alerts", "catalogue", "dashboards"].map((name) => parse(readFileSync(join(root, "deploy/prometheus", `${name}.yml`), "utf8")));
  const given = { groups: [...made("prometheusAlerts").groups, ...made("prometheusRules").groups] };
  assert.deepEqual(
    given.groups,
    files.flatMap(({ groups }) => groups),
  );
  // JSON is YAML.
  writeFileSync(join(folder, "rules.yml"), JSON.stringify(given));
  ran("VIGIL_PROMTOOL", "promtool", "check", "rules", "--lint-fatal", join(folder, "rules.yml"));
});

test("the dashboards are those that are shipped", () => {
  const given = made("grafanaDashboards");
  assert.deepEqual(
    Object.keys(given),
    dashboards.map(({ uid }) => `${uid}.json`),
  );
  for (const dashboard of dashboards) assert.deepEqual(given[`${dashboard.uid}.json`], dashboard);
});

test("prefixes, job, severities, labels and what is left out are as set", () => {
  const config = `{
    runbookPrefix: 'https://git/', dashboardPrefix: 'https://grafana', job: 'trainers', without: ['VigilStalled'],
    severities: {VigilSeriesDropped: 'warning'}, labels: {team: 'training'}, catalogue: false,
  }`;
  const alerts = rulesOf(made("prometheusAlerts", config)).filter(({ alert }) => alert !== undefined);
  const alert = (name) => alerts.find((rule) => rule.alert === name);
  assert.equal(alerts.length, 12, "13, without one");
  assert.equal(alert("VigilStalled"), undefined);
  assert.deepEqual(alert("VigilSeriesDropped").labels, { severity: "warning", team: "training" });
  assert.deepEqual(alert("VigilRunHung").labels, { severity: "critical", team: "training" });
  assert.equal(alert("VigilRunHung").annotations.runbook_url, "https://git/docs/runbooks/VigilRunHung.md");
  assert.ok(alert("VigilRunHung").annotations.dashboard_url.startsWith("https://grafana/d/vigil-ranks?var-run={{"));
  assert.equal(alert("VigilTargetDown").expr.match(/job="trainers"/g).length, 4);
  assert.doesNotMatch(alert("VigilTargetDown").expr, /job="vigil"/);
});
