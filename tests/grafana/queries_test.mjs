// Every query of every panel, variable and annotation, and every rule, asked of a Prometheus that scrapes real trainings: a healthy one, one
// with a NaN, and one of three ranks of which one is killed, each as its trainer serves it and as vigild does.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test, { after, before } from "node:test";

import { dashboards } from "./dashboards.mjs";
import { annotations, empty, firing, numbers, optionalLabels } from "./expectations.mjs";
import { kGoldenRun } from "./golden_run.mjs";
import { waitFor } from "./processes.mjs";
import { runbookQueries } from "./runbooks.mjs";
import { Trainings, ruleFiles } from "./trainings.mjs";
import { resolved, substituted } from "./variables.mjs";

const kJobs = { trainer: "vigil", vigild: "vigil-runs" };
const scenarios = ["healthy", "nan", "ranks"].flatMap((run) => Object.keys(kJobs).map((way) => ({ name: `${run}, ${way}`, run, job: kJobs[way] })));
scenarios.push({ name: "golden exposition", run: kGoldenRun, job: kJobs.trainer });
const panelsOf = (dashboard) => dashboard.panels.filter(({ type }) => type !== "row");
const nameOf = (dashboard, panel) => `${dashboard.uid}/${panel.title} (${panel.type})`;
const labelsOf = (legend) => [...(legend ?? "").matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);

/** @type {Trainings} */
let trainings;
/** Variables of each dashboard in each scenario, once all is there. */
let resolvedVariables;
let seconds = 0;
const began = Date.now();

before(async () => {
  trainings = new Trainings();
  await trainings.begin();
  const { prometheus } = trainings;
  const now = () => Date.now() / 1000;
  const count = async (query) => (await prometheus.instant(query, now())).length;
  // The rank that is to be killed has to be known of before, in both ways.
  await waitFor("the ranks", async () => (await count('count_over_time(vigil_steps_total{run="ranks",rank="1",job=~"vigil.*"}[1m]) >= 5')) === 2);
  await trainings.trainers.get("rank1").end("SIGKILL");
  await waitFor("the crash", async () => (await count('ALERTS{alertname="VigilRunCrashed",alertstate="firing",run="ranks",rank="1"}')) === 1);
});

after(() => trainings.end());

/** Series of each query of a panel. */
async function answers(panel, variables) {
  const { prometheus, start } = trainings;
  const now = Date.now() / 1000;
  return Promise.all(
    panel.targets.map(async (target) => {
      const query = substituted(target.expr, variables.values, variables.allValues);
      const series = target.instant === true ? await prometheus.instant(query, now) : await prometheus.range(query, start, Math.floor(now), 1);
      return { target, query, series };
    }),
  );
}

const variablesOf = (dashboard, scenario, more = {}) =>
  resolved(dashboard, { run: scenario.run, job: scenario.job, ...more }, (selector, label) =>
    trainings.prometheus.labelValues(selector, label, trainings.start, Date.now() / 1000),
  );

/** The variables of each dashboard in each scenario. */
async function chains() {
  const made = new Map();
  for (const dashboard of dashboards) {
    made.set(dashboard, new Map());
    await inParallel(scenarios, async (scenario) => made.get(dashboard).set(scenario, await variablesOf(dashboard, scenario)));
  }
  return made;
}

/** A panel in a scenario, and what it showed when it was asked last. */
class View {
  constructor(dashboard, panel, scenario) {
    this.scenario = scenario;
    this.panel = panel;
    this.dashboard = dashboard;
    this.name = nameOf(dashboard, panel);
    this.row = empty.find((row) => row.panel.test(this.name) && row.scenario.test(scenario.name));
  }

  async look(variables) {
    this.found = await answers(this.panel, variables.get(this.dashboard).get(this.scenario));
  }

  /** Whether each query has series; of the first `shown` of them only, where the others are to have none. */
  get isRight() {
    if (this.row?.mayShow === true) return true;
    const filled = this.row === undefined ? this.found.length : (this.row.shown ?? 0);
    return this.found.every(({ series }, index) => series.length > 0 === index < filled);
  }

