// Questions to the API, and whether it answers.

/** `status` is 0 where no answer came. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
  get isDisconnected() {
    return this.status === 0 || this.status === 502;
  }
  /** No history, or too many questions. */
  get isUnavailable() {
    return this.status === 503;
  }
}

const firstRetrySeconds = 1;
const longestRetrySeconds = 30;
/** Until what was refused is asked again. */
const failedSeconds = 10;

/** Fires "change". While it is offline, polls wait for `retryAt`. */
export class Connection extends EventTarget {
  state = "connecting";
  /** In ms of Date.now(). */
  lastAnswer = 0;
  retryAt = 0;
  #failures = 0;

  answered() {
    this.lastAnswer = Date.now();
    this.#failures = 0;
    this.#set("online");
  }
  failed() {
    // Polls that fail together are one failure.
    if (this.state === "offline" && Date.now() < this.retryAt) return;
    const seconds = Math.min(firstRetrySeconds * 2 ** this.#failures, longestRetrySeconds);
    ++this.#failures;
    // Spread, so that open pages do not all come back at once.
    this.retryAt = Date.now() + seconds * 1000 * (0.9 + 0.2 * Math.random());
    this.#set("offline", true);
  }
  retryNow() {
    this.retryAt = Date.now();
    this.dispatchEvent(new Event("retry"));
  }
  #set(state, always = false) {
    if (this.state === state && !always) return;
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

export class Api {
  /** Whether steps and events are kept. @type {Promise<boolean>} */
  hasHistory = Promise.resolve(true);

  constructor(connection, base = "api/v1/") {
    this.connection = connection;
    this.base = new URL(base, document.baseURI);
  }

  /** A list repeats a parameter, null leaves it out. Rejects with ApiError or AbortError. */
  async get(path, parameters = {}, { signal = undefined, timeoutMs = 10000 } = {}) {
    if (!/^(runs|info|metrics)$/.test(path) && !(await this.hasHistory)) throw new ApiError("No history is kept; the Run view says how to.", 503);
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(parameters)) {
      if (value === null || value === undefined) continue;
      for (const item of Array.isArray(value) ? value : [value]) url.searchParams.append(name, String(item));
    }
    const abort = new AbortController();
    const onAbort = () => abort.abort();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", onAbort);
    const timer = setTimeout(onAbort, timeoutMs);
    try {
      const response = await fetch(url, { signal: abort.signal, cache: "no-cache", headers: { accept: "application/json" } });
      const text = await response.text();
      if (response.status !== 502) this.connection.answered();
      return this.#decode(response.status, text);
    } catch (error) {
      if (error instanceof ApiError) {
        if (error.isDisconnected) this.connection.failed();
        throw error;
      }
      if (signal?.aborted) throw new DOMException("No longer needed.", "AbortError");
      this.connection.failed();
      throw new ApiError(abort.signal.aborted ? `No answer within ${timeoutMs / 1000} s.` : "The server cannot be reached.", 0);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #decode(status, text) {
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      throw new ApiError(status === 200 ? "The answer is no JSON; is this the right server?" : `The server answered with status ${status}.`, status === 200 ? -1 : status);
    }
    if (status !== 200) throw new ApiError(typeof answer?.error === "string" ? answer.error : `The server answered with status ${status}.`, status);
    return answer;
  }
}

/**
 * Calls `task` at once, then `seconds` after each end, while the page is visible and the server there. `now` of the result does not wait.
 * @param {Connection} connection @param {(signal: AbortSignal) => Promise<void>} task @param {PollOptions} options
 */
export function poll(connection, task, { seconds, signal, isPaused = () => false, onError = () => {} }) {
  let timer;
  let isRunning = false;
  let isDue = false;
  let wasAway = false;
  let hasFailed = false;

  const turn = async () => {
    clearTimeout(timer);
    if (signal.aborted) return;
    if (isRunning) {
      isDue = true;
      return;
    }
    isRunning = true;
    isDue = false;
    wasAway = hasFailed = false;
    try {
      await task(signal);
    } catch (error) {
      hasFailed = true;
      wasAway = error instanceof ApiError && error.isDisconnected;
      if (!signal.aborted && !wasAway) onError(error);
    }
    isRunning = false;
    if (signal.aborted) return;
    if (isDue) void turn();
    else wait();
  };
  const wait = () => {
    const delay = connection.state === "offline" ? Math.max(connection.retryAt - Date.now(), 50) : 1000 * (hasFailed ? Math.max(seconds, failedSeconds) : seconds);
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (document.visibilityState === "hidden" || isPaused()) wait();
      else void turn();
    }, delay);
  };
  const onVisible = () => {
    if (document.visibilityState === "visible" && !isPaused()) void turn();
  };
  const onRetry = () => void turn();
  const onChange = () => {
    if (wasAway && connection.state === "online") void turn();
  };
  connection.addEventListener("change", onChange, { signal });
  document.addEventListener("visibilitychange", onVisible, { signal });
  connection.addEventListener("retry", onRetry, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  void turn();
  return { now: () => void turn() };
}
