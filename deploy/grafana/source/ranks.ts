// The ranks of one run against each other: who is slow, who is gone, who trains another model.
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { datasource, instance, job, rank, run, sheet } from "./frame.js";
import { columns, kColoredText, kStateTexts, mapping, number, rows, series, texts, timeline, unit, coloredBy } from "./panels.js";
import { increase, kRank, kRun, of, ofProcess, stateOf } from "./selectors.js";

// Recorded (deploy/prometheus/dashboards.yml), so that the median is that of one evaluation.
const kStepTime = of("rank:vigil_step_duration_seconds:mean1m");
const kMedian = of("run:vigil_step_duration_seconds:median1m", 'job=~"$job",run=~"$run"');
const kToMedian = `max by (rank) (${kStepTime} / on (job, run) group_left () ${kMedian})`;
// Once a rank, however many jobs scrape it.
const kSteps = `max by (run, rank) (${of("vigil_steps_total")})`;
const kStepsOfAll = `max by (run, rank) (${of("vigil_steps_total", kRun)})`;

export const ranks: Dashboard = sheet({
  uid: "vigil-ranks",
  title: "vigil / Ranks",
  description: "The ranks of one run against each other: who is slow, who is gone, and who trains another model.",
  variables: [datasource(), job(), run(false), rank(), instance()],
  hasRank: true,
  parts: [
    {
      title: "Now",
      panels: [
        number(
          { title: "Ranks", description: "Ranks that Prometheus knows of, of those chosen.", unit: "none" },
          { expr: `count(max by (run, rank) (${of("vigil_up")}))`, legend: "ranks" },
        ),
        number(
          { title: "Ranks in progress", description: "Ranks that train.", unit: "none" },
          { expr: `sum(max by (run, rank) (${of("vigil_up")}))`, legend: "ranks" },
        ),
        number(
          { title: "Ranks gone", description: "Ranks that crashed, failed or hang, as they say or vigild finds.", unit: "none" },
          {
            expr: `count(max by (run, rank) (${of("vigil_run_state", kRank, 'state=~"crashed|failed|hung|unreadable"')}) == 1) or vector(0)`,
            legend: "ranks",
          },
          [null, "green", 1, "red"],
        ),
        number(
          {
            title: "Steps between first and last",
            description:
              "How far the furthest rank is ahead of the one behind. In synchronous training it stays small, but scrapes are not simultaneous.",
            unit: "locale",
          },
          { expr: `max(${kSteps}) - min(${kSteps})`, legend: "steps" },
        ),
        number(
          { title: "Slowest rank", description: "Its mean step time over that of the median rank.", unit: "percentunit" },
          { expr: `max(${kToMedian})`, legend: "of the median" },
          [null, "green", 1.2, "orange", 2, "red"],
        ),
        number(
          { title: "Non-finite ranks", description: "Ranks with a step whose loss or gradients held NaN or Inf.", unit: "none" },
          { expr: `count(max by (run, rank) (${of("vigil_nonfinite_steps_total")}) > 0) or vector(0)`, legend: "ranks" },
          [null, "green", 1, "red"],
        ),
      ],
    },
    {
      title: "Who is there",
      panels: [
        timeline(
          { title: "State of ranks", description: "crashed, hung and unreadable are known where vigild follows the run.", unit: "none" },
          [{ expr: stateOf("rank"), legend: "rank {{rank}}" }],
          kStateTexts,
        ),
        timeline(
          {
            title: "Non-finite steps by rank",
            description:
              "Ranks on which loss or gradients held NaN or Inf within Grafana's window. On one rank only: its data; on all: the reduction spread it.",
            unit: "none",
          },
          [{ expr: `max by (rank) (${increase("vigil_nonfinite_steps_total")} > bool 0)`, legend: "rank {{rank}}" }],
          texts([
            [0, "finite", "green"],
            [1, "NaN or Inf", "red"],
          ]),
        ),
        columns(
          { title: "Each rank", description: "State, steps, step time, time since its last step, and why it ended, as vigild finds.", unit: "short" },
          [
            { expr: stateOf("rank") },
            { expr: `max by (rank) (${of("vigil_steps_total")})` },
            { expr: `max by (rank) (${kStepTime})` },
            { expr: kToMedian },
            { expr: `time() - max by (rank) (${of("vigil_last_step_timestamp_seconds")})` },
            { expr: `max by (rank, host, pid, attempt) (${of("vigil_run_info")})` },
            { expr: `max by (rank, reason) (${of("vigil_run_end_info")})` },
          ],
          [
            { field: "rank", title: "Rank" },
            { field: "A", title: "State", properties: [mapping(kStateTexts), kColoredText] },
            { field: "reason", title: "Ended by" },
            { field: "B", title: "Step" },
            { field: "C", title: "Step time", properties: [unit("s")] },
            { field: "D", title: "Of the median", properties: [unit("percentunit"), ...coloredBy([null, "text", 1.2, "orange", 2, "red"])] },
            { field: "E", title: "Last step", properties: [unit("s"), ...coloredBy([null, "text", 60, "orange", 600, "red"])] },
            { field: "host", title: "Host" },
            { field: "pid", title: "PID" },
            { field: "attempt", title: "Attempt" },
          ],
          { title: "Rank", descending: false },
        ),
      ],
    },
    {
      title: "Stragglers",
      panels: [
        rows(
          {
            title: "Step time of ranks",
            description: "Mean of a minute, over that of the median rank: 1 is as fast as the others.",
            unit: "percentunit",
            height: 8,
          },
          { expr: kToMedian, legend: "rank {{rank}}" },
        ),
        series({ title: "Step time", description: "Mean of a minute by rank, and of the median rank.", unit: "s", min: 0 }, [
          { expr: `max by (rank) (${kStepTime})`, legend: "rank {{rank}}" },
          { expr: `max by (run) (${kMedian})`, legend: "median of {{run}}" },
        ]),
        series(
          {
            title: "Steps against the median rank",
            description: "Below 0: the rank is behind. A line that falls on and on: it is slower, or gone.",
            unit: "locale",
          },
          [{ expr: `${kSteps} - on (run) group_left () quantile by (run) (0.5, ${kStepsOfAll})`, legend: "rank {{rank}}" }],
        ),
        series(
          {
            title: "Time outside of forward and backward",
            description:
              "Mean of a minute by rank. In synchronous training the slow rank makes the others wait in backward, so the time outside of it tells which one it is.",
            unit: "s",
            min: 0,
          },
          [{ expr: `max by (rank) (${of("rank:vigil_step_duration_seconds:outside1m")})`, legend: "rank {{rank}}" }],
        ),
        series({ title: "Memory", description: "Resident memory of the trainer, where it is scraped itself.", unit: "bytes", min: 0 }, [
          { expr: `max by (rank) (${ofProcess("process_resident_memory_bytes")})`, legend: "rank {{rank}}" },
        ]),
      ],
    },
    {
      title: "The same model?",
      panels: [
        series(
          { title: "Loss by rank", description: "Of each rank's own batch.", unit: "short" },
          [{ expr: `max by (rank) (${of("vigil_loss")})`, legend: "rank {{rank}}" }],
          { logarithmic: true },
        ),
        series(
          { title: "Gradient norm by rank", description: "Before clipping; the same on all ranks once gradients are reduced.", unit: "short" },
          [{ expr: `max by (rank) (${of("vigil_gradient_norm")})`, legend: "rank {{rank}}" }],
          { logarithmic: true },
        ),
        series(
          {
            title: "Parameter norm by rank",
            description: "Of replicas it is the same; lines that part are replicas that diverge.",
            unit: "short",
            decimals: 6,
          },
          [{ expr: `max by (rank) (${of("vigil_parameter_norm")})`, legend: "rank {{rank}}" }],
        ),
        series(
          {
            title: "Spread of the parameter norm",
            description: "Of the ranks, over their mean. Scrapes meet ranks at different steps, so a little is usual.",
            unit: "percentunit",
            min: 0,
          },
          [
            {
              expr: `(max by (run) (${of("vigil_parameter_norm")}) - min by (run) (${of("vigil_parameter_norm")})) / avg by (run) (${of("vigil_parameter_norm")})`,
              legend: "{{run}}",
            },
          ],
        ),
      ],
    },
  ],
});
