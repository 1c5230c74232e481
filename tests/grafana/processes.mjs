// Programs under test and servers, in processes of their own, on free ports, that end with the test.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

/** @returns {Promise<number>} a TCP port of loopback that nobody listens on */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/**
 * Looks every `interval` ms until `condition` gives something that is not false, null or undefined.
 * @template T
 * @param {string} what for the message of the error
 * @param {() => T | Promise<T>} condition
 * @returns {Promise<T>}
 */
export async function waitFor(what, condition, seconds = 30, interval = 100) {
  const deadline = Date.now() + 1000 * seconds;
  for (;;) {
    const result = await condition();
    if (result !== false && result !== null && result !== undefined) return result;
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s for ${what}`);
    await pause(interval);
  }
}

export class Process {
  /** @param {string[]} command @param {string} log a file for what it prints @param {Record<string, string>} [environment] in addition */
  constructor(command, log, environment = {}) {
    if (!existsSync(command[0])) throw new Error(`${command[0]} is missing; run scripts/setup.sh, and build`);
    this.log = log;
    const file = openSync(log, "w");
    // Ended by the kernel when this process is, also when that is killed.
    this.child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
      stdio: ["ignore", file, file],
      env: { ...process.env, ...environment },
    });
    closeSync(file);
    this.ended = new Promise((resolve) => this.child.on("exit", (code, signal) => resolve(code ?? signal)));
    this.child.on("error", () => {});
  }

  get output() {
    return readFileSync(this.log, "utf8");
  }

  get running() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until `pattern` stands in the output. @returns {Promise<RegExpExecArray>} */
  async says(pattern, seconds = 30) {
    return waitFor(
      `${pattern} of ${this.child.spawnargs[0]}`,
      () => {
        const match = pattern.exec(this.output);
        if (match === null && !this.running) throw new Error(`${this.child.spawnargs.join(" ")} has ended:\n${this.output}`);
        return match;
      },
      seconds,
    );
  }

  async end(signal = "SIGKILL") {
    if (this.running) this.child.kill(signal);
    return this.ended;
  }
}
