// @ts-check
// Programs that a test starts, and their end: none outlives the test, also when that fails, is interrupted or killed.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** @type {Set<Program>} */
const running = new Set();
/** @type {string[]} */
const folders = [];

/**
 * Where a program of the build lies, as CMake says in the environment.
 * @param {string} name  VIGIL_VIGILD, VIGIL_MNIST, …
 */
export function built(name) {
  const path = process.env[name];
  if (!path) throw new Error(`${name} is not set: run the tests by ctest --preset release -L browser`);
  return path;
}

/** A folder of this test's own, which is removed with it. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), "vigil-browser-"));
  folders.push(folder);
  return folder;
}

/**
 * Asks until the condition holds, and hands its value back.
 * @template T
 * @param {string} what  for the error, e.g. "the page shows step 100"
 * @param {() => T | Promise<T>} condition
 * @param {{seconds?: number, interval?: number}} [options]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, condition, { seconds = 20, interval = 20 } = {}) {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return /** @type {NonNullable<T>} */ (value);
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}

/** A child process with what it writes. The kernel ends it when this process is gone, however that ended. */
export class Program {
  output = "";
  /** @type {number | string | null} exit code or signal; null while it runs */
  ended = null;

  /**
   * @param {string} path
   * @param {string[]} args
   * @param {{cwd?: string, env?: Record<string, string>}} [options]
   */
  constructor(path, args, { cwd, env } = {}) {
    this.name = path.split("/").pop();
    this.child = spawn("setpriv", ["--pdeathsig", "KILL", "--", path, ...args],
      { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => (this.output += text));
    }
    running.add(this);
    this.exit = new Promise((resolve) => {
      this.child.on("error", (error) => {
        this.output += String(error);
        this.ended = "not started";
        running.delete(this);
        resolve(this.ended);
      });
      this.child.on("close", (code, signal) => {
        this.ended = code ?? signal;
        running.delete(this);
        resolve(this.ended);
      });
    });
  }

  get pid() { return this.child.pid ?? 0; }

  /**
   * Waits for something in the output, which is handed back as matched.
   * @param {RegExp} pattern
   */
  async said(pattern) {
    return until(`${this.name} says ${pattern}`, () => {
      const match = pattern.exec(this.output);
      if (!match && this.ended !== null) throw new Error(`${this.name} ended (${this.ended}) without ${pattern}:\n${this.output}`);
      return match;
    });
  }

  /** Ends it and waits until it has. @param {NodeJS.Signals} [signal] */
  async stop(signal = "SIGTERM") {
    if (this.ended === null) this.child.kill(signal);
    const hard = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await this.exit;
    clearTimeout(hard);
  }
}

/** Runs a program to its end. @param {string} path @param {string[]} args */
export async function finish(path, args) {
  const program = new Program(path, args);
  if ((await program.exit) !== 0) throw new Error(`${program.name}: ${program.ended}\n${program.output}`);
  return program.output;
}

/** Ends what is still there. For the end of a test. */
export async function stopAll() {
  await Promise.all([...running].map((program) => program.stop("SIGKILL")));
  removeFolders();
}

function removeFolders() {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

process.on("exit", () => {
  for (const program of running) program.child.kill("SIGKILL");
  removeFolders();
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));
