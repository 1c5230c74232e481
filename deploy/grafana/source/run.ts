// One run: is it learning, how fast, and what does it cost.
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { datasource, instance, job, rank, run, sheet } from "./frame.js";
import { buckets, columns, kStateTexts, number, series, texts, timeline } from "./panels.js";
import { increase, kRank, meanStepTime, of, ofProcess, rate, stateOf } from "./selectors.js";

const kQuantiles = [0.5, 0.9, 0.99];
const quantile = (q: number): string =>
  `histogram_quantile(${q}, sum by (le) (${rate("vigil_step_duration_seconds_bucket", kRank, 'phase="total"')}))`;

export const singleRun: Dashboard = sheet({
  uid: "vigil-run",
  title: "vigil / Run",
  description: "One run: is it learning, how fast, what does a step cost, and what went wrong.",
  variables: [datasource(), job(), run(false), rank(), instance()],
  hasRank: true,
  parts: [
    {
      title: "Now",
      panels: [
        number(
          { title: "State", description: "The worst state of the chosen ranks.", unit: "none" },
          { expr: stateOf("run"), legend: "{{run}}" },
          [null, "text"],
          [kStateTexts],
        ),
        number(
          { title: "Step", description: "Training steps of the rank that is furthest.", unit: "locale" },
          { expr: `max by (run) (${of("vigil_steps_total")})`, legend: "{{run}}" },
        ),
        number(
          { title: "Loss", description: "Of the latest step, mean of the ranks.", unit: "short", decimals: 4 },
          { expr: `avg by (run) (${of("vigil_loss")})`, legend: "{{run}}" },
        ),
        number(
          {
            title: "Gradient norm",
            description: "Over all gradients of the latest step, before clipping, mean of the ranks.",
            unit: "short",
            decimals: 4,
          },
          { expr: `avg by (run) (${of("vigil_gradient_norm")})`, legend: "{{run}}" },
        ),
        number(
          { title: "Non-finite steps", description: "Steps since the run began whose loss or gradients held NaN or Inf.", unit: "locale" },
          { expr: `sum by (run) (${of("vigil_nonfinite_steps_total")})`, legend: "{{run}}" },
          [null, "green", 1, "red"],
        ),
        number(
          { title: "Time since the last step", description: "Of the rank that made one most recently.", unit: "s" },
          { expr: `time() - max by (run) (${of("vigil_last_step_timestamp_seconds")})`, legend: "{{run}}" },
          [null, "green", 60, "orange", 600, "red"],
        ),
      ],
    },
    {
      title: "Learning",
      panels: [
        series(
          { title: "Loss", description: "Of the latest step, by rank. A break in the line is a NaN: see Numerics.", unit: "short" },
          [{ expr: of("vigil_loss"), legend: "rank {{rank}}" }],
          { logarithmic: true },
        ),
        series(
          {
            title: "Scalars of the program",
            description: "What the program logs itself, such as validation loss and accuracy; without it, nothing is here.",
            unit: "short",
          },
          [{ expr: of("vigil_user_scalar"), legend: "{{name}} (rank {{rank}})" }],
        ),
        series(
          { title: "Gradient norm", description: "Euclidean norm over all gradients of the latest step, before clipping.", unit: "short" },
          [{ expr: of("vigil_gradient_norm"), legend: "rank {{rank}}" }],
          { logarithmic: true },
        ),
        series({ title: "Learning rate", description: "By parameter group of the optimizer.", unit: "sci" }, [
          { expr: `max by (group) (${of("vigil_learning_rate")})`, legend: "group {{group}}" },
        ]),
        series(
          {
            title: "Parameter norm",
            description:
              "Euclidean norm over all parameters at the latest sample. Steady growth: weight decay is too small, or the learning rate too large.",
            unit: "short",
          },
          [{ expr: of("vigil_parameter_norm"), legend: "rank {{rank}}" }],
        ),
        series(
          {
            title: "Update ratio",
            description:
              "What one step changes, over the norm of the parameters whose update is measured (sampling.update_ratio). About 0.001 is usual.",
            unit: "sci",
          },
          [{ expr: of("vigil_update_ratio"), legend: "rank {{rank}}" }],
          { logarithmic: true, steps: [null, "transparent", 0.1, "red"] },
        ),
      ],
    },
    {
      title: "Speed",
      panels: [
        series(
          {
            title: "Step time by phase",
            description:
              "Mean of the steps in Grafana's window and of the ranks. Time in vigil is part of the other phases, so it stands on Vigil itself.",
            unit: "s",
            min: 0,
          },
          ["data", "forward_backward", "optimizer"].map((phase) => ({ expr: `avg by (phase) (${meanStepTime(phase)})`, legend: "{{phase}}" })),
          { stacked: true },
        ),
        buckets(
          {
            title: "Step time",
            description: "How many steps took how long, of all chosen ranks, by the buckets of vigil_step_duration_seconds.",
            unit: "short",
            width: 12,
            height: 8,
          },
          `sum by (le) (${increase("vigil_step_duration_seconds_bucket", kRank, 'phase="total"')})`,
          "s",
        ),
        series(
          {
            title: "Quantiles of the step time",
            description:
              "Of all chosen ranks, interpolated within the histogram's buckets. A 99th percentile far above the median: data, checkpoints, another job.",
            unit: "s",
            min: 0,
          },
          kQuantiles.map((q) => ({ expr: quantile(q), legend: `p${q * 100}` })),
        ),
        series(
          {
            title: "Examples and steps per second",
            description: "Over the chosen ranks: examples of all of them, steps of their mean.",
            unit: "short",
            min: 0,
          },
          [
            { expr: `sum by (run) (${rate("vigil_examples_total")})`, legend: "examples/s" },
            { expr: `avg by (run) (${rate("vigil_steps_total")})`, legend: "steps/s" },
          ],
        ),
        series(
          {
            title: "Floating-point operations per second",
            description: "Of matrix products, convolutions, recurrent layers and attention, forward and backward, by rank.",
            unit: "flops",
            min: 0,
          },
          [{ expr: `${of("vigil_step_flops")} * ${rate("vigil_steps_total")}`, legend: "rank {{rank}}" }],
        ),
        series(
          {
            title: "FLOPs utilization",
            description: "Of what the machine can do at best (work.peak_gflops; nothing is here unless that is set).",
            unit: "percentunit",
            min: 0,
          },
          [{ expr: of("vigil_model_flops_utilization_ratio"), legend: "rank {{rank}}" }],
        ),
      ],
    },
    {
      title: "Memory, and what vigil says",
      panels: [
        series(
          {
            title: "Memory of the process",
            description: "Resident memory, where the trainer itself is scraped (vigild knows of its own only).",
            unit: "bytes",
            min: 0,
          },
          [{ expr: ofProcess("process_resident_memory_bytes"), legend: "rank {{rank}}" }],
        ),
        series(
          {
            title: "Memory of the device",
            description: "By libtorch's caching allocator: allocated, reserved, peak. Nothing is here on the CPU.",
            unit: "bytes",
            min: 0,
            noValue: "on the CPU",
          },
          [{ expr: of("vigil_device_memory_bytes"), legend: "{{kind}} (rank {{rank}})" }],
        ),
        timeline(
          {
            title: "Alerts of vigil",
            description: "Vigil's own rules (docs/alerts.md), evaluated at every step in the process.",
            unit: "none",
            width: 12,
            noValue: "none has fired",
          },
          [{ expr: `max by (alert, layer, parameter) (${of("vigil_alert_active")})`, legend: "{{alert}} {{layer}} {{parameter}}" }],
          texts([[1, "firing", "red"]]),
        ),
        columns(
          { title: "What runs", description: "Of each rank.", unit: "short", width: 12, height: 8 },
          [{ expr: of("vigil_run_info") }],
          [
            { field: "rank", title: "Rank" },
            { field: "model", title: "Model" },
            { field: "host", title: "Host" },
            { field: "pid", title: "PID" },
            { field: "attempt", title: "Attempt" },
            { field: "world_size", title: "World size" },
            { field: "libtorch", title: "libtorch" },
          ],
          { title: "Rank", descending: false },
        ),
      ],
    },
  ],
});
