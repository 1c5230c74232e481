// @ts-check
// The frame of the page: header, picker of runs, banner of the connection, help.

import { el, fill, icon, setText, svg } from "./dom.js";
import { formatAge } from "./format.js";
import { attemptOf, stateName } from "./runs.js";
import { formatRoute } from "./route.js";
import { toggleTheme } from "./theme.js";

/** Header and banner; follows the application's events. */
export class Shell {
  #tabs = el("nav", { class: "tabs", "aria-label": "Views" });
  #pickerDot = el("span", { class: "dot", "aria-hidden": "true" });
  #pickerName = el("span", { class: "picker-name", text: "No run" });
  #pickerMeta = el("span", { class: "picker-meta" });
  #live = el("button", { class: "live", type: "button", title: "Follow the run (l)" }, el("span", { class: "live-dot", "aria-hidden": "true" }), el("span", { class: "live-word" }));
  #banner = /** @type {HTMLElement} */ (document.getElementById("connection"));
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdown;

  constructor(app) {
    this.app = app;
    const picker = el("button", { class: "picker", type: "button", title: "Choose a run (r)", "aria-haspopup": "dialog", on: { click: () => this.openPicker() } },
      this.#pickerDot, this.#pickerName, this.#pickerMeta, icon("chevron"));
    const button = (name, label, run) =>
      el("button", { class: "icon-button", type: "button", title: label, "aria-label": label, on: { click: run } }, icon(name));
    this.#live.addEventListener("click", () => app.setLive(!app.live));
    this.#tabs.addEventListener("keydown", (event) => this.#onTabKey(event));
    fill(/** @type {HTMLElement} */ (document.getElementById("top")),
      el("a", { class: "brand", href: "#/", "aria-label": "vigil" }, logo(), el("span", { class: "wordmark", text: "vigil" })),
      picker, this.#tabs,
      el("div", { class: "top-actions" }, this.#live, button("theme", "Dark or light (t)", toggleTheme), button("help", "Keys and help (?)", () => this.openHelp())));
    app.addEventListener("route", () => this.#drawRoute());
    app.addEventListener("info", () => this.#drawRoute());
    app.addEventListener("live", () => this.#drawLive());
    app.runs.addEventListener("change", () => this.#drawPicker());
    app.connection.addEventListener("change", () => this.#drawConnection());
    this.#drawLive();
  }

  // Dialogs are loaded when they are first opened.
  async openPicker() {
    await (await import("./picker.js")).openPicker(this.app);
  }
  async openHelp() {
    await (await import("./help.js")).openHelp(this.app);
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

  #onTabKey(event) {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const tabs = [...this.#tabs.children];
    const place = tabs.indexOf(/** @type {Element} */ (document.activeElement));
    /** @type {HTMLElement} */ (tabs[(place + step + tabs.length) % tabs.length]).focus();
    event.preventDefault();
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
    setText(this.#live.lastElementChild, this.app.live ? "Live" : "Paused");
  }

  #drawConnection() {
    const { connection } = this.app;
    clearInterval(this.#countdown);
    document.documentElement.dataset.connection = connection.state;
    if (connection.state !== "offline") return fill(this.#banner);
    const left = el("span", { class: "banner-count", "aria-hidden": "true" });
    const draw = () => {
      const seconds = Math.max(Math.ceil((connection.retryAt - Date.now()) / 1000), 0);
      setText(left, seconds > 0 ? `Next try in ${seconds} s.` : "Trying…");
    };
    const since = connection.lastAnswer ? `What is shown is from ${new Date(connection.lastAnswer).toLocaleTimeString("en-GB")} (${formatAge((Date.now() - connection.lastAnswer) / 1000)}).` : "";
    fill(this.#banner, el("div", { class: "banner", data: { state: "offline" } },
      el("strong", { text: "Disconnected." }), el("span", { text: since }), left,
      el("button", { class: "button small", type: "button", text: "Retry now", on: { click: () => connection.retryNow() } })));
    draw();
    this.#countdown = setInterval(draw, 500);
  }
}

function logo() {
  return svg("svg", { class: "logo", viewBox: "0 0 32 32", "aria-hidden": "true" },
    svg("path", { class: "logo-eye", d: "M3 16c3.8-6 8.2-9 13-9s9.2 3 13 9c-3.8 6-8.2 9-13 9S6.8 22 3 16z" }),
    svg("path", { class: "logo-pulse", d: "M9.5 16h3.300l2-4.5 2.6 9 1.9-4.500h3.2" }));
}
