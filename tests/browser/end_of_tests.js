// @ts-check
// How the tests of a file end, whichever browser and programs they have started.

import { after, afterEach } from "node:test";

import { closeVisits, stopBrowser } from "./browser.js";
import { stopAll } from "./programs.js";

/** After each test what it visited is judged and closed; after the last the browser and all programs end. For the top of a test file. */
export function endWithTests() {
  afterEach(closeVisits);
  after(async () => {
    await stopBrowser();
    await stopAll();
  });
}
