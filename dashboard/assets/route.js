// @ts-check
// Where the user is, in the part of the URL behind #: #/run/mnist/0?view=layers&attempt=2, #/compare?…, #/alerts.

/** @param {string} hash @returns {Route} */
export function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const params = new URLSearchParams(query);
  const parts = path.split("/").map(decode);
  const attempt = Number(params.get("attempt"));
  const isRun = parts[0] === "run" && parts.length > 1 && parts[1] !== "";
  const view = isRun ? (params.get("view") ?? "run") : parts[0] || "run";
  params.delete("view");
  params.delete("attempt");
  return {
    view,
    run: isRun ? parts[1] : null,
    rank: isRun && /^\d+$/.test(parts[2] ?? "") ? Number(parts[2]) : 0,
    attempt: isRun && Number.isInteger(attempt) && attempt > 0 ? attempt : null,
    params,
  };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param {{view: string, run?: string | null, rank?: number, attempt?: number | null, params?: URLSearchParams | Record<string, string>}} route @returns {string} "#/…" */
export function formatRoute({ view, run = null, rank = 0, attempt = null, params = {} }) {
  const query = new URLSearchParams();
  if (run !== null && view !== "run") query.set("view", view);
  if (run !== null && attempt !== null) query.set("attempt", String(attempt));
  for (const [name, value] of new URLSearchParams(params)) query.append(name, value);
  const path = run === null ? `#/${view}` : `#/run/${encodeURIComponent(run)}/${rank}`;
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
