// @ts-check
// vigild, trainers and histories, each started on a free port and in a folder of its own.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { built, finish, Program } from "./programs.js";

/** What answers HTTP: vigild, or a trainer's own endpoint. */
export class Server {
  /** @param {Program} program @param {string} url  without a slash at the end */
  constructor(program, url) {
    this.program = program;
    this.url = url;
  }

  get port() { return new URL(this.url).port; }

  /** @param {string} path  below /api/v1/ @param {Record<string, string | number | string[]>} [parameters] */
  async api(path, parameters = {}) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
    }
    const answer = await fetch(`${this.url}/api/v1/${path}?${query}`);
    const body = await answer.json();
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${body.error}`);
    return body;
  }

  /** What /api/v1/runs says of a run. @param {string} run */
  async run(run) {
    return (await this.api("runs")).runs.find((/** @type {any} */ one) => one.run === run);
  }

  /** @param {NodeJS.Signals} [signal] */
  stop(signal) { return this.program.stop(signal); }
}

/** The folder of ring files in a test's folder. @param {string} folder */
export function ringFolder(folder) {
  const rings = join(folder, "rings");
  mkdirSync(rings, { recursive: true });
  return rings;
}

/**
 * @param {string} folder  with rings/ and history.db
 * @param {{port?: string | number, flags?: string[]}} [options]
 */
export async function startVigild(folder, { port = 0, flags = [] } = {}) {
  const program = new Program(built("VIGIL_VIGILD"), [`--ring.directory=${ringFolder(folder)}`, "--ring.interval=100ms",
    ...(flags.includes("--storage.disabled") ? [] : [`--storage.path=${join(folder, "history.db")}`, "--storage.retention.time=0s", "--storage.frame-interval=0s"]),
    `--web.listen-address=127.0.0.1:${port}`, ...flags]);
  const [, url] = await program.said(/(http:\/\/127\.0\.0\.1:\d+)/);
  return new Server(program, url);
}

/** Makes a history of known runs in the folder's database. @param {string} folder @param {string[]} kinds  see known_history.cpp */
export async function makeHistory(folder, ...kinds) {
  await finish(built("VIGIL_KNOWN_HISTORY"), [join(folder, "history.db"), ...kinds]);
}

/** The settings of trainings that vigild and the page watch. */
const settings = (/** @type {string} */ run, /** @type {string} */ folder) => `run: {name: ${run}}
sampling: {every_steps: 10, histogram: ["*"], update_ratio: ["*"], optimizer_state: ["*"], activations_every_steps: 50}
ring: {shared: true, directory: ${ringFolder(folder)}}
exporters: {report: {directory: ${folder}}}
log: {level: warning}
`;

/**
 * A real training: examples/mnist, with an endpoint of its own and a ring file for vigild.
 * @param {string} folder @param {string} run @param {string[]} flags
 */
export async function startMnist(folder, run, ...flags) {
  const data = built("VIGIL_MNIST_DATA");
  if (!existsSync(data)) throw new Error(`${data} is missing: run scripts/setup.sh`);
  const config = join(folder, `${run}.yml`);
  writeFileSync(config, settings(run, folder));
  const program = new Program(built("VIGIL_MNIST"), ["--data", data, "--config", config, ...(flags.includes("--port") ? [] : ["--port", "0"]), "--threads", "1", "--epochs", "1000", "--batch", "16",
    ...flags], { cwd: folder });
  const [, url] = await program.said(/(http:\/\/127\.0\.0\.1:\d+)/);
  return new Server(program, url);
}

/** A trainer of the tests, without libtorch, whose every figure follows from its step. @param {string} folder @param {string} run @param {string[]} flags */
export async function startRingTrainer(folder, run, ...flags) {
  const program = new Program(built("VIGIL_RING_TRAINER"), [ringFolder(folder), run, ...flags]);
  await program.said(/ready/);
  return program;
}
