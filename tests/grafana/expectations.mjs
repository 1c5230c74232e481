// What is to be seen where. Names are `dashboard/title (type)`; every panel that is not here has to show something for each of its queries.

/**
 * Panels of which only the first `shown` queries (default: none) return series in a scenario. With `mayShow`, all of them may: it depends on
 * the time or on the machine.
 * @type {{panel: RegExp, scenario: RegExp, reason: string, shown?: number, mayShow?: boolean}[]}
 */
export const empty = [
  {
    panel: /^vigil-run\/Scalars of the program /,
    scenario: /^(nan|ranks)/,
    reason: "examples/mnist logs none before the end of an epoch",
    mayShow: true,
  },
  { panel: /^vigil-run\/FLOPs utilization /, scenario: /^(nan|ranks)/, reason: "work.peak_gflops is not set" },
  { panel: /^vigil-run\/Memory of the device /, scenario: /^(healthy|nan|ranks)/, reason: "they train on the CPU" },
  { panel: /^vigil-run\/Memory of the process /, scenario: /vigild$/, reason: "vigild knows of its own process only" },
  { panel: /^vigil-ranks\/Memory /, scenario: /vigild$/, reason: "vigild knows of its own process only" },
  {
    panel: /^vigil-run\/Alerts of vigil /,
    scenario: /^(healthy|ranks)/,
    reason: "nothing is wrong, but a busy machine may make steps slow",
    mayShow: true,
  },
  { panel: /^vigil-numerics\/Clipping /, scenario: /^(healthy|nan|ranks)/, reason: "the examples do not clip" },
  {
    panel: /^vigil-numerics\/(Tensors that a format does not hold|Gradient that loses most) /,
    scenario: /^nan/,
    reason: "before the first scrape all weights and gradients may be NaN, of which no format could keep or lose anything",
    mayShow: true,
  },
  { panel: /^vigil-numerics\/Origin /, scenario: /^(healthy|ranks)/, reason: "all steps were finite" },
  { panel: /^vigil-numerics\/Dead units /, scenario: /^healthy/, reason: "a transformer with GELU has no ReLU" },
  { panel: /^vigil-numerics\/Saturated units /, scenario: /^(healthy|nan|ranks)/, reason: "these models have neither tanh nor sigmoid" },
  {
    panel: /^vigil-layers\/Cosine of successive gradients /,
    scenario: /^nan/,
    reason: "gradients are NaN since step 60; before, scrapes may have met one",
    mayShow: true,
  },
  { panel: /^vigil-ranks\/Each rank /, scenario: /^(healthy|nan|ranks, trainer)/, reason: "none has ended, or nobody is there to say how", shown: 6 },
  { panel: /^vigil-itself\/Failures of exporters /, scenario: /vigild$/, reason: "exporters are those of the trainer" },
];

/** What a number says at the end. @type {{panel: string, scenario: RegExp, is: (value: number) => boolean, what: string}[]} */
export const numbers = [
  { panel: "vigil-run/State (stat)", scenario: /^(healthy|nan)/, is: (value) => value === 1, what: "running" },
  { panel: "vigil-run/State (stat)", scenario: /^ranks, vigild/, is: (value) => value === 5, what: "crashed, the worst of the ranks" },
  { panel: "vigil-run/Step (stat)", scenario: /./, is: (value) => value > 0, what: "above 0" },
  { panel: "vigil-run/Loss (stat)", scenario: /^(healthy|ranks)/, is: (value) => value > 0 && value < 10, what: "finite" },
  { panel: "vigil-run/Loss (stat)", scenario: /^nan/, is: Number.isNaN, what: "NaN" },
  { panel: "vigil-numerics/Loss (stat)", scenario: /^nan/, is: Number.isNaN, what: "NaN" },
  { panel: "vigil-numerics/Non-finite steps (stat)", scenario: /^(healthy|ranks)/, is: (value) => value === 0, what: "0" },
  { panel: "vigil-numerics/Non-finite steps (stat)", scenario: /^nan/, is: (value) => value > 1, what: "above 1" },
  { panel: "vigil-numerics/Non-finite parameters (stat)", scenario: /^(healthy|ranks)/, is: (value) => value === 0, what: "0" },
  { panel: "vigil-numerics/Non-finite parameters (stat)", scenario: /^nan/, is: (value) => value >= 10, what: "all of the model's 10" },
  { panel: "vigil-numerics/Clipping (stat)", scenario: /^golden/, is: (value) => value === 0.5, what: "as in the exposition" },
  { panel: "vigil-overview/Runs in progress (stat)", scenario: /./, is: (value) => value === 1, what: "1" },
  { panel: "vigil-overview/Runs with non-finite steps (stat)", scenario: /^(healthy|ranks)/, is: (value) => value === 0, what: "0" },
  { panel: "vigil-overview/Runs with non-finite steps (stat)", scenario: /^nan/, is: (value) => value === 1, what: "1" },
  { panel: "vigil-overview/Runs in trouble (stat)", scenario: /^(healthy|nan)/, is: (value) => value === 0, what: "0" },
  { panel: "vigil-overview/Runs in trouble (stat)", scenario: /^ranks, vigild/, is: (value) => value === 1, what: "1" },
  { panel: "vigil-overview/Alerts firing (stat)", scenario: /^(nan|ranks, vigild)/, is: (value) => value > 0, what: "above 0" },
  { panel: "vigil-ranks/Ranks (stat)", scenario: /^ranks, vigild/, is: (value) => value === 3, what: "3" },
  { panel: "vigil-ranks/Ranks in progress (stat)", scenario: /^ranks/, is: (value) => value === 2, what: "2, as one was killed" },
  { panel: "vigil-ranks/Ranks gone (stat)", scenario: /^ranks, vigild/, is: (value) => value === 1, what: "1" },
  { panel: "vigil-ranks/Ranks gone (stat)", scenario: /^(healthy|nan)/, is: (value) => value === 0, what: "0" },
  {
    panel: "vigil-ranks/Slowest rank (stat)",
    scenario: /^ranks/,
    is: (value) => value > 1.2,
    what: "slower than the median, as its batches are larger",
  },
  { panel: "vigil-ranks/Non-finite ranks (stat)", scenario: /^nan/, is: (value) => value === 1, what: "1" },
];

/** Annotations that mark something in a scenario; in `mayShow` they may, elsewhere they have nothing to mark. */
export const annotations = {
  "Alerts of Prometheus": { shown: /^(nan|golden|ranks)/, mayShow: /^healthy/ },
  "Alerts of vigil": { shown: /^(nan|golden)/, mayShow: /^(healthy|ranks)/ },
  Rollbacks: { shown: /^golden/ },
  Restarts: { shown: /^golden/ },
};

/** Alerts that fire. Of deploy/prometheus/alerts.yml nothing else does, of the catalogue it depends on the machine. */
export const firing = {
  healthy: [],
  nan: ["VigilNonfiniteGradient", "VigilNonfiniteLoss", "VigilNonfiniteParameter"],
  ranks: ["VigilRunCrashed"],
};

/** Labels of legends and texts that a series may be without, as it is of a whole run or of a layer. */
export const optionalLabels = new Set(["layer", "parameter"]);
