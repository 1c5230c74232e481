// The page: its frame, and which view is shown. README.md has the contract of a view.

import { Api, Connection, poll } from "./api.js";
import { ChartGroup } from "./chart.js";
import { el, fill, icon, loadStyle, setText, statePanel } from "./dom.js";
import { attemptOf, EventFeed, RunList, stateName } from "./runs.js";
import { toggleTheme } from "./theme.js";

const views = ["Run", "Layers", "Numerics", "Alerts", "System", "Compare"].map((title) => {
  const id = title.toLowerCase();
  return { id, title, scope: id === "compare" ? "host" : "run", load: () => import(`./views/${id}.js`) };
});

const problems = () => import("./problems.js");

// Where the user is: #/run/mnist/0?view=layers&attempt=2, #/compare?…, #/alerts.

/** @param {string} hash @returns {Route} */
function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const params = new URLSearchParams(query);
  const parts = path.split("/").map(decode);
  const attempt = Number(params.get("attempt"));
  const isRun = parts[0] === "run" && parts.length > 1 && parts[1] !== "";
  const view = isRun ? (params.get("view") ?? "run") : parts[0] || "run";
  params.delete("view");
  params.delete("attempt");
  return {
    view,
    run: isRun ? parts[1] : null,
    rank: isRun && /^\d+$/.test(parts[2] ?? "") ? Number(parts[2]) : 0,
    attempt: isRun && Number.isInteger(attempt) && attempt > 0 ? attempt : null,
    params,
  };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param {Record<string, any>} route @returns {string} */
