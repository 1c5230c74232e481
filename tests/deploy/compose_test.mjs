// deploy/compose: conforms to the specification, is hardened, and names what exists.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { parse } from "yaml";

import { compose, instruction, kDeploy, stages, text, version } from "./deployment.mjs";
import { composeProblems } from "./schema.mjs";

const file = compose();
const services = Object.entries(file.services);
const built = services.filter(([, service]) => service.build !== undefined);

/** A mount in the short form or the long one. */
const mounts = (service) =>
  (service.volumes ?? []).map((mount) => {
    if (typeof mount !== "string") return mount;
    const [source, target, mode = "rw"] = mount.split(":");
    return { type: source.startsWith(".") ? "bind" : "volume", source, target, read_only: mode === "ro" };
  });

test("the file conforms to the specification", () => assert.deepEqual(composeProblems(file), []));

test("the schema tells a wrong key and a wrong type", () => {
  const wrong = structuredClone(file);
  wrong.services.vigild.helthcheck = {};
  wrong.services.vigild.read_only = "perhaps";
  assert.equal(composeProblems(wrong).length, 2);
});

test("every image has a version, and those of the project have the project's", () => {
  for (const [name, service] of services) {
    assert.match(service.image, /^[a-z/]+:v?\d+\.\d+\.\d+$/, name);
    if (service.build !== undefined) assert.equal(service.image.split(":")[1], version(), name);
  }
});

test("what is built is a stage of the Dockerfile", () => {
  assert.deepEqual([...new Set(built.map(([, service]) => service.build.target))].sort(), ["trainer", "vigild"]);
  for (const [, { build }] of built) {
    assert.ok(stages().has(build.target), build.target);
    assert.ok(existsSync(join(kDeploy, "compose", build.context, build.dockerfile)), build.dockerfile);
    assert.ok(existsSync(join(kDeploy, "compose", build.context, "CMakeLists.txt")), "the context is the root of the repository");
  }
});

test("every service is hardened and bounded", () => {
  for (const [name, service] of services) {
    assert.equal(service.read_only, true, name);
    assert.deepEqual(service.cap_drop, ["ALL"], name);
    assert.deepEqual(service.security_opt, ["no-new-privileges:true"], name);
    assert.match(service.user, /^[1-9]\d*:\d+$/, name);
    assert.ok(service.pids_limit > 0 && service.deploy.resources.limits.memory && service.deploy.resources.limits.cpus, name);
    assert.ok(service.restart !== undefined, name);
    for (const key of ["privileged", "pid", "ipc", "network_mode", "devices", "cap_add"]) assert.equal(service[key], undefined, `${name}: ${key}`);
  }
});

test("users are those of the images, and may use the rings", () => {
  for (const [name, service] of built) assert.equal(service.user, instruction(service.build.target, "USER"), name);
  const [uid, gid] = file.services.vigild.user.split(":");
  assert.equal(file.services.trainer.user.split(":")[1], gid, "the trainer is in vigild's group");
  const options = Object.fromEntries(file.volumes.rings.driver_opts.o.split(",").map((option) => option.split("=")));
  assert.deepEqual({ uid: options.uid, gid: options.gid, mode: options.mode }, { uid, gid, mode: "3770" });
  assert.equal(file.volumes.rings.driver_opts.type, "tmpfs");
});

test("every mount has its volume or its file, and files are not written", () => {
  const used = new Set();
  for (const [name, service] of services) {
    for (const mount of mounts(service)) {
      if (mount.type === "volume") {
        assert.ok(mount.source in file.volumes, `${name}: ${mount.source}`);
        used.add(mount.source);
      } else {
        assert.ok(existsSync(join(kDeploy, "compose", mount.source)), `${name}: ${mount.source}`);
        assert.equal(mount.read_only, true, `${name}: ${mount.source}`);
      }
    }
  }
  assert.deepEqual([...used].sort(), Object.keys(file.volumes).sort());
});

test("the rings are mounted where trainers and vigild look, without what the image has there", () => {
  for (const name of ["trainer", "trainer-nan", "vigild"]) {
    const mount = mounts(file.services[name]).find(({ source }) => source === "rings");
    assert.equal(mount.target, "/run/vigil/rings", name);
    assert.equal(mount.volume.nocopy, true, name);
  }
  assert.ok(file.services.vigild.command.includes("--ring.directory=/run/vigil/rings"));
});

test("only loopback is published, once each, and health is asked for at the port that is", () => {
  const published = services.flatMap(([, service]) => service.ports ?? []);
  assert.equal(new Set(published).size, published.length);
  for (const port of published) assert.match(port, /^127\.0\.0\.1:(\d+):\1$/);
  for (const [name, service] of services.filter(([, one]) => one.ports !== undefined)) {
    const url = new URL(service.healthcheck.test.at(-1));
    assert.ok(service.ports.includes(`127.0.0.1:${url.port}:${url.port}`), `${name}: ${url}`);
  }
  assert.deepEqual(
    services.filter(([, one]) => one.ports === undefined).map(([name]) => name),
    ["trainer-nan"],
  );
});

test("who waits for another waits for one that tells its health", () => {
  for (const [name, service] of services) {
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert.equal(condition, "service_healthy", name);
      assert.ok(file.services[other].healthcheck !== undefined, other);
    }
  }
});

test("trainers reach no other service, and the others each other", () => {
  for (const [name, service] of services) {
    assert.deepEqual(service.networks, [name.startsWith("trainer") ? "training" : "monitoring"], name);
  }
  assert.deepEqual(Object.keys(file.networks).sort(), ["monitoring", "training"]);
});

test("vigild is started as its image starts it", () => {
  assert.deepEqual(file.services.vigild.command, JSON.parse(instruction("vigild", "CMD")));
});

test("Grafana finds its dashboards and its data source where the provisioning says", () => {
  const { grafana } = file.services;
  const dashboards = parse(text("grafana", "provisioning", "dashboards", "vigil.yml")).providers[0].options.path;
  assert.equal(mounts(grafana).find(({ target }) => target === dashboards)?.source, "../grafana/dashboards");
  assert.equal(mounts(grafana).find(({ target }) => target === "/etc/grafana/provisioning")?.source, "../grafana/provisioning");
  const { url } = parse(text("grafana", "provisioning", "datasources", "prometheus.yml")).datasources[0];
  const [, variable] = /^\$\{(\w+)\}$/.exec(url);
  const { hostname, port } = new URL(grafana.environment[variable]);
  assert.ok(
    file.services[hostname].ports.some((published) => published.endsWith(`:${port}`)),
    grafana.environment[variable],
  );
});
