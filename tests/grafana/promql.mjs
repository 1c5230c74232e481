// What the checks need to know of an expression of PromQL, by the grammar of Prometheus' own editor.
import { load } from "./packages.mjs";

const { parser } = load("@prometheus-io/lezer-promql");

/** Stands for `$__rate_interval`, which is no duration before Grafana has filled it in. */
const kRateInterval = "7919s";

/**
 * @typedef {{metric: string, matchers: Map<string, {operator: string, value: string}>, range: string | null, calls: string[]}} Selector
 * A selector of series: `range` as written, `calls` the functions around it from the innermost on.
 */

/** What Grafana puts in place before Prometheus sees an expression, as far as the grammar needs it. */
function filled(expression) {
  return expression
    .replaceAll(/\$__rate_interval|\$\{__rate_interval\}/g, kRateInterval)
    .replaceAll(/\$__(interval|range)\b/g, "60s")
    .replaceAll(/\$top\b/g, "10");
}

/**
 * @param {string} expression
 * @returns {{selectors: Selector[], error: string | null}}
 */
export function parsed(expression) {
  const text = filled(expression);
  const selectors = [];
  let error = null;
  parser.parse(text).iterate({
    enter(node) {
      if (node.type.isError && error === null) error = `not PromQL at character ${node.from}: ${text.slice(node.from, node.from + 30)}`;
      if (node.name === "VectorSelector") selectors.push(selector(node.node, text));
    },
  });
  if (error === null && selectors.length === 0) error = "selects no series";
  return { selectors, error };
}

function selector(node, text) {
  const slice = (of) => text.slice(of.from, of.to);
  const matchers = new Map();
  for (const matcher of node.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? []) {
    const [name, operator, value] = ["LabelName", "MatchOp", "StringLiteral"].map((part) => matcher.getChild(part));
    // Without one of them the expression has an error, which is told of.
    if (name && operator && value) matchers.set(slice(name), { operator: slice(operator), value: slice(value).slice(1, -1) });
  }
  const identifier = node.getChild("Identifier");
  let range = null;
  const calls = [];
  for (let parent = node.parent; parent !== null; parent = parent.parent) {
    if (parent.name === "MatrixSelector")
      range =
        slice(parent)
          .match(/\[([^\]]*)\]$/)?.[1]
          .replace(kRateInterval, "$__rate_interval") ?? "";
    if (parent.name === "FunctionCall") calls.push(slice(parent.getChild("FunctionIdentifier")));
  }
  return { metric: identifier === null ? (matchers.get("__name__")?.value ?? "") : slice(identifier), matchers, range, calls };
}
