// @ts-check
// Which charts the Run view has, out of the names of the series that a run has.

/** Charts of every run, in their order; they are there before the first answer, so that nothing jumps. */
const always = /** @type {Panel[]} */ ([
  { id: "loss", title: "Loss", isWide: true, traces: [{ name: "loss", label: "loss" }] },
  { id: "gradient_norm", title: "Gradient norm", hint: "Euclidean norm over all gradients, before clipping", traces: [{ name: "gradient_norm", label: "gradient norm" }] },
  { id: "learning_rate", title: "Learning rate", isExact: true, traces: [{ name: "learning_rate[0]", label: "group 0" }] },
  { id: "parameter_norm", title: "Parameter norm", isExact: true, hint: "Euclidean norm over all parameters, at each sample", traces: [{ name: "parameter_norm", label: "parameter norm" }] },
  {
    id: "step_time", title: "Step time", unit: "seconds", fromZero: true,
    traces: [{ name: "step_seconds", label: "total" }, { name: "forward_backward_seconds", label: "fwd + bwd" }, { name: "optimizer_seconds", label: "optimizer" }, { name: "data_seconds", label: "data" }],
  },
  { id: "examples_per_second", title: "Examples per second", unit: "/s", fromZero: true, hint: "By wall time, waiting for data and evaluation among it", traces: [{ name: "examples_per_second", label: "examples" }] },
  { id: "overhead", title: "Time in vigil", unit: "seconds", fromZero: true, hint: "Of each step, what the training thread spent in vigil; samples stand out", traces: [{ name: "vigil_seconds", label: "vigil" }] },
]);

const optional = /** @type {Panel[]} */ ([
  { id: "clip_ratio", title: "Clip ratio", isOptional: true, hint: "What clipping multiplies the gradients by", traces: [{ name: "clip_ratio", label: "clip ratio" }] },
  {
    id: "device_memory", title: "Device memory", unit: "bytes", isExact: true, fromZero: true, isOptional: true,
    traces: [{ name: "device_allocated_bytes", label: "allocated" }, { name: "device_reserved_bytes", label: "reserved" }, { name: "device_peak_bytes", label: "peak" }],
  },
]);

/** Series that are computed here: of which one. */
export const rates = { examples_per_second: "examples_total" };

/** @param {{name: string}[]} names of /api/v1/series/names @returns {Panel[]} */
export function panelsOf(names) {
  const learningRates = names.filter(({ name }) => name.startsWith("learning_rate["));
  const scalars = names.filter(({ name }) => name.startsWith("user_scalar["));
  const inner = (/** @type {string} */ name) => name.slice(name.indexOf("[") + 1, -1);
  const panels = always.map((panel) => {
    if (panel.id !== "learning_rate" || learningRates.length === 0) return panel;
    return { ...panel, traces: learningRates.map(({ name }) => ({ name, label: /^\d+$/.test(inner(name)) ? `group ${inner(name)}` : inner(name) })) };
  });
  return [
    ...panels,
    ...scalars.map(({ name }) => ({ id: name, title: inner(name), hint: "Scalar that the program logs itself", traces: [{ name, label: inner(name) }] })),
    ...optional.filter((panel) => panel.traces.some((trace) => names.some(({ name }) => name === trace.name))),
  ];
}

/** Names to ask the server for. @param {Panel[]} panels @returns {string[]} */
export function sourcesOf(panels) {
  const names = panels.flatMap((panel) => panel.traces.map(({ name }) => (name in rates ? rates[/** @type {keyof typeof rates} */ (name)] : name)));
  return [...new Set(names)];
}
