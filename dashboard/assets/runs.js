// The runs that the server knows, and the events of one, also in words.

import { poll } from "./api.js";

export const endedStates = new Set(["finished", "failed", "crashed"]);

const states = new Set([...endedStates, "starting", "running", "hung", "unreadable"]);

/** @param {string | undefined} state @returns {string} for attributes that the stylesheet knows */
export function stateName(state) {
  return state !== undefined && states.has(state) ? state : "unknown";
}

/** Fires "change" and "error". */
export class RunList extends EventTarget {
  runs = null;
  /** @type {string | null} why the history could not be read */
  historyError = null;
  error = null;
  /** The server's clock less that of this browser, s. */
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

  /** The latest that goes on, else the latest. */
  preferred() {
    return this.runs?.find((row) => !endedStates.has(row.state)) ?? this.runs?.[0];
  }

  now() {
    return Date.now() / 1000 + this.clockOffset;
  }
}

/** That attempt; null: the newest. @param {Run | undefined} run @param {number | null} attempt  */
export function attemptOf(run, attempt) {
  const attempts = run?.attempts ?? [];
  if (attempt !== null) return attempts.find((row) => row.attempt === attempt);
  return attempts.reduce((newest, row) => (newest === undefined || row.attempt > newest.attempt ? row : newest), undefined);
}

const mostEvents = 2000;

/** Asked apart, so that many phases push out no alert and no NaN. */
const eventKinds = [["nonfinite", "alert", "state"], ["phase", "checkpoint"]];

/** The latest 2,000 of each of these, the oldest first. Fires "change". */
export class EventFeed extends EventTarget {
  events = [];
  error = null;
  isLoaded = false;
  #parts = eventKinds.map((kind) => ({ kind, next: null, events: [] }));

  constructor(api, run, { signal, isPaused }) {
    super();
    // One after the other: the steps are asked for at the same time.
    const task = async (abort) => {
      for (const part of this.#parts) {
        const { events, next } = await api.get("events", { ...run, kind: part.kind, since: part.next, max_events: 1000 }, { signal: abort });
        part.next = next ?? part.next;
        part.events = part.events.concat(events).slice(-mostEvents);
        this.error = null;
        if (this.isLoaded && events.length === 0) continue;
        this.isLoaded = true;
        this.events = this.#parts.flatMap((one) => one.events).sort((a, b) => a.id - b.id);
        this.dispatchEvent(new Event("change"));
      }
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
  if (kind === "state") return details.state !== "running" ? `Run ${details.state}` : event.step > 1 ? "Run goes on" : "Run started";
  if (kind === "phase") return `Phase ${details.phase ?? ""}`;
  if (kind === "checkpoint") return "Checkpoint saved";
  return kind.replaceAll("_", " ");
}

/** @param {RunEvent} event @returns {string} a sentence, or nothing */
export function sentenceOf(event) {
  const details = event.details ?? {};
  return String(details.sentence ?? details.message ?? details.reason ?? details.path ?? "");
}