function formatRoute({ view, run = null, rank = 0, attempt = null, params = {} }) {
  const query = new URLSearchParams();
  if (run !== null && view !== "run") query.set("view", view);
  if (run !== null && attempt !== null) query.set("attempt", String(attempt));
  for (const [name, value] of new URLSearchParams(params)) query.append(name, value);
  const path = run === null ? `#/${view}` : `#/run/${encodeURIComponent(run)}/${rank}`;
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** Header and banner. */
class Shell {
  #tabs = el("nav", { class: "tabs", "aria-label": "Views" });
  #pickerDot = el("span", { class: "dot", "aria-hidden": "true" });
  #pickerName = el("span", { class: "picker-name", text: "No run" });
  #pickerMeta = el("span", { class: "picker-meta" });
  #live = el("button", { class: "live", type: "button", title: "Follow the run (l)" }, el("span", { class: "live-dot", "aria-hidden": "true" }), el("span", { class: "live-word" }));
  #banner = document.getElementById("connection");
  #countdown;

  constructor(app) {
    this.app = app;
    const picker = el("button", { class: "picker", type: "button", title: "Choose a run (r)", "aria-haspopup": "dialog", on: { click: () => app.openPicker() } },
      this.#pickerDot, this.#pickerName, this.#pickerMeta, icon("chevron"));
    const button = (name, label, run) =>
      el("button", { class: "icon-button", type: "button", title: label, "aria-label": label, on: { click: run } }, icon(name));
    this.#live.addEventListener("click", () => app.setLive(!app.live));
    this.#tabs.addEventListener("keydown", async ({ key }) => (await import("./tab_keys.js")).onTabKey(this.#tabs, key));
    fill(document.getElementById("top"),
      el("a", { class: "brand", href: "#/", "aria-label": "vigil" }, el("img", { class: "logo", src: "assets/logo.svg", alt: "" }), el("span", { class: "wordmark", text: "vigil" })),
      picker, this.#tabs,
      el("div", { class: "top-actions" }, this.#live, button("theme", "Dark or light (t)", toggleTheme), button("help", "Keys and help (?)", () => app.openHelp())));
    app.addEventListener("route", () => this.#drawRoute());
    app.addEventListener("info", () => this.#drawRoute());
    app.addEventListener("live", () => this.#drawLive());
    app.runs.addEventListener("change", () => this.#drawPicker());
    app.connection.addEventListener("change", () => this.#drawConnection());
    this.#drawLive();
  }

  #drawRoute() {
    const { app } = this;
    const current = app.route.view;
    fill(this.#tabs, app.views().map((entry, index) => {
      const run = entry.scope === "run" ? app.selection : null;
      return el("a", {
        class: "tab", href: formatRoute({ view: entry.id, ...(run ?? {}) }), title: `${entry.title} (${index + 1})`, "aria-current": entry.id === current ? "page" : null, data: { view: entry.id },
      }, entry.title);
    }));
    this.#tabs.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.#drawPicker();
  }

  #drawPicker() {
    const { selection, runs } = this.app;
    if (!selection) {
      setText(this.#pickerName, runs.runs ? (runs.runs.length > 0 ? "Choose a run" : "No run yet") : "Loading");
      return;
    }
    const run = runs.find(selection.run, selection.rank);
    const attempt = attemptOf(run, selection.attempt);
    this.#pickerDot.dataset.state = stateName(selection.attempt === null ? run?.state : attempt?.state);
    setText(this.#pickerName, selection.run);
    const meta = [];
    if (selection.rank > 0 || (attempt?.world_size ?? 1) > 1) meta.push(`rank ${selection.rank}`);
    if ((run?.attempts?.length ?? 0) > 1 && attempt) meta.push(`attempt ${attempt.attempt}`);
    setText(this.#pickerMeta, meta.join(" · "));
  }

  #drawLive() {
    this.#live.setAttribute("aria-pressed", String(this.app.live));
    setText(this.#live.lastElementChild, this.app.connection.state === "offline" ? "Offline" : this.app.live ? "Live" : "Paused");
  }

  #drawConnection() {
    const { connection } = this.app;
    this.#drawLive();
    clearInterval(this.#countdown);
    document.documentElement.dataset.connection = connection.state;
    if (connection.state !== "offline") return fill(this.#banner);
    const left = el("span", { class: "banner-count", "aria-hidden": "true" });
    const draw = () => {
      const seconds = Math.max(Math.ceil((connection.retryAt - Date.now()) / 1000), 0);
      setText(left, seconds > 0 ? `Next try in ${seconds} s.` : "Trying…");
    };
    const since = connection.lastAnswer ? `What is shown is from ${new Date(connection.lastAnswer).toLocaleTimeString("en-GB")}.` : "";
    fill(this.#banner, el("div", { class: "banner", data: { state: "offline" } },
      el("strong", { text: "Disconnected." }), el("span", { text: since }), left,
      el("button", { class: "button small", type: "button", text: "Retry now", on: { click: () => connection.retryNow() } })));
    draw();
    this.#countdown = setInterval(draw, 500);
  }
}

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
  context = null;
  #mounted = "";
  #abort = new AbortController();
  #events = null;
  #eventsAbort = new AbortController();
  #eventsOf = "";
  #starts = new Map();

  constructor() {
    super();
    this.root = document.getElementById("view");
    this.announcer = document.getElementById("announcer");
    this.shell = new Shell(this);
    addEventListener("hashchange", () => this.#follow());
    addEventListener("keydown", (event) => this.#onKey(event));
    this.runs.addEventListener("change", () => this.#follow());
    this.runs.addEventListener("error", () => this.#follow());
    this.connection.addEventListener("change", () => {
      if (!this.runs.runs) this.#follow();
      if (!this.info && this.connection.state === "online") void this.#askInfo();
    });
    this.api.hasHistory = this.#askInfo().then(() => this.info?.history !== false);
    this.#follow();
  }

  /** A trainer has one run, and nothing to compare it with. */
  views() {
    return views.filter((entry) => entry.id !== "compare" || this.info?.program !== "trainer");
  }

  async #askInfo() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const info = await this.api.get("info");
      if (typeof info.now === "number") this.runs.clockOffset = info.now - Date.now() / 1000;
      this.info = info;
      this.dispatchEvent(new Event("info"));
    } catch {
      // An older server has no such path.
    }
    this.#isAsking = false;
  }
  #isAsking = false;

  setLive(live) {
    if (this.live === live) return;
    this.live = live;
    this.announce(live ? "Live" : "Paused");
    this.dispatchEvent(new Event("live"));
  }

  async openPicker() {
    await (await import("./picker.js")).openPicker(this);
  }

  async openHelp() {
    await (await import("./help.js")).openHelp(this);
  }

  announce(text) {
    this.announcer.textContent = text;
  }

  /** What is not named stays. */
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
    if (!entry) return void this.#show("none", async () => (await problems()).noSuchView(() => this.go({ view: "run" })));
    if (entry.scope === "host") {
      if (!this.runs.runs) return this.#showWaiting();
      return void this.#mount(entry, null);
    }
    if (this.route.run === null) {
      if (!this.runs.runs) return this.#showWaiting();
      const run = this.selection ?? this.runs.preferred();
      if (!run) return void this.#show("empty", async () => (await problems()).noRun());
      history.replaceState(null, "", formatRoute({ view: entry.id, run: run.run, rank: run.rank, params: this.route.params }));
      return this.#follow();
    }
    const { run, rank, attempt } = this.route;
    this.selection = { run, rank, attempt };
    const row = this.runs.find(run, rank);
    if (attempt !== null && !this.runs.runs) return this.#showWaiting();
    if (this.runs.runs && (!row || (row.attempts?.length && !attemptOf(row, attempt)))) {
      return void this.#show(location.hash, async () => (await problems()).noSuchRun(this, row));
    }
    // A trainer that was started anew at its port has the same name and attempt, and other steps.
    const newest = attemptOf(row, null);
    if (newest) {
      const key = JSON.stringify([run, rank, newest.attempt]);
      if ((this.#starts.get(key) ?? newest.start_time) !== newest.start_time) this.#mounted = this.#eventsOf = "";
      this.#starts.set(key, newest.start_time);
    }
    // A run that has just begun is not in the history yet.
    const isShown = this.#mounted === JSON.stringify([entry.id, { run, rank, attempt }]);
    if (!isShown && row && !row.attempts?.length && this.info?.history && !this.runs.historyError) return this.#showWaiting();
    void this.#mount(entry, { run, rank, attempt });
  }

  #showWaiting() {
    if (this.connection.state === "offline") {
      void this.#show("offline", () => statePanel({ kind: "offline", title: "The server does not answer", text: "Neither a trainer nor vigild answers here. The page goes on as soon as one does.", action: { label: "Retry now", run: () => this.connection.retryNow() } }));
    } else if (this.runs.error) {
      void this.#show("failed", async () => (await problems()).noRuns(this.runs.error));
    } else {
      void this.#show("waiting", () => el("div", { class: "view-skeleton", "aria-busy": "true", "aria-label": "Loading" }, el("div", { class: "skeleton" })));
    }
  }

  async #show(what, make) {
    if (this.#mounted === what) return;
    this.#unmount();
    this.#mounted = what;
    this.dispatchEvent(new Event("route"));
    const panel = await make();
    if (this.#mounted === what) fill(this.root, panel);
  }

  #unmount() {
    this.#abort.abort();
    this.view?.dispose?.();
    this.context?.group.dispose();
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
      fill(root, (await problems()).noView(entry.title, error));
    }
  }
  #hasOpened = false;

  #makeContext(entry, run, signal, openedAt) {
    const app = this;
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
    const key = JSON.stringify(run);
    if (this.#events && this.#eventsOf === key) return this.#events;
    this.#eventsAbort.abort();
    this.#eventsAbort = new AbortController();
    this.#eventsOf = key;
    this.#events = new EventFeed(this.api, run, { signal: this.#eventsAbort.signal, isPaused: () => !this.live });
    return this.#events;
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target;
    const isTyping = target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
    if (document.querySelector("dialog[open]") || isTyping) return;
    if (this.view?.onKey?.(event)) return event.preventDefault();
    const entry = /^[1-9]$/.test(event.key) ? this.views()[Number(event.key) - 1] : undefined;
    if (entry) this.go({ view: entry.id });
    else if (event.key === "?") this.openHelp();
    else if (event.key === "l") this.setLive(!this.live);
    else if (event.key === "t") toggleTheme();
    else if (event.key === "r") this.openPicker();
    else if (event.key === "/") this.view?.focusFilter ? this.view.focusFilter() : this.openPicker();
    else return;
    event.preventDefault();
  }
}

const app = new App();

// For tests, to be compared with what the API says.
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
