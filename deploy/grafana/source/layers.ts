// Inside the model: which layers have large or vanishing gradients, which do not learn.
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { datasource, instance, job, layer, parameter, rank, run, sheet, top } from "./frame.js";
import { buckets, coloredBy, columns, ranking, rows, series, unit } from "./panels.js";
import { kLayer, kTensor, of } from "./selectors.js";

// Recorded (deploy/prometheus/dashboards.yml), as a model has ten times as many parameters as a person looks at layers.
const kGradient = of("layer:vigil_gradient_l2_norm:root_sum_square", kLayer);
const kUpdate = of("layer:vigil_parameter_update_ratio:max", kLayer);
const kZeros = of("layer:vigil_gradient_zero_ratio:max", kLayer);
const kUpdateSteps: [null, string, ...(number | string)[]] = [null, "orange", 1e-5, "green", 1e-2, "orange", 0.1, "red"];

const byLayer = (expr: string): string => `max by (layer) (${expr})`;
const byParameter = (metric: string): { expr: string; legend: string } => ({
  expr: `max by (parameter) (${of(metric, kTensor)})`,
  legend: "{{parameter}}",
});
// Orders of magnitude; 0 is shown as the smallest one.
const magnitude = (expr: string): string => `clamp_min(log10(${byLayer(expr)}), -12)`;

