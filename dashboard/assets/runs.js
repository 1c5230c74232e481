// @ts-check
// The runs that the server knows, asked for every two seconds.

import { poll } from "./api.js";

/** States that a run does not leave again. */
export const endedStates = new Set(["finished", "failed", "crashed"]);

const stateWords = {
  starting: "starting", running: "running", finished: "finished", failed: "failed", crashed: "crashed", hung: "hung", unreadable: "unreadable",
};

/** @param {string | undefined} state @returns {string} for attributes that the stylesheet knows */
export function stateName(state) {
  return state !== undefined && state in stateWords ? state : "unknown";
}

/** Fires "change" after each answer, and "error" when there was none. */
export class RunList extends EventTarget {
  /** @type {Run[] | null} */
  runs = null;
  /** @type {string | null} why the history could not be read */
  historyError = null;
  /** @type {Error | null} */
  error = null;
  /** Clock of the server less that of this browser, in seconds, as far as /info told. */
  clockOffset = 0;

  constructor(api, signal) {
    super();
    const task = async (abort) => {
      const answer = await api.get("runs", {}, { signal: abort });
      this.runs = answer.runs;
      this.historyError = answer.history_error ?? null;
      this.error = null;
      this.dispatchEvent(new Event("change"));
    };
    this.poll = poll(api.connection, task, {
      seconds: 2,
      signal,
      onError: (error) => {
        this.error = error;
        this.dispatchEvent(new Event("error"));
      },
    });
  }

  find(run, rank) {
    return this.runs?.find((row) => row.run === run && row.rank === rank);
  }

  /** Which run one most likely wants to see: the latest that goes on, else the latest. */
  preferred() {
    return this.runs?.find((row) => !endedStates.has(row.state)) ?? this.runs?.[0];
  }

  /** Seconds since the epoch, by the server's clock. */
  now() {
    return Date.now() / 1000 + this.clockOffset;
  }
}

/** The attempt of a run: the one of that number, else the newest. @param {Run | undefined} run @param {number | null} attempt  */
export function attemptOf(run, attempt) {
  const attempts = run?.attempts ?? [];
  if (attempt !== null) return attempts.find((row) => row.attempt === attempt);
  return attempts.reduce((newest, row) => (newest === undefined || row.attempt > newest.attempt ? row : newest), undefined);
}
