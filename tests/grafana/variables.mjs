// What Grafana does with variables before Prometheus sees a query.

const kAll = "$__all";
/** Grafana's own: four scrape intervals (of 1 s here) at least. */
export const macros = { __rate_interval: "4s", __interval: "1s", __range: "60s" };

// As Grafana's data source for Prometheus does for variables of several values (prometheusSpecialRegexEscape).
const escaped = (value) => value.replaceAll("\\", "\\\\\\\\").replaceAll(/[$^*{}[\]'+?.()|]/g, "\\\\$&");

/**
 * @param {string} text
 * @param {Map<string, string[] | string>} values of variables: one, several, or `$__all`
 * @param {Map<string, string>} allValues what variables stand for when they are All
 */
export function substituted(text, values, allValues) {
  return text.replaceAll(/\$(?:\{([a-z_]+)\}|([a-z_]+))/g, (whole, braced, bare) => {
    const name = braced ?? bare;
    if (name in macros) return macros[name];
    if (!values.has(name)) throw new Error(`nothing is known of ${whole} in ${text}`);
    const value = values.get(name);
    if (value === kAll) return allValues.get(name) ?? "";
    const several = Array.isArray(value) ? value : [value];
    return several.length === 1 ? escaped(several[0]) : `(${several.map(escaped).join("|")})`;
  });
}

/**
 * Follows the chain of a dashboard's variables: each is asked for, as those before it say.
 * @param {any} dashboard
 * @param {Record<string, string | string[]>} chosen others are All, or their default
 * @param {(selector: string, label: string) => Promise<string[]>} labelValues
 * @returns {Promise<{values: Map<string, string | string[]>, allValues: Map<string, string>, offered: Map<string, string[]>}>}
 */
export async function resolved(dashboard, chosen, labelValues) {
  const values = new Map();
  const allValues = new Map();
  const offered = new Map();
  for (const variable of dashboard.templating.list) {
    if (variable.allValue !== undefined) allValues.set(variable.name, variable.allValue);
    if (variable.type === "query") {
      const [, selector, label] = /^label_values\((.+), *([a-z]+)\)$/.exec(variable.query);
      offered.set(variable.name, await labelValues(substituted(selector, values, allValues), label));
    }
    values.set(variable.name, chosen[variable.name] ?? (variable.includeAll ? kAll : (variable.current?.value ?? "prometheus")));
  }
  return { values, allValues, offered };
}
