// Where NaN and Inf came from, and how near the rest is to the end of its number format.
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { datasource, instance, job, layer, rank, run, sheet } from "./frame.js";
import { columns, number, series, texts, timeline } from "./panels.js";
import { increase, kLayer, kRank, of } from "./selectors.js";

const kFinite = texts([
  [0, "finite", "green"],
  [1, "NaN or Inf", "red"],
]);
const bucket = (le: string): string => of("vigil_gradient_magnitude_bucket", kLayer, `le="${le}"`);
// Of the elements that are not zero, those whose magnitude is at most `le`.
const below = (le: string): string =>
  `(sum by (layer) (${bucket(le)}) - sum by (layer) (${bucket("0")})) / (sum by (layer) (${bucket("+Inf")}) - sum by (layer) (${bucket("0")}))`;

export const numerics: Dashboard = sheet({
  uid: "vigil-numerics",
  title: "vigil / Numerics",
  description: "Where NaN and Inf came from, what they reached, and how near the rest is to the end of its number format.",
  variables: [datasource(), job(), run(false), rank(), instance(), layer()],
  hasRank: true,
  parts: [
    {
      title: "Now",
      panels: [
        number(
          { title: "Non-finite steps", description: "Steps since the run began whose loss or gradients held NaN or Inf.", unit: "locale" },
          { expr: `sum(${of("vigil_nonfinite_steps_total")})`, legend: "steps" },
          [null, "green", 1, "red"],
        ),
        number(
          { title: "Skipped steps", description: "Steps for which the guard told the loop not to run the optimizer.", unit: "locale" },
          { expr: `sum(${of("vigil_skipped_steps_total")})`, legend: "steps" },
          [null, "green", 1, "orange"],
        ),
        number(
          { title: "Rollbacks", description: "Times that the last good state was restored.", unit: "locale" },
          { expr: `sum(${of("vigil_rollbacks_total")})`, legend: "rollbacks" },
          [null, "green", 1, "orange"],
        ),
        number(
          {
            title: "Non-finite parameters",
            description: "Parameters and buffers that hold NaN or Inf at the latest sample: above 0, the model is broken.",
            unit: "locale",
          },
          {
            expr: `count((${of("vigil_parameter_nan_values", kLayer)} + ${of("vigil_parameter_inf_values", kLayer)} or ${of("vigil_buffer_nan_values", kLayer)} + ${of("vigil_buffer_inf_values", kLayer)}) > 0) or vector(0)`,
            legend: "tensors",
          },
          [null, "green", 1, "red"],
        ),
        number(
          { title: "Loss", description: "Of the latest step, the worst rank.", unit: "short", decimals: 4 },
          { expr: `max(${of("vigil_loss")})`, legend: "loss" },
        ),
        number(
          {
            title: "Clipping",
            description: "What clipping multiplies the gradients by; 1 does nothing. Nothing is here unless the program tells its clipping norm.",
            unit: "percentunit",
            noValue: "not told",
          },
          { expr: `min(${of("vigil_clip_ratio")})`, legend: "factor" },
        ),
      ],
    },
    {
      title: "Where it came from",
      panels: [
        columns(
          {
            title: "Origin",
            description:
              "Where the first step of the latest streak of non-finite steps became so: the parameter nearest to the loss, and, where a replay or trace has found it, the operation and its layer.",
            unit: "none",
            height: 6,
            noValue: "all steps were finite",
          },
          [{ expr: `max by (rank, step, layer, operation, parameter, found_by) (${of("vigil_nonfinite_origin_info")})` }],
          [
            { field: "rank", title: "Rank" },
            { field: "step", title: "Step" },
            { field: "operation", title: "Operation" },
            { field: "layer", title: "Layer" },
            { field: "parameter", title: "Parameter" },
            { field: "found_by", title: "Found by" },
          ],
        ),
        timeline(
          {
            title: "Gradients by layer",
            description:
              "Layers whose gradients held NaN or Inf at the latest sample. Samples are taken at every sampling.every_steps-th step, so a single step may lie between two of them.",
            unit: "none",
            width: 12,
            height: 10,
          },
          [{ expr: `max by (layer) (${of("layer:vigil_gradient_nonfinite_values:sum", kLayer)} > bool 0)`, legend: "{{layer}}" }],
          kFinite,
        ),
        timeline(
          { title: "Parameters by layer", description: "Layers whose parameters hold NaN or Inf.", unit: "none", width: 12, height: 10 },
          [{ expr: `max by (layer) (${of("layer:vigil_parameter_nonfinite_values:sum", kLayer)} > bool 0)`, legend: "{{layer}}" }],
          kFinite,
        ),
        series(
          {
            title: "NaN and Inf seen",
            description:
              "From one point of the chart to the next, by where: loss and gradients on every step, parameters and buffers at samples, activations on observed steps.",
            unit: "short",
            min: 0,
          },
          [{ expr: `sum by (tensor, value) (${increase("vigil_nonfinite_values_total")})`, legend: "{{value}} in {{tensor}}" }],
          { bars: true },
        ),
        series(
          { title: "Non-finite and skipped steps", description: "From one point of the chart to the next.", unit: "short", min: 0 },
          [
            { expr: `sum(${increase("vigil_nonfinite_steps_total")})`, legend: "non-finite" },
            { expr: `sum by (reason) (${increase("vigil_skipped_steps_total")})`, legend: "skipped: {{reason}}" },
          ],
          { bars: true },
        ),
      ],
    },
    {
      title: "Near the end of the format",
      panels: [
        series(
          {
            title: "Gradients below float16",
            description:
              "Share of the nonzero elements below 2⁻²⁴, which float16 cannot tell from 0 (sampling.histogram). Above a few percent, scale the loss.",
            unit: "percentunit",
            min: 0,
          },
          [{ expr: below("5.960464477539063e-08"), legend: "{{layer}}" }],
        ),
        series(
          {
            title: "Gradients below the normal range of float16",
            description: "Share of the nonzero elements below 2⁻¹⁴, where float16 loses precision (sampling.histogram).",
            unit: "percentunit",
            min: 0,
          },
          [{ expr: below("6.103515625e-05"), legend: "{{layer}}" }],
        ),
        series(
          {
            title: "Tensors that a format does not hold",
            description:
              "Tensors with magnitudes (sampling.histogram) that would lose more in the format than is advised, however they are scaled; of activations those that would overflow.",
            unit: "locale",
            min: 0,
          },
          [
            {
              expr: `max by (tensor, format) (${of("vigil_precision_advice_tensors", kRank, 'verdict="unsafe"')})`,
              legend: "{{tensor}} in {{format}}",
            },
          ],
        ),
        series(
          {
            title: "Gradient that loses most",
            description:
              "Largest share of a gradient's nonzero elements that a format makes 0, without scaling of the loss (exporters.prometheus.precision and sampling.histogram).",
            unit: "percentunit",
            min: 0,
          },
          [{ expr: `max by (format) (${of("vigil_gradient_format_underflow_ratio", kLayer)})`, legend: "{{format}}" }],
        ),
        series(
          {
            title: "Largest gradient element",
            description: "The largest magnitude of a layer's gradients, of the finite elements; float16 ends at 65504.",
            unit: "sci",
          },
          [
            {
              expr: `max by (layer) (${of("vigil_gradient_max", kLayer)} > -${of("vigil_gradient_min", kLayer)} or -${of("vigil_gradient_min", kLayer)})`,
              legend: "{{layer}}",
            },
          ],
          { logarithmic: true, steps: [null, "transparent", 65504, "red"] },
        ),
        series(
          {
            title: "Clipping",
            description: "What clipping multiplies the gradients by, by rank.",
            unit: "percentunit",
            min: 0,
            max: 1,
            noValue: "not told",
          },
          [{ expr: of("vigil_clip_ratio"), legend: "rank {{rank}}" }],
        ),
        series(
          { title: "Dead units", description: "Share of a ReLU's units that are 0 for all of the batch.", unit: "percentunit", min: 0, max: 1 },
          [{ expr: `max by (layer, phase) (${of("vigil_activation_dead_ratio")})`, legend: "{{layer}} ({{phase}})" }],
          { steps: [null, "transparent", 0.5, "red"] },
        ),
        series(
          {
            title: "Saturated units",
            description: "Share of the inputs of tanh or sigmoid where the derivative is 0 in float32; nothing is here in models without.",
            unit: "percentunit",
            min: 0,
            max: 1,
            noValue: "no tanh or sigmoid",
          },
          [{ expr: `max by (layer, phase) (${of("vigil_activation_saturated_ratio")})`, legend: "{{layer}} ({{phase}})" }],
          { steps: [null, "transparent", 0.5, "red"] },
        ),
      ],
    },
  ],
});
