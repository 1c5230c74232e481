// Each alert has its runbook, and each runbook its alert; the queries in runbooks are of series that exist.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import test from "node:test";

import { dashboards } from "./dashboards.mjs";
import { parsed } from "./promql.mjs";
import { runbookQueries, runbooks } from "./runbooks.mjs";

const root = new URL("../../", import.meta.url);
const files = ["alerts.yml", "catalogue.yml"];
const text = (path) => readFileSync(new URL(path, root), "utf8");

/** Annotations and severity of each alert of both files, as they stand there. */
function alertsOf(file) {
  const entries = text(`deploy/prometheus/${file}`)
    .split(/^ +- (?=alert:|record:)/m)
    .filter((entry) => entry.startsWith("alert:"));
  return entries.map((entry) => {
    const value = (key) => new RegExp(`^ *${key}: (.*)$`, "m").exec(entry)?.[1];
    return { name: value("alert"), file, severity: value("severity"), runbook: value("runbook_url"), dashboard: value("dashboard_url") };
  });
}
const alerts = files.flatMap(alertsOf);

test("each alert has a runbook, and each runbook an alert", () => {
  assert.equal(alerts.length, 43);
  assert.deepEqual([...runbooks.keys()].sort(), alerts.map(({ name }) => name).sort());
  for (const { name, runbook } of alerts) {
    assert.equal(runbook, `docs/runbooks/${name}.md`);
    assert.ok(existsSync(new URL(runbook, root)), runbook);
  }
});

test("alerts lead to a dashboard that is there, with the run chosen", () => {
  for (const { name, dashboard } of alerts) {
    const [, uid, query] = /^\/d\/([a-z-]+)\?(.*)$/.exec(dashboard);
    const whole = dashboards.find((one) => one.uid === uid);
    assert.ok(whole, `${name}: ${uid}`);
    const names = whole.templating.list.map((variable) => variable.name);
    for (const [, variable] of query.matchAll(/var-([a-z]+)=/g)) assert.ok(names.includes(variable), `${name}: ${uid} has no variable ${variable}`);
  }
});

test("a runbook says what it means, what it costs, how to look and what to do", () => {
  for (const { name, file, severity, dashboard } of alerts) {
    const book = runbooks.get(name);
    assert.deepEqual(book.match(/^#+ .*$/gm), [`# ${name}`, "## Meaning", "## Impact", "## Diagnosis", "## What to do"], name);
    assert.ok(book.includes(`Severity ${severity}; [deploy/prometheus/${file}]`), name);
    const { title } = dashboards.find(({ uid }) => dashboard.startsWith(`/d/${uid}?`));
    assert.ok(book.includes(`dashboard *${title}*`), `${name}: ${title}`);
    for (const [, target] of book.matchAll(/\]\(([^)]+)\)/g))
      assert.ok(existsSync(new URL(target, new URL("docs/runbooks/", root))), `${name}: ${target}`);
  }
});

test("queries of runbooks are PromQL over metrics that are documented, or recorded", () => {
  const known = new Set(text("docs/metrics.md").match(/(?<=^\| `)\w+/gm));
  for (const file of readdirSync(new URL("deploy/prometheus/", root))) {
    for (const record of text(`deploy/prometheus/${file}`).match(/(?<=- record: )\S+/g) ?? []) known.add(record);
  }
  for (const suffix of ["bucket", "sum", "count"]) known.add(`vigil_step_duration_seconds_${suffix}`);
  for (const metric of ["up", "scrape_samples_scraped"]) known.add(metric);
  const queries = runbookQueries();
  assert.ok(queries.length > 100);
  for (const { name, query } of queries) {
    const { selectors, error } = parsed(query);
    assert.equal(error, null, `${name}: ${query}`);
    for (const { metric } of selectors) assert.ok(known.has(metric), `${name}: nothing is known of ${metric}`);
  }
});

test("the table of alerts leads to the runbooks", () => {
  assert.match(text("docs/alerts.md"), /\]\(runbooks\)/);
});
