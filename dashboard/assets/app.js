// @ts-check
// The page: decides what is shown and hands each view what it needs. dashboard/README.md has the contract of a view.

import { Api, Connection, poll } from "./api.js";
import { ChartGroup } from "./chart-group.js";
import { el, fill, loadStyle, statePanel } from "./dom.js";
import { EventFeed } from "./events.js";
import { formatRoute, parseRoute } from "./route.js";
import { RunList } from "./runs.js";
import { Shell } from "./shell.js";
import { toggleTheme } from "./theme.js";

/** @type {ViewEntry[]} */
export const views = [
  { id: "run", title: "Run", scope: "run", load: () => import("./views/run.js") },
  { id: "layers", title: "Layers", scope: "run", load: () => import("./views/layers.js") },
  { id: "numerics", title: "Numerics", scope: "run", load: () => import("./views/numerics.js") },
  { id: "alerts", title: "Alerts", scope: "run", load: () => import("./views/alerts.js") },
  { id: "system", title: "System", scope: "run", load: () => import("./views/system.js") },
  { id: "compare", title: "Compare", scope: "host", load: () => import("./views/compare.js") },
];

class App extends EventTarget {
  connection = new Connection();
  api = new Api(this.connection);
  runs = new RunList(this.api, new AbortController().signal);
  /** @type {any} what /api/v1/info says; null until it has, or where the server is older */
  info = null;
  live = true;
  route = parseRoute(location.hash);
  /** @type {any} what the mounted view handed back */
  view = null;
  /** @type {any} */
  context = null;
  #mounted = "";
  /** @type {AbortController} */
  #abort = new AbortController();
  /** @type {EventFeed | null} */
  #events = null;
  #eventsAbort = new AbortController();
  #eventsOf = "";

