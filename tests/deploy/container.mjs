// A service of compose.yml without an engine: its command, with the program of this machine and its mounts in a folder. Of what it is given
// only paths and addresses are replaced.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";

import { kDeploy } from "./deployment.mjs";

/** @returns {Promise<number>} a port that nobody listens on */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * Waits until `check` returns something, asking every 100 ms.
 * @template T
 * @param {() => Promise<T | undefined | false | null>} check
 * @param {number} seconds
 * @param {() => string} problem what to say when it does not
 * @returns {Promise<T>}
 */
export async function until(check, seconds, problem) {
  for (const end = Date.now() + 1000 * seconds; ; ) {
    const found = await check().catch(() => undefined);
    if (found) return found;
    if (Date.now() > end) throw new Error(problem());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export class Container {
  /**
   * @param {string} name of the service
   * @param {any} service
   * @param {string} folder of its own, for what it mounts
   * @param {string} shared folder of all, for volumes
   */
  constructor(name, service, folder, shared) {
    this.name = name;
    this.service = service;
    this.folder = folder;
    this.places = new Map();
    this.files = [];
    mkdirSync(folder, { recursive: true });
    for (const mount of service.volumes) {
      const [source, target] = typeof mount === "string" ? mount.split(":") : [mount.source, mount.target];
      const here = join(folder, target);
      mkdirSync(dirname(here), { recursive: true });
      if (!source.startsWith(".")) {
        mkdirSync(join(shared, source), { recursive: true });
        this.places.set(target, join(shared, source));
        continue;
      }
      const path = join(kDeploy, "compose", source);
      if (statSync(path).isDirectory()) symlinkSync(path, here);
      else copyFileSync(path, here);
      if (!statSync(path).isDirectory()) this.files.push(here);
      this.places.set(target, here);
    }
  }

  /** @param {string} text @returns {string} with this machine's paths in place of the container's */
  placed(text) {
    const targets = [...this.places.keys()].sort((a, b) => b.length - a.length).join("|");
    return text.replace(new RegExp(`(?<![\\w/.-])(${targets})(?![\\w.-])`, "g"), (target) => this.places.get(target));
  }

  /**
   * Starts the program.
   * @param {string} program
   * @param {(text: string) => string} addressed puts this machine's addresses in place of the network's
   */
  start(program, addressed) {
    for (const file of this.files) writeFileSync(file, this.placed(addressed(readFileSync(file, "utf8"))));
    this.logPath = join(this.folder, "log");
    const log = openSync(this.logPath, "w");
    const words = this.service.command.map((word) => this.placed(addressed(word)));
    this.process = spawn(program, words, { cwd: this.folder, stdio: ["ignore", log, log], env: { PATH: process.env.PATH, HOME: this.folder } });
    this.ended = new Promise((resolve) => this.process.on("exit", (code, signal) => resolve(signal ?? code)));
  }

  log() {
    return `${this.name}:\n${readFileSync(this.logPath, "utf8")}`;
  }

  /** Ends it, by force when it does not within 30 s; returns its exit code or the signal. */
  async stop(signal = "SIGTERM") {
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill("SIGKILL"), 30_000);
    const how = await this.ended;
    clearTimeout(timer);
    return how;
  }
}
