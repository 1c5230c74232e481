// @ts-check
// Events of one run: non-finite steps, alerts, changes of state, and whatever else the server tells of.

import { poll } from "./api.js";

const mostEvents = 2000;

/** Keeps the latest 2,000 events of a run, the oldest first. Fires "change" when there are new ones. */
export class EventFeed extends EventTarget {
  /** @type {RunEvent[]} */
  events = [];
  /** @type {Error | null} */
  error = null;
  isLoaded = false;
  #next = /** @type {number | null} */ (null);

  constructor(api, run, { signal, isPaused }) {
    super();
    const task = async (abort) => {
      const answer = await api.get("events", { run: run.run, rank: run.rank, since: this.#next, max_events: 1000 }, { signal: abort });
      const isFirst = !this.isLoaded;
      this.isLoaded = true;
      this.error = null;
      this.#next = answer.next ?? this.#next;
      if (answer.events.length > 0) this.events = this.events.concat(answer.events).slice(-mostEvents);
      if (isFirst || answer.events.length > 0) this.dispatchEvent(new Event("change"));
    };
    this.poll = poll(api.connection, task, {
      seconds: 2,
      signal,
      isPaused,
      onError: (error) => {
        this.error = error;
        this.dispatchEvent(new Event("change"));
      },
    });
  }

  /** Events of one attempt; null is the newest that has any. */
  of(attempt) {
    const wanted = attempt ?? this.events.reduce((newest, event) => Math.max(newest, event.attempt), 0);
    return this.events.filter((event) => event.attempt === wanted);
  }
}

/** @param {RunEvent} event @returns {Severity} how grave it is */
export function severityOf(event) {
  const { kind, details = {} } = event;
  if (kind === "nonfinite") return "critical";
  if (kind === "alert") return details.state === "resolved" ? "info" : details.severity === "critical" || details.severity === "warning" ? details.severity : "info";
  if (kind === "state") return ["failed", "crashed", "hung", "unreadable"].includes(details.state) ? "critical" : "info";
  return "info";
}

/** @param {RunEvent} event @returns {string} a few words: what it is */
export function titleOf(event) {
  const { kind, details = {} } = event;
  if (kind === "nonfinite") return details.loss_nonfinite ? "Loss not finite" : "Gradients not finite";
  if (kind === "alert") return `${details.alert ?? "Alert"} ${details.state === "resolved" ? "resolved" : "firing"}`;
  if (kind === "state") return details.state === "running" ? "Run goes on" : `Run ${details.state}`;
  return kind.replaceAll("_", " ");
}

/** @param {RunEvent} event @returns {string} a sentence, or nothing */
export function sentenceOf(event) {
  const details = event.details ?? {};
  return String(details.sentence ?? details.message ?? details.reason ?? details.path ?? "");
}