  constructor() {
    super();
    this.root = /** @type {HTMLElement} */ (document.getElementById("view"));
    this.announcer = /** @type {HTMLElement} */ (document.getElementById("announcer"));
    this.shell = new Shell(this);
    addEventListener("hashchange", () => this.#follow());
    addEventListener("keydown", (event) => this.#onKey(event));
    this.runs.addEventListener("change", () => this.#follow());
    this.runs.addEventListener("error", () => this.#follow());
    this.connection.addEventListener("change", () => {
      if (!this.runs.runs) this.#follow();
    });
    void this.#askInfo();
    this.#follow();
  }

  /** Views that make sense here: a trainer has one run, and nothing to compare it with. */
  views() {
    return views.filter((entry) => entry.id !== "compare" || this.info?.program !== "trainer");
  }

  async #askInfo() {
    try {
      const info = await this.api.get("info");
      if (typeof info.now === "number") this.runs.clockOffset = info.now - Date.now() / 1000;
      this.info = info;
      this.dispatchEvent(new Event("info"));
    } catch {
      // An older server has no such path; then all views are offered.
    }
  }

  setLive(live) {
    if (this.live === live) return;
    this.live = live;
    this.announce(live ? "Live" : "Paused");
    this.dispatchEvent(new Event("live"));
  }

  announce(text) {
    this.announcer.textContent = text;
  }

  /** Goes to another view, run or attempt; what is not named stays. */
  go(target) {
    const entry = views.find((one) => one.id === (target.view ?? this.route.view));
    const run = entry?.scope === "host" ? null : (target.run ?? this.selection?.run ?? null);
    const isSameRun = target.run === undefined;
    location.hash = formatRoute({
      view: target.view ?? this.route.view,
      run,
      rank: target.rank ?? (isSameRun ? (this.selection?.rank ?? 0) : 0),
      attempt: target.attempt !== undefined ? target.attempt : isSameRun ? (this.selection?.attempt ?? null) : null,
      params: target.params ?? {},
    });
  }

  /** @type {RunChoice | null} the run that is shown, or was before Compare */
  selection = null;

  #follow() {
    this.route = parseRoute(location.hash);
    const entry = views.find((one) => one.id === this.route.view);
    if (!entry) return this.#show("none", statePanel({ title: "There is no such view", text: "The address names a view that this page does not have.", action: { label: "Show the run", run: () => this.go({ view: "run" }) } }));
    if (entry.scope === "host") {
      if (!this.runs.runs) return this.#showWaiting();
      return void this.#mount(entry, null);
    }
    if (this.route.run === null) {
      if (!this.runs.runs) return this.#showWaiting();
      const run = this.selection ?? this.runs.preferred();
      if (!run) return this.#show("empty", emptyPanel());
      history.replaceState(null, "", formatRoute({ view: entry.id, run: run.run, rank: run.rank, params: this.route.params }));
      return this.#follow();
    }
    const { run, rank, attempt } = this.route;
    this.selection = { run, rank, attempt };
    if (this.runs.runs && !this.runs.find(run, rank)) {
      this.#show("unknown", statePanel({
        title: "No such run", text: `The server knows no run "${run}" of rank ${rank}. It may have been removed from the history.`,
        action: { label: "Choose a run", run: () => this.shell.openPicker() },
      }));
      return;
    }
    void this.#mount(entry, { run, rank, attempt });
  }

  #showWaiting() {
    if (this.connection.state === "offline") {
      this.#show("offline", statePanel({ kind: "offline", title: "The server does not answer", text: "Neither a trainer nor vigild answers at this address. The page goes on by itself as soon as one does.", action: { label: "Retry now", run: () => this.connection.retryNow() } }));
    } else if (this.runs.error) {
      this.#show("failed", statePanel({ kind: "error", title: "The runs could not be read", text: this.runs.error.message }));
    } else {
      this.#show("waiting", el("div", { class: "view-skeleton", "aria-busy": "true", "aria-label": "Loading" }, el("div", { class: "skeleton" })));
    }
  }

  #show(what, element) {
    if (this.#mounted === what) return;
    this.#unmount();
    this.#mounted = what;
    fill(this.root, element);
    this.dispatchEvent(new Event("route"));
  }

  #unmount() {
    this.#abort.abort();
    this.view?.dispose?.();
    this.view = null;
    this.context = null;
    this.#abort = new AbortController();
  }

  async #mount(entry, run) {
    const mark = JSON.stringify([entry.id, run]);
    if (this.#mounted === mark) return;
    this.#unmount();
    this.#mounted = mark;
    const openedAt = this.#hasOpened ? performance.now() : 0;
    this.#hasOpened = true;
    const root = el("div", { class: `view view-${entry.id}`, data: { view: entry.id } });
    window.scrollTo(0, 0);
    fill(this.root, root);
    document.title = run ? `${run.run} · ${entry.title} · vigil` : `${entry.title} · vigil`;
    this.dispatchEvent(new Event("route"));
    const signal = this.#abort.signal;
    try {
      const module = await entry.load();
      if (signal.aborted) return;
      this.context = this.#makeContext(entry, run, signal, openedAt);
      const view = await module.mount(root, this.context);
      if (signal.aborted) view?.dispose?.();
      else this.view = view;
    } catch (error) {
      if (signal.aborted) return;
      console.error(error);
      fill(root, statePanel({ kind: "error", title: `${entry.title} cannot be shown`, text: String(/** @type {Error} */ (error).message), hint: "Reload the page; if it stays so, the server and its page are of different versions." }));
    }
  }
  #hasOpened = false;

  #makeContext(entry, run, signal, openedAt) {
    const app = this;
    /** @type {any} */
    const context = {
      api: this.api, connection: this.connection, runs: this.runs, selection: run, signal, openedAt,
      group: new ChartGroup(),
      get info() {
        return app.info;
      },
      get live() {
        return app.live;
      },
      get run() {
        return run ? app.runs.find(run.run, run.rank) : undefined;
      },
      get params() {
        return app.route.params;
      },
      get events() {
        return run ? app.#feedOf(run) : null;
      },
      question: (more = {}) => (run ? { run: run.run, rank: run.rank, attempt: run.attempt, ...more } : more),
      poll: (task, options) => {
        const handle = poll(this.connection, task, { ...options, signal, isPaused: () => !this.live });
        this.addEventListener("live", () => this.live && handle.now(), { signal });
        return handle;
      },
      setParams: (changes) => {
        for (const [name, value] of Object.entries(changes)) {
          if (value === null) this.route.params.delete(name);
          else this.route.params.set(name, value);
        }
        history.replaceState(null, "", formatRoute({ view: entry.id, ...(run ?? {}), params: this.route.params }));
      },
      on: (target, type, listener) => target.addEventListener(type, listener, { signal }),
      go: (target) => this.go(target),
      announce: (text) => this.announce(text),
      loadStyle,
    };
    return context;
  }

  #feedOf(run) {
    const key = JSON.stringify([run.run, run.rank]);
    if (this.#events && this.#eventsOf === key) return this.#events;
    this.#eventsAbort.abort();
    this.#eventsAbort = new AbortController();
    this.#eventsOf = key;
    this.#events = new EventFeed(this.api, run, { signal: this.#eventsAbort.signal, isPaused: () => !this.live });
    return this.#events;
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (event.target);
    const isTyping = target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
    if (document.querySelector("dialog[open]") || isTyping) return;
    if (this.view?.onKey?.(event)) return event.preventDefault();
    const entry = /^[1-9]$/.test(event.key) ? this.views()[Number(event.key) - 1] : undefined;
    if (entry) this.go({ view: entry.id });
    else if (event.key === "?") this.shell.openHelp();
    else if (event.key === "l") this.setLive(!this.live);
    else if (event.key === "t") toggleTheme();
    else if (event.key === "r") this.shell.openPicker();
    else if (event.key === "/") this.view?.focusFilter ? this.view.focusFilter() : this.shell.openPicker();
    else return;
    event.preventDefault();
  }
}

function emptyPanel() {
  return statePanel({
    title: "No run yet",
    text: "Nothing has been trained under vigil that this server could see. A run appears here the moment its trainer calls watch().",
    command: "# the trainer's vigil.yml, named by $VIGIL_CONFIG\nring: {shared: true}",
    hint: "vigild looks for ring files in the directories that --ring.directory names; its log says which.",
  });
}

const app = new App();

// For tests: what is shown, to be compared with what the API says. Nothing here changes the page.
Object.defineProperty(window, "vigil", {
  value: Object.freeze({
    get route() {
      return { ...app.route, params: Object.fromEntries(app.route.params) };
    },
    get connection() {
      return app.connection.state;
    },
    get runs() {
      return structuredClone(app.runs.runs);
    },
    get view() {
      return app.view;
    },
    get store() {
      return app.view?.store ?? null;
    },
    get charts() {
      return app.context?.group.charts ?? [];
    },
    get live() {
      return app.live;
    },
  }),
});
