// Events of a run in words: non-finite steps, alerts, changes of state, and whatever else the server tells of.

/** @param {RunEvent} event @returns {Severity} how grave it is */
export function severityOf(event) {
  const { kind, details = {} } = event;
  if (kind === "nonfinite") return "critical";
  if (kind === "alert") return details.state === "resolved" ? "info" : details.severity === "critical" || details.severity === "warning" ? details.severity : "info";
  if (kind === "state") return ["failed", "crashed", "hung", "unreadable"].includes(details.state) ? "critical" : "info";
  return "info";
}

/** @param {RunEvent} event @returns {string} a few words: what it is */
export function titleOf(event) {
  const { kind, details = {} } = event;
  if (kind === "nonfinite") return details.loss_nonfinite ? "Loss not finite" : "Gradients not finite";
  if (kind === "alert") return `${details.alert ?? "Alert"} ${details.state === "resolved" ? "resolved" : "firing"}`;
  if (kind === "state") return details.state !== "running" ? `Run ${details.state}` : event.step > 1 ? "Run goes on" : "Run started";
  if (kind === "phase") return `Phase ${details.phase ?? ""}`;
  if (kind === "checkpoint") return "Checkpoint saved";
  return kind.replaceAll("_", " ");
}

/** @param {RunEvent} event @returns {string} a sentence, or nothing */
export function sentenceOf(event) {
  const details = event.details ?? {};
  return String(details.sentence ?? details.message ?? details.reason ?? details.path ?? "");
}
