// The dashboards that are shipped, in the order of their names.
import { readFileSync, readdirSync } from "node:fs";

export const folder = new URL("../../deploy/grafana/dashboards/", import.meta.url);

/** @type {any[]} */
export const dashboards = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")));
