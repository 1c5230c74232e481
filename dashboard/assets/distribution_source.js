// @ts-check
// Distributions of one tensor at many steps. The server answers one step at a time, and what it answered of a step stays as it is.

/** Steps of one tensor over time. */
export const MOST_STEPS = 48;
const MOST_KEPT = 1024;
const AT_ONCE = 3;

/** @typedef {import("./distribution.js").Distribution} Distribution */

/** @typedef {{step: number, of: Distribution | null}} DistributionAt */

/**
 * Multiples of a power of two, and the last step: as a run goes on, the steps that were asked for before are still among them.
 * @param {{first: number, last: number}} range
 */
export function stepsOf({ first, last }) {
  let stride = 1;
  while ((last - first) / stride > MOST_STEPS - 2) stride *= 2;
  const steps = [first];
  for (let step = (Math.floor(first / stride) + 1) * stride; step < last; step += stride) steps.push(step);
  return last > first ? [...steps, last] : steps;
}

/** @param {any} context of the view @param {() => number} attempt which of the run's, of the frame that is shown */
export function createDistributionSource(context, attempt) {
  /** @type {Map<string, Distribution | null>} */
  const kept = new Map();

  /**
   * The distribution at the latest frame up to `step`; null where it has none.
   * @param {string} kind @param {string} tensor @param {number} step @param {AbortSignal} signal
   * @returns {Promise<Distribution | null>}
   */
  async function at(kind, tensor, step, signal) {
    const key = JSON.stringify([attempt(), kind, tensor, step]);
    const known = kept.get(key);
    if (known !== undefined) return known;
    let answer = null;
    try {
      answer = await context.api.get("distribution", context.question({ kind, tensor, step }), { signal });
    } catch (error) {
      // 404: the tensor was not there at this step, or its magnitudes are not counted.
      if (/** @type {any} */ (error).status !== 404) throw error;
    }
    if (kept.size >= MOST_KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
    kept.set(key, answer);
    return answer;
  }

  return {
    at,
    /**
     * Over the steps from `first` to `last`; `onProgress` gets what is there so far, with null for what has not come.
     * @param {string} kind @param {string} tensor @param {{first: number, last: number}} range @param {AbortSignal} signal
     * @param {(columns: DistributionAt[]) => void} onProgress
     */
    async over(kind, tensor, range, signal, onProgress) {
      const wanted = stepsOf(range);
      /** @type {(Distribution | null | undefined)[]} undefined: has not come yet */
      const found = wanted.map(() => undefined);
      let next = 0;
      const work = async () => {
        while (next < wanted.length) {
          const place = next++;
          found[place] = await at(kind, tensor, wanted[place], signal);
        }
      };
      const columns = () => {
        /** @type {Map<number, DistributionAt>} frames are rarer than the steps asked for, so one may answer twice */
        const byStep = new Map();
        found.forEach((of, i) => {
          const step = of?.step ?? wanted[i];
          if (of !== null && !byStep.get(step)?.of) byStep.set(step, { step, of: of ?? null });
        });
        return [...byStep.values()].sort((a, b) => a.step - b.step);
      };
      const timer = setInterval(() => onProgress(columns()), 250);
      try {
        await Promise.all(Array.from({ length: AT_ONCE }, work));
      } finally {
        clearInterval(timer);
      }
      onProgress(columns());
    },
  };
}
