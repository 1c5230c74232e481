// What the dashboards have in common: data source, chained variables, annotations, links to each other.
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";

import { kDatasource } from "./panels.js";
import { kRank, kRun, of } from "./selectors.js";

export const kTag = "vigil";
// Grafana 10.4 and 11.0; later ones bring it up to their own when they load it.
const kSchemaVersion = 39;

const kAll: dashboard.VariableOption = { selected: true, text: "All", value: "$__all" };

interface QueryVariable {
  name: string;
  label: string;
  query: string;
  description: string;
  /** What All stands for; without it, there is no All. */
  allValue?: string;
}

export function queryVariable(row: QueryVariable): dashboard.QueryVariableBuilder {
  const variable = new dashboard.QueryVariableBuilder(row.name)
    .label(row.label)
    .description(row.description)
    .datasource(kDatasource)
    .query(row.query)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.NaturalAsc)
    // Also where one is usual: Grafana escapes what means something to regular expressions in such variables only.
    .multi(true);
  return row.allValue === undefined ? variable : variable.includeAll(true).allValue(row.allValue).current(kAll);
}

export function datasource(): dashboard.DatasourceVariableBuilder {
  return new dashboard.DatasourceVariableBuilder("datasource")
    .label("Data source")
    .description("The Prometheus that scrapes the runs.")
    .type("prometheus");
}

export function job(metric = "vigil_up"): dashboard.QueryVariableBuilder {
  return queryVariable({
    name: "job",
    label: "Job",
    description: "The scrape job. Choose one where trainers are scraped both by themselves and through vigild, else they count twice.",
    query: `label_values(${metric}, job)`,
    allValue: ".+",
  });
}

export function run(all: boolean): dashboard.QueryVariableBuilder {
  return queryVariable({
    name: "run",
    label: "Run",
    description: "run.name of the trainer's settings.",
    query: 'label_values(vigil_up{job=~"$job"}, run)',
    ...(all ? { allValue: ".*" } : {}),
  });
}

export function rank(): dashboard.QueryVariableBuilder {
  return queryVariable({
    name: "rank",
    label: "Rank",
    description: "The process of a distributed run.",
    query: 'label_values(vigil_up{job=~"$job",run=~"$run"}, rank)',
    allValue: ".*",
  });
}

export function instance(matchers = 'job=~"$job",run=~"$run",rank=~"$rank"'): dashboard.QueryVariableBuilder {
  return queryVariable({
    name: "instance",
    label: "Instance",
    description: "The target of the scrape.",
    query: `label_values(vigil_up{${matchers}}, instance)`,
    allValue: ".+",
  });
}

export function layer(metric = "vigil_parameter_l2_norm"): dashboard.QueryVariableBuilder {
  return queryVariable({
    name: "layer",
    label: "Layer",
    description: "The module that a parameter belongs to.",
    query: `label_values(${metric}{${kRank}}, layer)`,
    allValue: ".*",
  });
}

export function parameter(): dashboard.QueryVariableBuilder {
  return queryVariable({
    name: "parameter",
    label: "Parameter",
    description: "The full path of a parameter.",
    query: `label_values(vigil_parameter_l2_norm{${kRank},layer=~"$layer"}, parameter)`,
    allValue: ".*",
  });
}

export function top(): dashboard.CustomVariableBuilder {
  return new dashboard.CustomVariableBuilder("top")
    .label("Top")
    .description("How many layers the rankings show.")
    .values("5,10,20,50")
    .current({ selected: true, text: "10", value: "10" })
    .options(["5", "10", "20", "50"].map((value) => ({ selected: value === "10", text: value, value })));
}

interface Annotation {
  name: string;
  color: string;
  expr: string;
  title: string;
  text: string;
}

/** What Prometheus keeps of it beyond the type of the SDK, which has the part that all data sources share. */
type PrometheusAnnotation = dashboard.AnnotationQuery & {
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
  step: string;
  useValueForTime: boolean;
};

function annotation(row: Annotation): Builder<PrometheusAnnotation> {
  const made = new dashboard.AnnotationQueryBuilder()
    .name(row.name)
    .datasource(kDatasource)
    .enable(true)
    .hide(false)
    .iconColor(row.color)
    .expr(row.expr)
    .build();
  return { build: () => ({ ...made, titleFormat: row.title, textFormat: row.text, tagKeys: "", step: "", useValueForTime: false }) };
}

function annotations(matchers: string): Builder<dashboard.AnnotationQuery>[] {
  return [
    annotation({
      name: "Alerts of Prometheus",
      color: "red",
      expr: 'ALERTS{alertstate="firing",run=~"$run"}',
      title: "{{alertname}}",
      text: "{{severity}}: run {{run}}, rank {{rank}} {{layer}} {{parameter}}",
    }),
    annotation({
      name: "Alerts of vigil",
      color: "orange",
      expr: of("vigil_alert_active", matchers),
      title: "{{alert}}",
      text: "{{severity}}: run {{run}}, rank {{rank}} {{layer}} {{parameter}}",
    }),
    annotation({
      name: "Rollbacks",
      color: "purple",
      expr: `increase(${of("vigil_rollbacks_total", matchers)}[$__rate_interval]) > 0`,
      title: "Rolled back to the last good checkpoint",
      text: "run {{run}}, rank {{rank}}",
    }),
    annotation({
      name: "Restarts",
      color: "blue",
      expr: `changes(${of("vigil_start_time_seconds", matchers)}[$__rate_interval]) > 0`,
      title: "Restarted",
      text: "run {{run}}, rank {{rank}}",
    }),
  ];
}

export interface Sheet {
  uid: string;
  title: string;
  description: string;
  variables: Builder<dashboard.VariableModel>[];
  /** Rows of panels under a heading. */
  parts: { title: string; panels: Builder<dashboard.Panel>[] }[];
  /** The annotations are of all ranks of the runs, where the dashboard has no variable for one. */
  hasRank: boolean;
}

/** The dashboard as Grafana imports it. */
export function sheet(row: Sheet): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(row.title)
    .uid(row.uid)
    .description(row.description)
    .tags([kTag])
    .readonly()
    .timezone("browser")
    .time({ from: "now-1h", to: "now" })
    .refresh("10s")
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .variables(row.variables)
    .annotations(annotations(row.hasRank ? kRank : kRun))
    .link(
      new dashboard.DashboardLinkBuilder("vigil")
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags([kTag])
        .asDropdown(false)
        .includeVars(true)
        .keepTime(true)
        .targetBlank(false)
        .tooltip("The same runs and times in another dashboard of vigil"),
    );
  for (const part of row.parts) {
    builder.withRow(new dashboard.RowBuilder(part.title));
    for (const panel of part.panels) builder.withPanel(panel);
  }
  const made: dashboard.Dashboard = { ...builder.build(), schemaVersion: kSchemaVersion, version: 1 };
  let id = 0;
  for (const panel of made.panels ?? []) panel.id = ++id;
  return made;
}
