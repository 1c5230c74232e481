// @ts-check
// Distributions of one tensor at many steps. The server answers one step at a time, and what it answered of a step stays as it is.

/** Steps of one tensor over time. */
export const MOST_STEPS = 48;
const MOST_KEPT = 1024;
const AT_ONCE = 3;

/** @typedef {import("./distribution.js").Distribution} Distribution */

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
     * Of at most MOST_STEPS of the steps, evenly spread; `onProgress` gets those that are there so far.
     * @param {string} kind @param {string} tensor @param {number[]} steps @param {AbortSignal} signal
     * @param {(distributions: Distribution[]) => void} onProgress
     */
    async over(kind, tensor, steps, signal, onProgress) {
      const stride = Math.ceil(steps.length / MOST_STEPS);
      // Counted from the first step, so that columns which were asked for stay the same ones as a run goes on.
      const wanted = steps.filter((_, i) => i % stride === 0 || i === steps.length - 1);
      /** @type {Map<number, Distribution>} by the step of the answer */
      const found = new Map();
      let next = 0;
      const work = async () => {
        while (next < wanted.length) {
          const answer = await at(kind, tensor, wanted[next++], signal);
          if (answer) found.set(answer.step, answer);
        }
      };
      const sorted = () => [...found.values()].sort((a, b) => a.step - b.step);
      const timer = setInterval(() => onProgress(sorted()), 250);
      try {
        await Promise.all(Array.from({ length: AT_ONCE }, work));
      } finally {
        clearInterval(timer);
      }
      onProgress(sorted());
    },
  };
}
