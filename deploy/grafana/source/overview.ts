// All runs: which are there, in what state, and how far.
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { datasource, instance, job, run, sheet } from "./frame.js";
import { coloredBy, columns, kColoredText, kStateTexts, mapping, number, series, timeline, unit } from "./panels.js";
import { kRun, of, rate, increase, stateOf } from "./selectors.js";

const by = (aggregation: string, expr: string): string => `${aggregation} by (run) (${expr})`;
const kToRun = {
  id: "links",
  value: [
    {
      title: "Look at this run",
      url: "/d/vigil-run?var-datasource=${datasource}&${job:queryparam}&var-run=${__value.raw:percentencode}&${__url_time_range}",
      targetBlank: false,
    },
  ],
};

export const overview: Dashboard = sheet({
  uid: "vigil-overview",
  title: "vigil / Overview",
  description: "All training runs: which are there, in what state, how far, and which of them need somebody.",
  variables: [datasource(), job(), run(true), instance('job=~"$job",run=~"$run"')],
  hasRank: false,
  parts: [
    {
      title: "Now",
      panels: [
        number(
          { title: "Runs in progress", description: "Runs of which a rank trains (vigil_up is 1).", unit: "none" },
          { expr: `count(${by("max", of("vigil_up", kRun))} == 1) or vector(0)`, legend: "runs" },
          [null, "text", 1, "green"],
        ),
        number(
          { title: "Ranks in progress", description: "Training processes that answer and have not ended.", unit: "none" },
          { expr: `sum(max by (run, rank) (${of("vigil_up", kRun)}))`, legend: "ranks" },
        ),
        number(
          {
            title: "Runs in trouble",
            description: "Runs of which a rank crashed, failed, hangs, or has a ring file that cannot be read.",
            unit: "none",
          },
          {
            expr: `count(${by("max", of("vigil_run_state", kRun, 'state=~"crashed|failed|hung|unreadable"'))} == 1) or vector(0)`,
            legend: "runs",
          },
          [null, "green", 1, "red"],
        ),
        number(
          {
            title: "Runs with non-finite steps",
            description: "Runs with a step whose loss or gradients held NaN or Inf, since they began.",
            unit: "none",
          },
          { expr: `count(${by("max", of("vigil_nonfinite_steps_total", kRun))} > 0) or vector(0)`, legend: "runs" },
          [null, "green", 1, "red"],
        ),
        number(
          { title: "Alerts firing", description: "Alerts of Prometheus on these runs, of every severity.", unit: "none" },
          { expr: `count(ALERTS{alertstate="firing",${kRun}}) or vector(0)`, legend: "alerts" },
          [null, "green", 1, "orange"],
        ),
        number(
          { title: "Steps per second", description: "Training steps of all ranks together.", unit: "suffix: steps/s", decimals: 1 },
          { expr: `sum(${rate("vigil_steps_total", kRun)})`, legend: "steps" },
        ),
      ],
    },
    {
      title: "Runs",
      panels: [
        columns(
          {
            title: "Runs",
            description:
              "A line for each run, over all of its ranks: the worst state, the largest step, means of loss and gradient norm. A click on the name leads to the run. A run that ended is told of for an hour by vigild, without its gauges.",
            unit: "short",
            height: 10,
          },
          [
            { expr: stateOf("run", kRun) },
            { expr: by("max", of("vigil_steps_total", kRun)) },
            { expr: by("sum", rate("vigil_steps_total", kRun)) },
            { expr: by("avg", of("vigil_loss", kRun)) },
            { expr: by("avg", of("vigil_gradient_norm", kRun)) },
            { expr: by("sum", of("vigil_nonfinite_steps_total", kRun)) },
            { expr: by("count", `max by (run, rank) (${of("vigil_up", kRun)})`) },
            { expr: `time() - ${by("max", of("vigil_last_step_timestamp_seconds", kRun))}` },
          ],
          [
            { field: "run", title: "Run", properties: [kToRun] },
            { field: "A", title: "State", properties: [mapping(kStateTexts), kColoredText] },
            { field: "B", title: "Step" },
            { field: "C", title: "Steps/s", properties: [unit("suffix: steps/s")] },
            { field: "D", title: "Loss" },
            { field: "E", title: "Gradient norm" },
            { field: "F", title: "Non-finite steps", properties: coloredBy([null, "text", 1, "red"]) },
            { field: "G", title: "Ranks" },
            { field: "H", title: "Last step", properties: [unit("s"), ...coloredBy([null, "text", 60, "orange", 600, "red"])] },
          ],
          { title: "State", descending: true },
        ),
        timeline(
          {
            title: "State of runs",
            description: "The worst state of a run's ranks. crashed, hung and unreadable are known where vigild follows the run.",
            unit: "none",
          },
          [{ expr: stateOf("run", kRun), legend: "{{run}}" }],
          kStateTexts,
        ),
      ],
    },
    {
      title: "Side by side",
      panels: [
        series(
          { title: "Loss", description: "Of the latest step, mean of the ranks; NaN as soon as that of one rank is.", unit: "short" },
          [{ expr: by("avg", of("vigil_loss", kRun)), legend: "{{run}}" }],
          { logarithmic: true },
        ),
        series(
          { title: "Gradient norm", description: "Euclidean norm over all gradients before clipping, mean of the ranks.", unit: "short" },
          [{ expr: by("avg", of("vigil_gradient_norm", kRun)), legend: "{{run}}" }],
          { logarithmic: true },
        ),
        series({ title: "Steps per second", description: "Mean of the ranks, which is the pace of the run.", unit: "suffix: steps/s" }, [
          { expr: by("avg", rate("vigil_steps_total", kRun)), legend: "{{run}}" },
        ]),
        series({ title: "Examples per second", description: "Over all ranks.", unit: "suffix: examples/s" }, [
          { expr: by("sum", rate("vigil_examples_total", kRun)), legend: "{{run}}" },
        ]),
        series(
          {
            title: "Non-finite steps",
            description: "Steps whose loss or gradients held NaN or Inf, from one point of the chart to the next.",
            unit: "short",
            min: 0,
          },
          [{ expr: by("sum", increase("vigil_nonfinite_steps_total", kRun)), legend: "{{run}}" }],
          { bars: true },
        ),
        series(
          {
            title: "Time since the last step",
            description: "Of the rank that made one most recently. It rises while a run evaluates, hangs, or waits.",
            unit: "s",
          },
          [{ expr: `time() - ${by("max", of("vigil_last_step_timestamp_seconds", kRun))}`, legend: "{{run}}" }],
          { steps: [null, "transparent", 600, "red"] },
        ),
      ],
    },
  ],
});
