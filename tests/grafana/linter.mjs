// The checks of Grafana's dashboard-linter that concern Prometheus, which is written in Go and in no package registry, over again.
import { load } from "./packages.mjs";
import { parsed } from "./promql.mjs";

const units = new Set(Object.values(load("@grafana/grafana-foundation-sdk/units")));

/** @typedef {{check: string, panel: string, problem: string}} Finding */

const dataPanels = (dashboard) => dashboard.panels.filter((panel) => panel.type !== "row" && panel.type !== "text");
const variableOf = (dashboard, name) => (dashboard.templating.list ?? []).find((variable) => variable.name === name);
const isOurs = (datasource) => ["${datasource}", "$datasource"].includes(datasource?.uid);

/** Calls `found(problem)` for each selector of each target for which `isWrong` has something to say. */
function eachSelector(dashboard, found, problemOf) {
  for (const panel of dataPanels(dashboard)) {
    for (const target of panel.targets ?? []) {
      for (const selector of parsed(target.expr).selectors) {
        const problem = problemOf(selector);
        if (problem !== null) found(`${problem}: ${target.expr}`, panel.title);
      }
    }
  }
}

function template(name) {
  return (dashboard, found) => {
    const variable = variableOf(dashboard, name);
    if (variable === undefined) return found(`there is no variable ${name}`);
    if (variable.type !== "query") found(`variable ${name} is a ${variable.type}, not a query`);
    if (!isOurs(variable.datasource)) found(`variable ${name} does not ask \${datasource}`);
    if (variable.label === undefined || variable.label.toLowerCase() !== name) found(`variable ${name} has the label ${variable.label}`);
    if (variable.multi !== true || variable.includeAll !== true) found(`variable ${name} does not take several values, or all`);
    if (variable.allValue !== ".+") found(`variable ${name} stands for ${variable.allValue}, not .+, when it is All`);
  };
}

function targetMatches(label) {
  return (dashboard, found) =>
    eachSelector(dashboard, found, ({ metric, matchers }) => {
      const matcher = matchers.get(label);
      const isRight = matcher !== undefined && matcher.operator === "=~" && matcher.value === `$${label}`;
      return isRight ? null : `${metric} is not chosen by ${label}=~"$${label}"`;
    });
}

/** @type {Record<string, (dashboard: any, found: (problem: string, panel?: string) => void) => void>} */
export const checks = {
  "template-datasource": (dashboard, found) => {
    const variable = variableOf(dashboard, "datasource");
    if (variable === undefined) return found("there is no variable datasource");
    if (variable.type !== "datasource" || variable.query !== "prometheus") found("variable datasource is not one of Prometheus");
    if (variable.label !== "Data source") found(`variable datasource has the label ${variable.label}`);
    if (dashboard.templating.list[0] !== variable) found("variable datasource is not the first");
  },
  "template-job": template("job"),
  "template-instance": template("instance"),
  "template-label-promql": (dashboard, found) => {
    for (const variable of dashboard.templating.list ?? []) {
      if (variable.type !== "query") continue;
      const match = /^label_values\((?:(.+), *)?([a-zA-Z_][a-zA-Z0-9_]*)\)$/.exec(variable.query);
      if (match === null) found(`variable ${variable.name} is no label_values(…): ${variable.query}`);
      else if (match[1] === undefined) found(`variable ${variable.name} is of all series there are`);
      else if (parsed(match[1]).error !== null) found(`variable ${variable.name}: ${parsed(match[1]).error}`);
    }
  },
  "template-on-time-change-reload": (dashboard, found) => {
    for (const variable of dashboard.templating.list ?? []) {
      if (variable.type === "query" && variable.refresh !== 2) found(`variable ${variable.name} does not follow the time range`);
    }
  },
  "panel-datasource": (dashboard, found) => {
    for (const panel of dataPanels(dashboard)) {
      const asked = [panel.datasource, ...(panel.targets ?? []).map((target) => target.datasource)];
      if (!asked.every(isOurs)) found("does not ask ${datasource}", panel.title);
    }
  },
  "panel-title-description": (dashboard, found) => {
    for (const panel of dataPanels(dashboard)) {
      if (!panel.title || !panel.description) found("has no title, or no description", panel.title ?? `#${panel.id}`);
    }
  },
  "panel-units": (dashboard, found) => {
    for (const panel of dataPanels(dashboard)) {
      const unit = panel.fieldConfig?.defaults?.unit;
      if (!units.has(unit) && !/^(suffix|prefix):.+/.test(unit ?? "")) found(`unit ${unit} is none of Grafana's`, panel.title);
    }
  },
  "panel-no-targets": (dashboard, found) => {
    for (const panel of dataPanels(dashboard)) {
      if ((panel.targets ?? []).length === 0) found("has no query", panel.title);
    }
  },
  "target-promql": (dashboard, found) => {
    for (const panel of dataPanels(dashboard)) {
      for (const target of panel.targets ?? []) {
        const { error } = parsed(target.expr);
        if (error !== null) found(error, panel.title);
      }
    }
  },
  "target-rate-interval": (dashboard, found) =>
    eachSelector(dashboard, found, ({ metric, range, calls }) =>
      range !== null && ["rate", "irate", "increase"].includes(calls[0]) && range !== "$__rate_interval"
        ? `${metric} has a window of ${range}, not $__rate_interval`
        : null,
    ),
  "target-job": targetMatches("job"),
  "target-instance": targetMatches("instance"),
  "target-counter-agg": (dashboard, found) =>
    eachSelector(dashboard, found, ({ metric, calls }) =>
      metric.endsWith("_total") && !calls.some((name) => ["rate", "irate", "increase"].includes(name))
        ? `counter ${metric} is not within rate(), irate() or increase()`
        : null,
    ),
  "uneditable-dashboard": (dashboard, found) => {
    if (dashboard.editable !== false) found("can be edited in Grafana");
  },
};

/**
 * @param {any} dashboard as Grafana imports it
 * @param {string[]} [only] names of checks; default: all
 * @returns {Finding[]}
 */
export function lint(dashboard, only = Object.keys(checks)) {
  const findings = [];
  for (const check of only) checks[check](dashboard, (problem, panel = "") => findings.push({ check, panel, problem }));
  return findings;
}
