// The runbooks, and what they tell people to ask Prometheus.
import { readFileSync, readdirSync } from "node:fs";

const folder = new URL("../../docs/runbooks/", import.meta.url);

/** Texts by the name of the alert. @type {Map<string, string>} */
export const runbooks = new Map(
  readdirSync(folder)
    .sort()
    .map((name) => [name.replace(/\.md$/, ""), readFileSync(new URL(name, folder), "utf8")]),
);

/**
 * Every query of every runbook, a line each, with what people fill in for RUN, RANK, LAYER and PARAMETER.
 * @param {Record<string, string>} [place]
 * @returns {{name: string, query: string}[]}
 */
export function runbookQueries(place = {}) {
  return [...runbooks].flatMap(([name, text]) =>
    [...text.matchAll(/^```promql\n([^`]*)^```$/gm)]
      .flatMap(([, block]) => block.trim().split("\n"))
      .map((query) => ({ name, query: query.replaceAll(/\b(RUN|RANK|LAYER|PARAMETER)\b/g, (word) => place[word] ?? word) })),
  );
}
