// @ts-check
// Chromium, and pages in it that are watched: whatever goes wrong in one, or leaves its origin, fails the test.

import assert from "node:assert/strict";

import { chromium } from "playwright-core";

import { built, until } from "./programs.js";

const flags = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--force-color-profile=srgb", "--hide-scrollbars"];

/** @type {import("playwright-core").Browser | null} */
let browser = null;
/** @type {Visit[]} */
let visits = [];

export async function startBrowser() {
  browser = await chromium.launch({ executablePath: built("VIGIL_CHROMIUM"), headless: true, chromiumSandbox: false, args: flags });
  return browser;
}

/** Ends the browser; for the end of a test. */
export async function stopBrowser() {
  await browser?.close();
  browser = null;
}

/** A page and what was seen of it. */
export class Visit {
  /** @type {string[]} */
  faults = [];
  /** @type {import("playwright-core").Response[]} */
  responses = [];
  /** Faults that are meant, as when the server is stopped: RegExps of what they say. @type {RegExp[]} */
  expected = [];

  /** @param {import("playwright-core").Page} page @param {string} origin */
  constructor(page, origin) {
    this.page = page;
    this.origin = origin;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.#fault(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.#fault(`error: ${error.stack ?? error}`));
    page.on("crash", () => this.#fault("the page crashed"));
    page.on("dialog", (dialog) => {
      this.#fault(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.context().on("request", (request) => {
      const url = new URL(request.url());
      if (!["data:", "blob:"].includes(url.protocol) && url.origin !== origin) this.#fault(`request off origin: ${url}`);
    });
    page.on("requestfailed", (request) => {
      const reason = request.failure()?.errorText;
      // A view that is left takes back what it has asked.
      if (reason !== "net::ERR_ABORTED") this.#fault(`request failed: ${request.url()} ${reason}`);
    });
    page.on("response", (response) => {
      this.responses.push(response);
      if (response.status() >= 400) this.#fault(`${response.status()}: ${response.url()}`);
    });
  }

  #fault(/** @type {string} */ text) {
    if (!this.expected.some((pattern) => pattern.test(text))) this.faults.push(text);
  }

  /** No error in the console, no violation of the Content-Security-Policy, no request off origin, none that failed. */
  checkClean() {
    assert.deepEqual(this.faults, []);
  }

  /**
   * Waits for something in the page, and hands its value back. The function runs there, with `argument`.
   * @template A, T
   * @param {string} what @param {(argument: A) => T} condition @param {A} [argument] @param {{seconds?: number}} [options]
   */
  async until(what, condition, argument, options) {
    try {
      return await until(what, () => this.page.evaluate(/** @type {any} */ (condition), argument), options);
    } catch (error) {
      const text = await this.page.locator("body").innerText().catch(() => "");
      throw new Error(`${/** @type {Error} */ (error).message}\n${this.faults.join("\n")}\nThe page says:\n${text.slice(0, 2000)}`);
    }
  }

  /** Goes to a view without loading the page again. @param {string} hash */
  async go(hash) {
    await this.page.evaluate((to) => { location.hash = to; }, hash);
  }
}

/**
 * Opens a page in a profile of its own.
 * @param {string} url
 * @param {{width?: number, height?: number, scheme?: "dark" | "light", scale?: number, before?: (visit: Visit) => Promise<unknown>}} [options]
 */
export async function visit(url, { width = 1280, height = 900, scheme = "dark", scale = 1, before } = {}) {
  if (!browser) await startBrowser();
  const context = await /** @type {import("playwright-core").Browser} */ (browser).newContext({
    viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: scale, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC",
  });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    addEventListener("unhandledrejection", (event) => console.error(`unhandled: ${event.reason?.stack ?? event.reason}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const made = new Visit(page, new URL(url).origin);
  visits.push(made);
  await before?.(made);
  await page.goto(url, { waitUntil: "domcontentloaded" });
  return made;
}

/** Checks and closes every page that is open. For the end of each test. */
export async function closeVisits() {
  const open = visits;
  visits = [];
  for (const one of open) await one.page.context().close();
  for (const one of open) one.checkClean();
}
