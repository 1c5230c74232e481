// Real trainings, vigild that follows them, and the real Prometheus that scrapes both, with the rules of deploy/prometheus.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { GoldenRun } from "./golden_run.mjs";
import { Process, freePort, waitFor } from "./processes.mjs";
import { Prometheus } from "./prometheus.mjs";

const rules = fileURLToPath(new URL("../../deploy/prometheus/", import.meta.url));
export const ruleFiles = ["alerts.yml", "catalogue.yml", "dashboards.yml"];

function fromEnvironment(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; run ctest -L dashboards`);
  return value;
}

const kSampling =
  'sampling: {histogram: ["*"], update_ratio: ["*"], distance: ["*"], gradient_cosine: ["*"], optimizer_state: ["*"], activations_every_steps: 20}\n';

export class Trainings {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "vigil-trainings-"));
    this.rings = join(this.folder, "rings");
    mkdirSync(this.rings);
    /** @type {Map<string, Process>} */
    this.trainers = new Map();
    this.servers = [];
    this.start = Math.floor(Date.now() / 1000);
  }

  /** Starts a trainer that serves its metrics itself and lets vigild follow it. @returns its address */
  async train(name, run, command, environment = {}, settings = "") {
    const config = join(this.folder, `${name}.yml`);
    const shared = `ring: {shared: true, directory: '${this.rings}'}\n`;
    writeFileSync(config, `run: {name: ${run}}\n${shared}exporters: {prometheus: {precision: true}, report: {directory: '${this.folder}'}}\n${kSampling}${settings}`);
    const trainer = new Process([...command, "--config", config, "--port", "0", "--threads", "1"], join(this.folder, `${name}.log`), {
      OMP_NUM_THREADS: "1",
      ...environment,
    });
    this.trainers.set(name, trainer);
    return (await trainer.says(/http:\/\/(127\.0\.0\.1:\d+)\/metrics/))[1];
  }

  async begin() {
    const daemon = `127.0.0.1:${await freePort()}`;
    const vigild = new Process(
      [
        fromEnvironment("VIGIL_VIGILD"),
        `--ring.directory=${this.rings}`,
        `--web.listen-address=${daemon}`,
        `--storage.path=${join(this.folder, "history.db")}`,
        "--storage.frame-interval=1s",
        "--metrics.precision",
        // Nobody listens there: samples wait and fail, which is to be seen.
        `--remote-write.url=http://127.0.0.1:${await freePort()}/api/v1/write`,
      ],
      join(this.folder, "vigild.log"),
    );
    this.servers.push(vigild);
    const mnist = [fromEnvironment("VIGIL_MNIST"), "--data", join(fromEnvironment("VIGIL_DEPS_DIR"), "mnist"), "--epochs", "1000"];
    const ranks = [0, 1, 2].map((rank) => ({ RANK: String(rank), WORLD_SIZE: "3", LOCAL_RANK: "0" }));
    const targets = await Promise.all([
      this.train(
        "healthy",
        "healthy",
        [fromEnvironment("VIGIL_CHAR_TRANSFORMER"), ..."--steps 1000000 --batch 4 --context 16 --width 16 --layers 1 --validate-every 20".split(" ")],
        {},
        "work: {peak_gflops: 100}\n",
      ),
      // Weights are NaN from there on, as the guard only warns.
      this.train("nan", "nan", [...mnist, "--batch", "16", "--inject-nan-at", "60", "--layer", "conv2"]),
      // The last rank is slow, as its batches are larger.
      ...ranks.map((environment, rank) => this.train(`rank${rank}`, "ranks", [...mnist, "--batch", rank === 2 ? "32" : "4"], environment)),
    ]);
    await vigild.says(/serving http/);
    this.golden = await GoldenRun.serve();
    await this.scrape([...targets, this.golden.address], daemon);
    return this;
  }

  async scrape(targets, daemon) {
    for (const file of ruleFiles) {
      // A minute between two evaluations is longer than this test.
      writeFileSync(join(this.folder, file), readFileSync(join(rules, file), "utf8").replaceAll(/^( +interval:) \d+[sm]$/gm, "$1 3s"));
    }
    const config = join(this.folder, "prometheus.yml");
    const list = (addresses) => `[{targets: [${addresses.map((address) => `"${address}"`).join(", ")}]}]`;
    writeFileSync(
      config,
      `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [${ruleFiles.join(", ")}]
scrape_configs:
  - {job_name: vigil, static_configs: ${list(targets)}}
  - {job_name: vigil-runs, honor_labels: true, http_sd_configs: [{url: "http://${daemon}/sd", refresh_interval: 1s}]}
  - {job_name: vigild, static_configs: ${list([daemon])}, params: {"collect[]": [daemon]}}
`,
    );
    const address = `127.0.0.1:${await freePort()}`;
    const program = join(fromEnvironment("VIGIL_DEPS_DIR"), "prometheus/usr/bin/prometheus");
    const server = new Process(
      [program, `--config.file=${config}`, `--storage.tsdb.path=${join(this.folder, "tsdb")}`, `--web.listen-address=${address}`],
      join(this.folder, "prometheus.log"),
    );
    this.servers.push(server);
    this.prometheus = new Prometheus(`http://${address}`);
    await waitFor("Prometheus", async () => {
      if (!server.running) throw new Error(server.output);
      return (await fetch(`http://${address}/-/ready`).catch(() => null))?.ok || null;
    });
  }

  async end() {
    this.golden?.end();
    await Promise.all([...this.trainers.values(), ...this.servers].map((one) => one.end()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
