// @ts-check
// What stands where there is nothing to show, and what to do about it; loaded then.

import { loadStyle, statePanel } from "./dom.js";

void loadStyle("tables.css");

/** @param {() => void} run shows the run */
export const noSuchView = (run) => statePanel({ title: "There is no such view", text: "The address names a view that this page does not have.", action: { label: "Show the run", run } });

/** No such run, or attempt of it. @param {any} app @param {{attempts: {attempt: number}[]} | undefined} row of the run */
export function noSuchRun(app, row) {
  const { run, rank, attempt } = app.selection;
  if (!row) {
    return statePanel({
      title: "No such run", text: `The server knows no run "${run}" of rank ${rank}. It may have been removed from the history.`, action: { label: "Choose a run", run: () => app.openPicker() },
    });
  }
  const numbers = row.attempts.map((one) => one.attempt);
  const [first, last] = [Math.min(...numbers), Math.max(...numbers)];
  return statePanel({
    title: "No such attempt", text: `This run has no attempt ${attempt}: there ${first === last ? `is attempt ${first} alone` : `are ${first} to ${last}`}.`, action: { label: "Show the newest", run: () => app.go({ attempt: null }) },
  });
}

export const noRun = () => statePanel({
  title: "No run yet",
  text: "Nothing has been trained under vigil that this server could see. A run appears here the moment its trainer calls watch().",
  command: "# the trainer's vigil.yml, named by $VIGIL_CONFIG\nring: {shared: true}",
  hint: "vigild looks for ring files in the directories that --ring.directory names; its log says which.",
});

/** @param {Error} error */
export const noRuns = (error) => statePanel({ kind: "error", title: "The runs could not be read", text: error.message });

/** @param {string} title @param {Error} error */
export const noView = (title, error) => statePanel({
  kind: "error", title: `${title} cannot be shown`, text: String(error.message), hint: "Reload the page; if it stays so, the server and its page are of different versions.",
});

/** Why there are no steps of a run. @param {any} error of the API @param {any} info of it @param {boolean} isShown that some are there */
export function noSteps(error, info, isShown) {
  if (isShown) return statePanel({ kind: "error", title: "The newest steps could not be read", text: error.message });
  if (error.isUnavailable && /history/i.test(error.message)) {
    const isTrainer = info?.program === "trainer";
    return statePanel({
      kind: "error", title: "No history is kept",
      text: `${isTrainer ? "This trainer" : "vigild"} shows how ${isTrainer ? "its run stands" : "runs stand"} now, but keeps no steps, so there is nothing to draw. ${isTrainer ? "Give it memory for them in vigil.yml:" : "Start it without --storage.disabled, or give it a place for its database:"}`,
      command: isTrainer ? "exporters: {prometheus: {history_bytes: 33554432}}" : "vigild --storage.path=/var/lib/vigil/history.db",
    });
  }
  return statePanel({ kind: "error", title: error.status === 404 ? "There are no steps of this run" : "The steps could not be read", text: error.message });
}
