// Writes the rule files of deploy/prometheus as JSON for mixin.libsonnet: jsonnet 0.18 of Debian 12 fails in std.parseYaml where a text has
// several lines.
//   node generate.mjs [FOLDER]    default: rules/ beside this file
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(home, "rules"));
const { parse } = createRequire(join(home, "../grafana/package.json"))("yaml");

mkdirSync(target, { recursive: true });
for (const name of ["alerts", "catalogue", "dashboards"]) {
  const rules = parse(readFileSync(join(home, "../prometheus", `${name}.yml`), "utf8"));
  writeFileSync(join(target, `${name}.json`), JSON.stringify(rules, null, 2) + "\n");
}
