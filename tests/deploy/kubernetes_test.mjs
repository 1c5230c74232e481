// deploy/kubernetes: conforms to the schemas, is as restricted as it can be, and agrees with itself, the image and the rules.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { parse } from "yaml";

import { prometheusRule, ruleFiles } from "../../deploy/kubernetes/generate.mjs";
import { compose, instruction, kDeploy, manifest, manifests, text, version } from "./deployment.mjs";
import { objectProblems, unknownKeys } from "./schema.mjs";

const kLargestAnnotation = 256 * 1024; // kubectl apply writes the whole object into one
const daemonset = manifest("DaemonSet");
const pod = daemonset.spec.template.spec;
const vigild = pod.containers[0];
const trainer = manifest("Job").spec.template.spec;
const [uid, gid] = instruction("vigild", "USER").split(":").map(Number);
const labels = daemonset.spec.template.metadata.labels;
const volume = (spec, name) => spec.volumes.find((one) => one.name === name);

test("every object conforms to the schema of its kind and has no key that it does not know", async () => {
  for (const { file, object } of manifests()) assert.deepEqual(await objectProblems(object), [], file);
  assert.equal(unknownKeys(manifests().map(({ object }) => object)), "");
});

test("the checks tell a wrong key and a wrong value", async () => {
  const wrong = structuredClone(daemonset);
  wrong.spec.template.spec.containers[0].livenessProb = {};
  wrong.spec.template.spec.terminationGracePeriodSeconds = "30s";
  assert.match(unknownKeys([wrong]), /livenessProb/);
  assert.match((await objectProblems(wrong)).join(), /terminationGracePeriodSeconds/);
});

test("the kustomization takes in every manifest but the example, by keys that kustomize has", () => {
  const kustomization = parse(text("kubernetes", "kustomization.yaml"));
  assert.deepEqual(Object.keys(kustomization).sort(), ["apiVersion", "images", "kind", "labels", "namespace", "resources"]);
  const files = manifests()
    .map(({ file }) => file)
    .filter((file) => !file.startsWith("example/"));
  assert.deepEqual([...kustomization.resources].sort(), [...new Set(files), "../grafana"].sort());
  assert.equal(kustomization.namespace, manifest("Namespace").metadata.name);
  for (const image of kustomization.images) assert.equal(image.newTag, version());
});

test("every image has the version of the project", () => {
  for (const container of [...pod.containers, ...pod.initContainers]) assert.equal(container.image, `vigil/vigild:${version()}`);
  assert.equal(trainer.containers[0].image, `vigil/trainer:${version()}`);
});

test("the containers keep to the level restricted, but for the one that makes the directories", () => {
  for (const spec of [pod, trainer]) {
    for (const key of ["hostPID", "hostIPC", "hostNetwork"]) assert.equal(spec[key], undefined, key);
    assert.equal(spec.automountServiceAccountToken, false);
    assert.equal(spec.securityContext.runAsNonRoot, true);
    assert.equal(spec.securityContext.seccompProfile.type, "RuntimeDefault");
    for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
      assert.equal(container.securityContext.allowPrivilegeEscalation, false, container.name);
      assert.equal(container.securityContext.readOnlyRootFilesystem, true, container.name);
      assert.deepEqual(container.securityContext.capabilities.drop, ["ALL"], container.name);
      assert.ok(container.resources.requests.memory && container.resources.limits.memory && container.resources.limits.cpu, container.name);
    }
    for (const container of spec.containers) {
      assert.equal(container.securityContext.capabilities.add, undefined, container.name);
      assert.equal(container.securityContext.runAsUser, undefined, container.name);
    }
  }
  assert.deepEqual(pod.initContainers[0].securityContext.capabilities.add, ["CHOWN", "FOWNER", "FSETID"]);
});

test("users are those of the images, and the directories are theirs", () => {
  assert.deepEqual([pod.securityContext.runAsUser, pod.securityContext.runAsGroup], [uid, gid]);
  assert.deepEqual(`${trainer.securityContext.runAsUser}:${trainer.securityContext.runAsGroup}`, instruction("trainer", "USER"));
  assert.equal(trainer.securityContext.runAsGroup, gid, "the trainer is in vigild's group");
  const script = pod.initContainers[0].command.at(-1);
  assert.match(script, new RegExp(`^chown ${uid}:${gid} /run/vigil/rings /var/lib/vigil$`, "m"));
  const [, mode] = /^d \/run\/vigil\/rings\s+(\d+)/m.exec(text("systemd", "vigil.tmpfiles"));
  assert.match(script, new RegExp(`^chmod ${mode} /run/vigil/rings$`, "m"));
});

