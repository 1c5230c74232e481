// Makes a PrometheusRule, rules-<name>.yaml, of each rule file in ../prometheus: these are what is edited, their text goes into the
// operator's frame as it is.
//   node deploy/kubernetes/generate.mjs
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, "..", "prometheus");

/**
 * The rule files of deploy/prometheus.
 * @returns {string[]} their names without ".yml", in order
 */
export function ruleFiles() {
  const isRules = (name) => name.endsWith(".yml") && /^groups:$/m.test(readFileSync(join(source, name), "utf8"));
  return readdirSync(source)
    .filter(isRules)
    .map((name) => name.slice(0, -".yml".length))
    .sort();
}

/**
 * @param {string} name of a rule file, without ".yml"
 * @returns {string} the PrometheusRule, as YAML
 */
export function prometheusRule(name) {
  const [, groups] = readFileSync(join(source, `${name}.yml`), "utf8").split(/^groups:\n/m);
  const indented = groups
    .trimEnd()
    .split("\n")
    .map((line) => (line === "" ? "" : `  ${line}`));
  return `# Made by deploy/kubernetes/generate.mjs of deploy/prometheus/${name}.yml; a test compares.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vigil-${name}
  labels: {app.kubernetes.io/name: vigild}
spec:
  groups:
${indented.join("\n")}
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of ruleFiles()) writeFileSync(join(here, `rules-${name}.yaml`), prometheusRule(name));
}