  get problems() {
    const problems = [];
    if (!this.isRight) {
      const what = this.found.map(({ query, series }) => `${series.length} of ${query}`).join("; ");
      problems.push(`${this.row === undefined ? "does not show all" : "is not as empty as expected"}: ${what}`);
    }
    for (const { target, series } of this.found) {
      for (const label of labelsOf(target.legendFormat)) {
        if (!optionalLabels.has(label) && series.some(({ metric }) => !metric[label])) problems.push(`legend {{${label}}} is missing`);
      }
    }
    for (const { panel, scenario, is, what } of numbers) {
      if (panel !== this.name || !scenario.test(this.scenario.name)) continue;
      const shown = Number(this.found[0].series[0]?.values.at(-1)[1]);
      if (!is(shown)) problems.push(`shows ${shown}, not ${what}`);
    }
    return problems.map((problem) => `${this.name} in ${this.scenario.name}: ${problem}`);
  }
}

test("every panel shows what is there, and nothing where nothing is", async () => {
  const views = dashboards.flatMap((dashboard) =>
    panelsOf(dashboard).flatMap((panel) => scenarios.map((scenario) => new View(dashboard, panel, scenario))),
  );
  let pending = views;
  await waitFor(
    "all panels",
    async () => {
      const variables = await chains();
      await inParallel(pending, (view) => view.look(variables));
      pending = pending.filter((view) => !view.isRight);
      return pending.length === 0 ? true : null;
    },
    20,
  ).catch(() => {});
  // Once more at the end: what is to be empty has to stay so.
  resolvedVariables = await chains();
  await inParallel(
    views.filter(({ row }) => row !== undefined),
    (view) => view.look(resolvedVariables),
  );
  seconds = (Date.now() - began) / 1000;
  console.log(rendered(views));
  assert.deepEqual(
    views.flatMap((view) => view.problems),
    [],
  );
  assert.deepEqual(
    empty.filter((row) => !views.some((view) => view.row === row)),
    [],
    "expectations that match no panel",
  );
  assert.deepEqual(
    numbers.filter(({ panel }) => !views.some(({ name }) => name === panel)),
    [],
    "numbers of no panel",
  );
});

test("every column of a table is a label, or a query, of what it shows", async () => {
  for (const dashboard of dashboards) {
    const variables = resolvedVariables.get(dashboard).get(scenarios.at(-1));
    for (const panel of panelsOf(dashboard).filter(({ type }) => type === "table")) {
      const found = await answers(panel, variables);
      const fields = new Set(found.flatMap(({ series }) => series.flatMap(({ metric }) => Object.keys(metric))));
      found.forEach(({ target }) => fields.add(found.length > 1 ? `Value #${target.refId}` : "Value"));
      const { names } = panel.transformations.find(({ id }) => id === "filterFieldsByName").options.include;
      for (const name of names) assert.ok(fields.has(name), `${nameOf(dashboard, panel)} has no ${name} among ${[...fields]}`);
    }
  }
});

test("every variable offers what there is, and choosing one of each still shows something", async () => {
  for (const dashboard of dashboards) {
    for (const scenario of scenarios) {
      const { offered } = resolvedVariables.get(dashboard).get(scenario);
      for (const [name, values] of offered) assert.ok(values.length > 0, `${dashboard.uid}: ${name} offers nothing in ${scenario.name}`);
      assert.ok(offered.get("run").includes(scenario.run), `${dashboard.uid}: ${offered.get("run")}`);
      assert.deepEqual(offered.get("rank") ?? [], offered.has("rank") ? (scenario.run === "ranks" ? ["0", "1", "2"] : ["0"]) : [], dashboard.uid);
      assert.ok(offered.get("job").includes(scenario.job));
    }
    // One layer and one parameter: what is filtered by them is still there.
    const [scenario] = scenarios;
    const chosen = { rank: "0" };
    for (const name of ["instance", "layer", "parameter"]) {
      const { offered } = await variablesOf(dashboard, scenario, chosen);
      if (offered.has(name)) chosen[name] = offered.get(name).find((value) => value.includes(".")) ?? offered.get(name)[0];
    }
    const variables = await variablesOf(dashboard, scenario, chosen);
    for (const panel of panelsOf(dashboard)) {
      const view = new View(dashboard, panel, scenario);
      if (view.row !== undefined) continue;
      for (const { query, series } of await answers(panel, variables)) assert.ok(series.length > 0, `${view.name}: ${query}`);
    }
  }
});

