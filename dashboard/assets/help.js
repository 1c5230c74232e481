// @ts-check
// The dialog with the keys.

import { el, icon, loadStyle } from "./dom.js";

const ofCharts = [["← →", "Move the cursor, with Shift further"], ["+ −", "Zoom"], ["n p", "Next and previous event"]];

/** @param {any} app */
export async function openHelp(app) {
  await loadStyle("dialogs.css");
  if (document.querySelector("dialog[open]")) return;
  const keys = (rows) => el("dl", { class: "keys" }, rows.map(([key, what]) => [
    el("dt", {}, key.split(" ").map((one) => el("kbd", { text: one }))), el("dd", { text: what })]));
  const version = app.info?.version ? `${app.info.program === "trainer" ? "Trainer" : "vigild"} ${app.info.version}. ` : "";
  const dialog = el("dialog", { class: "dialog help-dialog", "aria-labelledby": "help-title" },
    el("div", { class: "dialog-head" }, el("h2", { id: "help-title", text: "Keys" }),
      el("button", { class: "icon-button", type: "button", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close"))),
    keys([
      ...app.views().map((entry, index) => /** @type {[string, string]} */ ([String(index + 1), entry.title])),
      ["r", "Choose a run"], ["/", "Filter"], ["l", "Live or paused"], ["t", "Dark or light"], ["?", "This help"],
    ]),
    app.view?.help && el("h3", { text: "In this view" }), app.view?.help && keys(app.view.help),
    app.context?.group.charts.length > 0 && [el("h3", { text: "In a chart" }), keys(ofCharts)],
    el("p", { class: "dialog-foot" }, version, el("a", { href: app.info?.metrics_path?.replace(/^\//, "") ?? "metrics", text: "/metrics" }), " has the same figures for Prometheus."));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
