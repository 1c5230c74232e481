// The files and commands of deploy/compose, run by the real programs: every target comes up, and a NaN arrives at Alertmanager.
// VIGIL_VIGILD, VIGIL_MNIST, VIGIL_CLI: programs. VIGIL_DEPS_DIR: where scripts/setup.sh puts servers and MNIST.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";

import { Container, freePort, until } from "./container.mjs";
import { compose, instruction, manifest } from "./deployment.mjs";

const { VIGIL_VIGILD, VIGIL_MNIST, VIGIL_CLI, VIGIL_DEPS_DIR } = process.env;
const kPrograms = {
  vigild: VIGIL_VIGILD,
  trainer: VIGIL_MNIST,
  "trainer-nan": VIGIL_MNIST,
  alertmanager: join(VIGIL_DEPS_DIR, "alertmanager/usr/bin/prometheus-alertmanager"),
  prometheus: join(VIGIL_DEPS_DIR, "prometheus/usr/bin/prometheus"),
};
const services = compose().services;
const root = mkdtempSync(join(tmpdir(), "vigil-compose-"));
const containers = {};
const addresses = {}; // by service

/** The port in a container of a service that has one. */
const portOf = (name) => (name.startsWith("trainer") ? "9464" : services[name].ports[0].split(":").at(-1));
const logs = () =>
  Object.values(containers)
    .map((container) => container.log())
    .join("\n");

/** What a text means outside of the network of `name`. */
const addressed = (name) => (text) => {
  let made = text.replace('address: "0.0.0.0", port: 9464', `address: "127.0.0.1", port: ${addresses[name].split(":")[1]}`);
  for (const host of ["0.0.0.0", "127.0.0.1"]) made = made.replaceAll(`${host}:${portOf(name)}`, addresses[name]);
  for (const [other, address] of Object.entries(addresses)) made = made.replaceAll(`${other}:${portOf(other)}`, address);
  return made;
};

async function json(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  return answer.json();
}
const query = async (expression) => (await json(`http://${addresses.prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`)).data.result;

function run(...command) {
  const done = spawnSync(command[0], command.slice(1), { encoding: "utf8" });
  assert.equal(done.status, 0, `${command.join(" ")}: ${done.error ?? done.stdout + done.stderr}`);
  return done.stdout;
}

before(async () => {
  for (const name of Object.keys(kPrograms)) {
    addresses[name] = `127.0.0.1:${await freePort()}`;
    containers[name] = new Container(name, services[name], join(root, name), join(root, "volumes"));
    // What the image brings, and no mount does.
    if (name.startsWith("trainer")) containers[name].places.set("/usr/share/vigil/mnist", join(VIGIL_DEPS_DIR, "mnist"));
  }
  for (const [name, program] of Object.entries(kPrograms)) containers[name].start(program, addressed(name));
});

after(async () => {
  for (const container of Object.values(containers)) if (container.process !== undefined) await container.stop();
  rmSync(root, { recursive: true, force: true });
});

test("promtool and amtool find nothing wrong with the files", () => {
  run(join(VIGIL_DEPS_DIR, "prometheus/usr/bin/promtool"), "check", "config", join(root, "prometheus/etc/prometheus/prometheus.yml"));
  run(join(VIGIL_DEPS_DIR, "alertmanager/usr/bin/amtool"), "check-config", join(root, "alertmanager/etc/alertmanager/alertmanager.yml"));
});

test("vigil finds nothing wrong with the trainers' settings", () => {
  const ofJob = join(root, "job.yml");
  writeFileSync(ofJob, containers.trainer.placed(manifest("ConfigMap", "mnist").data["vigil.yml"]));
  for (const file of [...containers.trainer.files, ...containers["trainer-nan"].files, ofJob]) run(VIGIL_CLI, "check-config", file);
});

test("what the services are asked for their health answers, and so do the images' checks", async () => {
  for (const [name, { healthcheck }] of Object.entries(services).filter(([one]) => one in kPrograms && services[one].healthcheck)) {
    const url = healthcheck.test.at(-1);
    await until(
      async () => (await fetch(addressed(name)(url))).status === 200,
      60,
      () => `${url}\n${containers[name].log()}`,
    );
    if (name === "vigild" || name === "trainer") assert.ok(instruction(name, "HEALTHCHECK").includes(`"${url}"`), name);
  }
  // The probes of Kubernetes.
  const probed = manifest("DaemonSet").spec.template.spec.containers[0];
  for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
    assert.equal((await fetch(`http://${addresses.vigild}${probed[probe].httpGet.path}`)).status, 200, probe);
  }
});

test("the page of the trainer and that of vigild are whole behind their published ports", async () => {
  for (const name of ["trainer", "vigild"]) {
    const page = await fetch(`http://${addresses[name]}/`);
    assert.equal(page.status, 200, name);
    assert.match(page.headers.get("content-type"), /^text\/html/, name);
    const parts = [...(await page.text()).matchAll(/(?:src|href)="(assets\/[^"]+)"/g)].map(([, path]) => path);
    assert.ok(parts.length > 0, `${name}: a page without its files`);
    for (const path of parts) assert.equal((await fetch(`http://${addresses[name]}/${path}`)).status, 200, `${name}: ${path}`);
  }
  await until(async () => (await json(`http://${addresses.vigild}/api/v1/runs`)).runs.some(({ run: name }) => name === "mnist"), 30, logs);
});

test("every target of Prometheus is up, and the runs are scraped from vigild", async () => {
  const expected = { alertmanager: 1, prometheus: 1, vigil: 2, vigild: 1 };
  const up = async () => Object.fromEntries((await query("count by (job) (up == 1)")).map(({ metric, value }) => [metric.job, Number(value[1])]));
  const isAsExpected = async () => JSON.stringify(Object.entries(await up()).sort()) === JSON.stringify(Object.entries(expected));
  await until(isAsExpected, 60, logs);
  const instance = `${addresses.vigild}/mnist/0`;
  const [loss] = await until(async () => await query(`vigil_loss{job="vigil",run="mnist",instance="${instance}"}`), 30, logs);
  assert.ok(Number(loss.value[1]) > 0 && Number(loss.value[1]) < 5, JSON.stringify(loss));
  assert.equal((await query('vigil_daemon_runs{job="vigild",state="running"} == 2')).length, 1);
});

test("a NaN in a gradient arrives at Alertmanager, with the name of the parameter", async () => {
  const isIt = ({ labels }) => labels.alertname === "VigilNonfiniteGradient" && labels.parameter === "conv2.weight";
  const alert = await until(async () => (await json(`http://${addresses.alertmanager}/api/v2/alerts`)).find(isIt), 180, logs);
  assert.equal(alert.labels.run, "mnist-nan");
  assert.equal(alert.labels.severity, "critical");
  assert.equal(alert.receivers[0].name, "critical");
});

test("SIGTERM ends vigild and the trainer as docker stop does", async () => {
  assert.equal(await containers.trainer.stop(), 0, containers.trainer.log());
  assert.equal(await containers.vigild.stop(), 0, containers.vigild.log());
});
