// Prometheus' HTTP API, as Grafana asks it.

/** A result of `/api/v1/query` or `query_range`: labels, and [time, text] pairs. @typedef {{metric: Record<string, string>, values: [number, string][]}} Series */

export class Prometheus {
  /** @param {string} url */
  constructor(url) {
    this.url = url;
  }

  async get(path, parameters = {}) {
    const answer = await fetch(`${this.url}/api/v1/${path}`, { method: "POST", body: new URLSearchParams(parameters) });
    const body = await answer.json();
    if (body.status !== "success") throw new Error(`${path} ${JSON.stringify(parameters)}: ${body.error}`);
    return body.data;
  }

  /** @returns {Promise<Series[]>} */
  async instant(query, time) {
    const { resultType, result } = await this.get("query", { query, time: String(time) });
    if (resultType === "scalar") return [{ metric: {}, values: [result] }];
    return result.map(({ metric, value }) => ({ metric, values: [value] }));
  }

  /** @returns {Promise<Series[]>} */
  async range(query, start, end, step) {
    return (await this.get("query_range", { query, start: String(start), end: String(end), step: String(step) })).result;
  }

  /** Values of `label_values(selector, label)`. @returns {Promise<string[]>} */
  async labelValues(selector, label, start, end) {
    const parameters = new URLSearchParams({ "match[]": selector, start: String(start), end: String(end) });
    const answer = await fetch(`${this.url}/api/v1/label/${label}/values?${parameters}`);
    const body = await answer.json();
    if (body.status !== "success") throw new Error(`label_values(${selector}, ${label}): ${body.error}`);
    return body.data;
  }

  async rules() {
    const answer = await fetch(`${this.url}/api/v1/rules`);
    return (await answer.json()).data.groups.flatMap(({ rules }) => rules);
  }
}