export const layers: Dashboard = sheet({
  uid: "vigil-layers",
  title: "vigil / Layers",
  description: "Inside the model: which layers have large or vanishing gradients, which do not learn, and how their tensors are distributed.",
  variables: [datasource(), job(), run(false), rank(), instance(), layer(), parameter(), top()],
  hasRank: true,
  parts: [
    {
      title: "Layers over time",
      panels: [
        rows(
          {
            title: "Gradient norm",
            description:
              "log₁₀ of the norm over a layer's gradients: -3 is 0.001, and zero is shown as -12. Layers in the order of their names. A gap: no finite element was left.",
            unit: "none",
            decimals: 1,
          },
          { expr: magnitude(kGradient), legend: "{{layer}}" },
        ),
        rows(
          {
            title: "Update ratio",
            description:
              "log₁₀ of what one step changes of a parameter over its norm, the largest of a layer: -3 is usual, above -1 is too much, below -6 learns nothing. A gap: one of them is not finite. Of the parameters that sampling.update_ratio names.",
            unit: "none",
            decimals: 1,
          },
          { expr: magnitude(kUpdate), legend: "{{layer}}" },
        ),
        rows(
          {
            title: "Zeros in gradients",
            description: "Share of a gradient that is exactly zero, the largest of a layer's parameters.",
            unit: "percentunit",
          },
          { expr: byLayer(kZeros), legend: "{{layer}}" },
          "Reds",
        ),
      ],
    },
    {
      title: "Top layers now",
      panels: [
        ranking(
          { title: "Largest gradient norm", description: "Layers whose gradients are largest.", unit: "short" },
          { expr: `topk($top, ${byLayer(kGradient)})`, legend: "{{layer}}" },
        ),
        ranking(
          { title: "Smallest gradient norm", description: "Layers whose gradients are smallest: those that vanish first.", unit: "sci" },
          { expr: `bottomk($top, ${byLayer(kGradient)})`, legend: "{{layer}}" },
        ),
        ranking(
          { title: "Largest update ratio", description: "Layers that a step changes most, relative to their size.", unit: "sci" },
          { expr: `topk($top, ${byLayer(kUpdate)})`, legend: "{{layer}}" },
          kUpdateSteps,
        ),
        ranking(
          { title: "Smallest update ratio", description: "Layers that hardly learn.", unit: "sci" },
          { expr: `bottomk($top, ${byLayer(kUpdate)})`, legend: "{{layer}}" },
          kUpdateSteps,
        ),
        columns(
          {
            title: "Parameters",
            description: "At the latest sample, of the chosen layers and parameters. The update ratio is of those that sampling.update_ratio names.",
            unit: "short",
            height: 10,
          },
          [
            byParameter("vigil_parameter_l2_norm"),
            byParameter("vigil_gradient_l2_norm"),
            byParameter("vigil_parameter_update_ratio"),
            byParameter("vigil_gradient_zero_ratio"),
            { expr: `max by (parameter) (${of("vigil_parameter_nan_values", kTensor)} + ${of("vigil_parameter_inf_values", kTensor)})` },
            { expr: `max by (parameter) (${of("vigil_gradient_nan_values", kTensor)} + ${of("vigil_gradient_inf_values", kTensor)})` },
          ].map((query) => ({ expr: query.expr })),
          [
            { field: "parameter", title: "Parameter" },
            { field: "A", title: "Norm" },
            { field: "B", title: "Gradient norm" },
            { field: "C", title: "Update ratio", properties: [unit("sci"), ...coloredBy(kUpdateSteps)] },
            { field: "D", title: "Zeros in gradient", properties: [unit("percentunit"), ...coloredBy([null, "text", 0.9, "orange", 1, "red"])] },
            { field: "E", title: "Non-finite", properties: coloredBy([null, "text", 1, "red"]) },
            { field: "F", title: "Non-finite in gradient", properties: coloredBy([null, "text", 1, "red"]) },
          ],
          { title: "Gradient norm", descending: true },
        ),
      ],
    },
    {
      title: "Parameters over time",
      panels: [
        series(
          { title: "Gradient norm by parameter", description: "Euclidean norm of the finite elements.", unit: "short" },
          [byParameter("vigil_gradient_l2_norm")],
          { logarithmic: true },
        ),
        series(
          { title: "Update ratio by parameter", description: "What one step changes, over the norm of the parameter.", unit: "sci" },
          [byParameter("vigil_parameter_update_ratio")],
          { logarithmic: true, steps: [null, "transparent", 0.1, "red"] },
        ),
        series({ title: "Parameter norm by parameter", description: "Euclidean norm of the finite elements.", unit: "short" }, [
          byParameter("vigil_parameter_l2_norm"),
        ]),
        series(
          {
            title: "Distance from the start",
            description: "Euclidean distance from what the parameter was when watching began (sampling.distance).",
            unit: "short",
          },
          [byParameter("vigil_parameter_distance")],
        ),
        series({ title: "Range of a parameter", description: "Smallest and largest finite element.", unit: "short" }, [
          { expr: `min by (parameter) (${of("vigil_parameter_min", kTensor)})`, legend: "{{parameter}} min" },
          { expr: `max by (parameter) (${of("vigil_parameter_max", kTensor)})`, legend: "{{parameter}} max" },
        ]),
        series(
          {
            title: "Standard deviation of a parameter",
            description: "Of the finite elements. A layer that falls to 0 has collapsed.",
            unit: "short",
          },
          [byParameter("vigil_parameter_std")],
          { logarithmic: true },
        ),
        series(
          {
            title: "Sparsity",
            description: "Share of the elements of all sampled parameters that are exactly 0, as pruning makes them.",
            unit: "percentunit",
            min: 0,
            max: 1,
          },
          [{ expr: `max(${of("vigil_model_sparsity_ratio")})`, legend: "zeros" }],
        ),
        series(
          {
            title: "Cosine of successive gradients",
            description:
              "With the gradient of the sample before (sampling.gradient_cosine): about 1, the learning rate could be larger; below 0, it oscillates.",
            unit: "none",
            min: -1,
            max: 1,
          },
          [byParameter("vigil_gradient_cosine")],
        ),
        series(
          { title: "Optimizer state", description: "Norms of what the optimizer keeps of a parameter (sampling.optimizer_state).", unit: "short" },
          [{ expr: `max by (parameter, moment) (${of("vigil_optimizer_moment_norm", kTensor)})`, legend: "{{parameter}} {{moment}}" }],
          { logarithmic: true },
        ),
      ],
    },
    {
      title: "Distributions and activations",
      panels: [
        buckets(
          {
            title: "Magnitudes of gradients",
            description: "How many elements of the chosen parameters' gradients have which magnitude (sampling.histogram).",
            unit: "short",
            width: 12,
            height: 9,
          },
          `sum by (le) (${of("vigil_gradient_magnitude_bucket", kTensor)})`,
          "sci",
        ),
        buckets(
          {
            title: "Magnitudes of parameters",
            description: "How many elements of the chosen parameters have which magnitude (sampling.histogram).",
            unit: "short",
            width: 12,
            height: 9,
          },
          `sum by (le) (${of("vigil_parameter_magnitude_bucket", kTensor)})`,
          "sci",
        ),
        series(
          {
            title: "Spread of activations",
            description: "Standard deviation of a layer's output on observed steps. It should neither grow nor shrink with depth.",
            unit: "short",
          },
          [{ expr: `max by (layer, phase) (${of("vigil_activation_std", kLayer)})`, legend: "{{layer}} ({{phase}})" }],
          { logarithmic: true },
        ),
        series({ title: "Zeros in activations", description: "Share of a layer's output that is zero.", unit: "percentunit", min: 0, max: 1 }, [
          { expr: `max by (layer, phase) (${of("vigil_activation_zero_ratio", kLayer)})`, legend: "{{layer}} ({{phase}})" },
        ]),
      ],
    },
  ],
});