test("trainers and vigild share the ring files of the node", () => {
  assert.equal(volume(pod, "rings").hostPath.path, volume(trainer, "rings").hostPath.path);
  const place = (container) => container.volumeMounts.find((mount) => mount.name === "rings").mountPath;
  assert.ok(vigild.args.includes(`--ring.directory=${place(vigild)}`));
  const config = parse(manifest("ConfigMap", "mnist").data["vigil.yml"]);
  assert.deepEqual(config.ring, { shared: true, directory: place(trainer.containers[0]) });
});

test("what is mounted is a volume, and every volume is mounted", () => {
  for (const spec of [pod, trainer]) {
    const mounted = [...spec.containers, ...(spec.initContainers ?? [])].flatMap((container) => container.volumeMounts.map(({ name }) => name));
    assert.deepEqual([...new Set(mounted)].sort(), spec.volumes.map(({ name }) => name).sort());
  }
  assert.equal(volume(trainer, "config").configMap.name, "mnist");
});

test("vigild is started as its image starts it", () => {
  assert.deepEqual(vigild.args, JSON.parse(instruction("vigild", "CMD")));
  assert.equal(vigild.command, undefined);
});

test("probes, Service, PodMonitor and NetworkPolicy mean the port that vigild listens on", () => {
  const [port] = vigild.ports;
  assert.ok(vigild.args.includes(`--web.listen-address=0.0.0.0:${port.containerPort}`));
  assert.equal(instruction("vigild", "EXPOSE"), String(port.containerPort));
  for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) assert.equal(vigild[probe].httpGet.port, port.name);
  assert.equal(vigild.livenessProbe.httpGet.path, "/-/healthy");
  assert.equal(vigild.readinessProbe.httpGet.path, "/-/ready");
  const service = manifest("Service").spec,
    monitor = manifest("PodMonitor").spec,
    policy = manifest("NetworkPolicy").spec;
  assert.equal(service.ports[0].targetPort, port.name);
  assert.equal(monitor.podMetricsEndpoints[0].port, port.name);
  assert.equal(policy.ingress[0].ports[0].port, port.name);
  for (const selector of [service.selector, monitor.selector.matchLabels, policy.podSelector.matchLabels, daemonset.spec.selector.matchLabels]) {
    assert.deepEqual(selector, labels);
  }
});

test("the trainer of the example is that of compose.yml", () => {
  const flags = (words) => words.filter((word) => word.startsWith("--"));
  assert.deepEqual(flags(trainer.containers[0].args), flags(compose().services.trainer.command));
});

test("each rule file is a PrometheusRule with the same groups", () => {
  const made = manifests().filter(({ object }) => object.kind === "PrometheusRule");
  assert.deepEqual(
    made.map(({ file }) => file),
    ruleFiles().map((name) => `rules-${name}.yaml`),
  );
  assert.ok(ruleFiles().includes("alerts"));
  for (const name of ruleFiles()) {
    const object = parse(text("kubernetes", `rules-${name}.yaml`));
    assert.deepEqual(object.spec.groups, parse(text("prometheus", `${name}.yml`)).groups, "run node deploy/kubernetes/generate.mjs");
    assert.equal(prometheusRule(name), text("kubernetes", `rules-${name}.yaml`), "run node deploy/kubernetes/generate.mjs");
    assert.ok(JSON.stringify(object).length < kLargestAnnotation, name);
  }
});

test("Prometheus of compose.yml has the same rule files", () => {
  assert.deepEqual(
    parse(text("compose", "prometheus.yml"))
      .rule_files.map((path) => /^rules\/(.*)\.yml$/.exec(path)[1])
      .sort(),
    ruleFiles(),
  );
});

test("every dashboard is a ConfigMap of its own that Grafana's sidecar finds", () => {
  const kustomization = parse(text("grafana", "kustomization.yaml"));
  assert.deepEqual(Object.keys(kustomization).sort(), ["apiVersion", "configMapGenerator", "generatorOptions", "kind"]);
  assert.deepEqual(kustomization.generatorOptions, { disableNameSuffixHash: true, labels: { grafana_dashboard: "1" } });
  const dashboards = readdirSync(join(kDeploy, "grafana", "dashboards"))
    .filter((name) => name.endsWith(".json"))
    .sort();
  assert.ok(dashboards.length > 0);
  assert.deepEqual(
    kustomization.configMapGenerator
      .map(({ files }) => files)
      .flat()
      .sort(),
    dashboards.map((name) => `dashboards/${name}`),
  );
  for (const { name, files } of kustomization.configMapGenerator) {
    assert.equal(files.length, 1, name);
    assert.match(name, /^[a-z0-9-]+$/);
    assert.ok(existsSync(join(kDeploy, "grafana", files[0])));
    assert.ok(text("grafana", files[0]).length < kLargestAnnotation, name);
  }
});
