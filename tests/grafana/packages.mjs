// The npm packages of deploy/grafana, which tests share with the generator.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../deploy/grafana/package.json", import.meta.url));

/** @param {string} name @returns {any} what the package exports */
export function load(name) {
  try {
    return require(name);
  } catch (error) {
    throw new Error(`the npm package ${name} cannot be loaded; run scripts/setup.sh, or npm ci --ignore-scripts in deploy/grafana`, { cause: error });
  }
}