test("annotations mark what happened", async () => {
  const { prometheus, start } = trainings;
  for (const dashboard of dashboards) {
    assert.deepEqual(
      dashboard.annotations.list.map(({ name }) => name),
      Object.keys(annotations),
    );
    await inParallel(scenarios, async (scenario) => {
      const { values, allValues } = resolvedVariables.get(dashboard).get(scenario);
      for (const { name, expr, titleFormat, textFormat } of dashboard.annotations.list) {
        const where = `${name} of ${dashboard.uid} in ${scenario.name}`;
        const { shown, mayShow } = annotations[name];
        const series = await prometheus.range(substituted(expr, values, allValues), start, Math.floor(Date.now() / 1000), 1);
        if (!mayShow?.test(scenario.name)) assert.equal(series.length > 0, shown.test(scenario.name), where);
        for (const label of labelsOf(titleFormat + textFormat)) {
          if (!optionalLabels.has(label))
            for (const { metric } of series) assert.ok(metric[label], `${where}: no ${label} in ${JSON.stringify(metric)}`);
        }
      }
    });
  }
});

test("every rule is evaluated without an error, and alerts fire where something is wrong", async () => {
  const { prometheus, folder } = trainings;
  const rules = await prometheus.rules();
  const written = ruleFiles.map((file) => readFileSync(join(folder, file), "utf8").match(/- (alert|record): /g).length);
  assert.equal(
    rules.length,
    written.reduce((sum, count) => sum + count, 0),
  );
  assert.deepEqual(
    rules.filter(({ health }) => health !== "ok").map(({ name, lastError }) => `${name}: ${lastError}`),
    [],
  );
  const ofDashboards = readFileSync(join(folder, "dashboards.yml"), "utf8").match(/(?<=- record: )\S+/g);
  for (const { query, name, type } of rules) {
    const series = await prometheus.instant(query, Date.now() / 1000);
    if (type === "recording" && ofDashboards.includes(name)) assert.ok(series.length > 0, `${name} records nothing`);
  }
  const ours = readFileSync(join(folder, "alerts.yml"), "utf8").match(/(?<=- alert: )\w+/g);
  for (const [run, names] of Object.entries(firing)) {
    const alerts = await prometheus.instant(`ALERTS{alertstate="firing",run="${run}"}`, Date.now() / 1000);
    const fired = new Set(alerts.map(({ metric }) => metric.alertname).filter((name) => ours.includes(name)));
    assert.deepEqual([...fired].sort(), names, run);
  }
});

async function inParallel(items, act, width = 8) {
  const left = [...items];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await act(item);
    }),
  );
}

/** Series of each panel's queries by scenario. */
function rendered(views) {
  const columns = scenarios.map(({ name }) => name);
  const lines = new Map();
  for (const view of views) lines.set(view.name, [...(lines.get(view.name) ?? []), view.found.map(({ series }) => series.length).join("+")]);
  return [
    `series that each query of a panel returned after ${seconds.toFixed(0)} s:`,
    `| panel | ${columns.join(" | ")} |`,
    `|---|${columns.map(() => "---|").join("")}`,
    ...[...lines].map(([name, cells]) => `| ${name} | ${cells.join(" | ")} |`),
  ].join("\n");
}

test("what runbooks tell people to ask is answered, and finds the NaN and the rank that is gone", async () => {
  const { prometheus } = trainings;
  const found = new Map();
  for (const place of [
    { RUN: "nan", RANK: "0", LAYER: "conv2", PARAMETER: "conv2.weight" },
    { RUN: "ranks", RANK: "1", LAYER: "conv2", PARAMETER: "conv2.weight" },
  ]) {
    await inParallel(runbookQueries(place), async ({ name, query }) => {
      const series = await prometheus.instant(query, Date.now() / 1000);
      found.set(`${name} ${place.RUN}`, (found.get(`${name} ${place.RUN}`) ?? 0) + (series.length > 0 ? 1 : 0));
    });
  }
  // Of those that fire, each query that looks for what is wrong; levels of the last hour and clipping are not there.
  for (const [book, least] of [
    ["VigilNonfiniteGradient nan", 4],
    ["VigilNonfiniteLoss nan", 4],
    ["VigilNonfiniteParameter nan", 2],
    ["VigilRunCrashed ranks", 2],
  ]) {
    assert.ok(found.get(book) >= least, `${book}: ${found.get(book)} of its queries found something`);
  }
});
