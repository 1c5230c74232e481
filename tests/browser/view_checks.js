// @ts-check
// Every view shows what the API says of the run: asked here anew, and compared number by number.

import assert from "node:assert/strict";

import { checkFigure, checkSeries, drawnChart, goTo, number, shownTable, untilStep, viewStore } from "./reading.js";

/** @typedef {import("./browser.js").Visit} Visit @typedef {import("./servers.js").Server} Server @typedef {{run: string, rank?: number}} Of */

/** Run: series, figures in the head, events; of a run that has ended. @param {Visit} visit @param {Server} server @param {Of} of */
export async function checkRun(visit, server, of) {
  await goTo(visit, "run", of);
  const runs = (await server.api("runs")).runs;
  const run = runs.find((/** @type {any} */ one) => one.run === of.run && one.rank === (of.rank ?? 0));
  const last = run.attempts[0].last_step;
  await untilStep(visit, last);
  const stored = await checkSeries(visit, server, of);
  const { nonfinite_steps: stretches } = await server.api("series", { ...of, name: "loss" });
  assert.deepEqual(await visit.page.evaluate(() => /** @type {any} */ (window).vigil.store.nonfiniteSteps), stretches);
  const figure = (/** @type {string} */ name) => visit.page.locator(`[data-figure="${name}"] .figure-value`).innerText();
  checkFigure(await figure("step"), run.step ?? last, "step");
  checkFigure(await figure("loss"), number(run.loss) ?? /** @type {number} */ (stored.loss.values.at(-1)), "loss");
  checkFigure(await figure("gradient_norm"), number(run.gradient_norm) ?? /** @type {number} */ (stored.gradient_norm.values.at(-1)), "gradient norm");
  checkFigure(await figure("nonfinite_steps"), stretches.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.count, 0), "non-finite steps");
  for (const [id, name] of [["loss", "loss"], ["gradient_norm", "gradient_norm"]]) {
    const [trace] = await drawnChart(visit, id);
    assert.equal(trace.steps.at(-1), last);
    const at = new Map(stored[name].steps.map((step, i) => [step, stored[name].values[i]]));
    trace.steps.forEach((/** @type {number} */ step, /** @type {number} */ i) => assert.ok(Object.is(trace.values[i], at.get(step)), `${id} at ${step}`));
  }
  const { events } = await server.api("events", of);
  const alerts = events.filter((/** @type {any} */ one) => one.kind === "alert").map((/** @type {any} */ one) => [String(one.step), one.details.sentence]);
  // Events are asked for every two seconds.
  await visit.until(`the alerts ${JSON.stringify(alerts)} among the events`, (wanted) => {
    const rows = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".event[data-kind=alert]"))];
    return wanted.every((/** @type {string[]} */ [step, sentence]) => rows.some((row) => row.dataset.step === step && row.textContent?.includes(sentence)));
  }, alerts);
  return run;
}

/** Layers: the table, the rows over time, and what is opened. @param {Visit} visit @param {Server} server @param {Of} of */
export async function checkLayers(visit, server, of) {
  await goTo(visit, "layers", of);
  await visit.until("Layers has its heatmap", () => /** @type {any} */ (window).vigil.view?.store?.history?.steps?.length > 0);
  const { frame, history } = await viewStore(visit);
  const answer = await server.api("tensors", { ...of, step: frame.step });
  assert.deepEqual(frame, answer);
  const rows = await shownTable(visit, "Parameters");
  checkLayerCells(rows, answer);
  await checkHistory(history, server, of);
  return { answer, history, rows };
}

/** @param {{key: string, cells: Record<string, {value: string, text: string}>}[]} rows @param {any} answer of /tensors */
export function checkLayerCells(rows, answer) {
  const find = (/** @type {string} */ kind, /** @type {string} */ name) => answer.tensors.find((/** @type {any} */ one) => one.kind === kind && one.tensor === name);
  assert.ok(rows.length > 0);
  for (const { key, cells } of rows) {
    const [kind, name] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
    const [own, gradient] = [find(kind, name), find("gradient", name)];
    assert.ok(own, `${key} is no tensor of the API`);
    checkFigure(cells.elements.text, own.elements, `elements of ${key}`);
    for (const [column, figures, statistic] of [["norm", own, "l2_norm"], ["update_ratio", own, "update_ratio"], ["zero_ratio", own, "zero_ratio"],
      ["gradient_norm", gradient, "l2_norm"], ["gradient_zero_ratio", gradient, "zero_ratio"]]) {
      const value = kind === "buffer" && figures === gradient ? undefined : number(figures?.[statistic]);
      if (value === undefined || value === null) {
        assert.equal(cells[column].value, "", `${column} of ${key}`);
      } else {
        assert.ok(Object.is(Number(cells[column].value), value), `${column} of ${key}: ${cells[column].value}, is ${value}`);
        const isBroken = (figures.nan_values ?? 0) + (figures.inf_values ?? 0) > 0 && statistic !== "zero_ratio";
        if (isBroken) assert.match(cells[column].text, /^(NaN|Inf)$/, `${column} of ${key}`);
        else checkFigure(cells[column].text, value, `${column} of ${key}`);
      }
    }
    for (const column of ["nan_values", "inf_values"]) {
      const [ofTensor, ofGradient] = [own[column] ?? 0, kind === "buffer" ? 0 : (gradient?.[column] ?? 0)];
      assert.equal(Number(cells[column].value), ofTensor + ofGradient, `${column} of ${key}`);
      const [, text, , gradientText] = /** @type {RegExpExecArray} */ (/^([\d,]+(?!∇|[\d,]))?( \+ )?(?:([\d,]+)∇)?$/.exec(cells[column].text));
      checkFigure(text ?? "0", ofTensor, `${column} of ${key}`);
      checkFigure(gradientText ?? "0", ofGradient, `${column} of the gradient of ${key}`);
    }
  }
}

/** What is over time, against the frames themselves: the first, one in the middle, the last. @param {any} history @param {Server} server @param {Of} of */
export async function checkHistory(history, server, of) {
  const { kind, statistic, steps, tensors, values, nonfinite } = history;
  assert.equal(values.length, tensors.length);
  for (const column of new Set([0, steps.length >> 1, steps.length - 1])) {
    const frame = await server.api("tensors", { ...of, step: steps[column] });
    assert.equal(frame.step, steps[column], "a column is a frame");
    tensors.forEach((/** @type {string} */ name, /** @type {number} */ row) => {
      const figures = frame.tensors.find((/** @type {any} */ one) => one.kind === kind && one.tensor === name);
      const bad = figures.missing ? null : figures.nan_values + figures.inf_values;
      const value = statistic === "nan_values" ? bad : figures.missing ? null : number(figures[statistic] ?? null);
      assert.ok(Object.is(values[row][column], value), `${statistic} of ${name} at ${steps[column]}: ${values[row][column]}, is ${value}`);
      assert.equal(nonfinite[row][column], bad, `not finite in ${name} at ${steps[column]}`);
    });
  }
}

/** One tensor in detail: its figures, its magnitudes now and over time. @param {Visit} visit @param {Server} server @param {Of} of @param {string} kind @param {string} tensor */
export async function checkTensor(visit, server, of, kind, tensor) {
  await goTo(visit, "layers", of, { tensor, kind });
  const panel = visit.page.locator(`.tensor-panel[data-tensor="${tensor}"][data-kind="${kind}"]`);
  // The drawing of the tensor before stays until this one's has come.
  await visit.until(`the magnitudes of ${kind} ${tensor}`, ([name, kind]) => document.querySelector("svg.distribution")?.getAttribute("aria-label")?.startsWith(`Magnitudes of ${name} at`)
    && document.querySelector(`.tensor-panel[data-kind="${kind}"]`) !== null, [tensor, kind]);
  const { frame } = await viewStore(visit);
  const figures = frame.tensors.find((/** @type {any} */ one) => one.kind === kind && one.tensor === tensor);
  const shown = await panel.locator("[data-statistic]").evaluateAll((cells) => cells.map((cell) => /** @type {any} */ ({ ...cell.dataset, text: cell.textContent })));
  assert.ok(shown.length > 5);
  for (const { statistic, value, text } of shown) {
    assert.ok(Object.is(Number(value), number(figures[statistic])), `${statistic} of ${tensor}`);
    checkFigure(text, /** @type {number} */ (number(figures[statistic])), `${statistic} of ${tensor}`);
  }
  const answer = await server.api("distribution", { ...of, kind, tensor, step: frame.step });
  const drawing = panel.locator("svg.distribution");
  const bars = await drawing.locator("rect.bar").evaluateAll((all) => all.map((bar) => [Number(bar.dataset.bound), Number(bar.dataset.value)]));
  assert.deepEqual(bars, answer.upper_bounds.map((/** @type {number} */ bound, /** @type {number} */ i) => [bound, answer.counts[i]]));
  const marks = await drawing.locator("[data-mark]").evaluateAll((all) => Object.fromEntries(all.map((mark) => [mark.dataset.mark, Number(mark.dataset.value)])));
  const { zeros, underflow, overflow, inf, nan } = answer;
  assert.deepEqual(marks, { zeros, underflow, overflow, inf, nan });
  assert.ok(await drawing.locator("path.density").count() === 1, "there is a density curve");
  await visit.until("magnitudes over time", () => Number(/** @type {HTMLElement | null} */ (document.querySelector(".tensor-panel .heatmap"))?.dataset.columns) > 1);
}

/** Numerics: counters, stretches, reports, tensors over time, ranges. @param {Visit} visit @param {Server} server @param {Of} of */
export async function checkNumerics(visit, server, of) {
  await goTo(visit, "numerics", of);
  await visit.until("Numerics has its timeline", () => /** @type {any} */ (window).vigil.view?.store?.steps?.length > 0);
  await visit.page.locator("[data-metric=nonfinite_steps_total]").waitFor();
  const { frame, shown, steps } = await viewStore(visit);
  const names = ["nonfinite_steps_total", "skipped_steps_total", "rollbacks_total"];
  const { series, nonfinite_steps: stretches } = await server.api("series", { ...of, name: names });
  for (const { name, values } of series) {
    const cell = visit.page.locator(`[data-metric="${name}"]`);
    assert.equal(Number(await cell.getAttribute("data-value")), values.at(-1), name);
    checkFigure(await cell.innerText(), values.at(-1), name);
  }
  const told = await shownTable(visit, "Stretches of non-finite steps");
  assert.deepEqual(told.map(({ cells }) => ["first", "last", "count"].map((key) => Number(cells[key].value))),
    stretches.map((/** @type {any} */ one) => [one.first, one.last, one.count]));

  const { events } = await server.api("events", of);
  const messages = new Set(events.filter((/** @type {any} */ one) => one.kind === "nonfinite").map((/** @type {any} */ one) => one.details.message));
  await visit.until("the reports", (count) => new Set([.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".origin [data-message]"))].map((one) => one.dataset.message)).size === count, messages.size);
  assert.deepEqual(new Set(await visit.page.locator(".origin [data-message]").evaluateAll((all) => all.map((one) => one.dataset.message))), messages);

  for (const { name, kind, values } of shown) {
    const bad = values.findIndex((/** @type {number | null} */ value) => (value ?? 0) > 0);
    const at = await server.api("tensors", { ...of, step: steps[bad] });
    const figures = at.tensors.find((/** @type {any} */ one) => one.kind === kind && one.tensor === name);
    assert.equal(values[bad], figures.nan_values + figures.inf_values, `${kind} ${name} at ${steps[bad]}`);
  }
  const answer = await server.api("tensors", { ...of, step: frame.step });
  const counted = answer.tensors.filter((/** @type {any} */ one) => one.precision);
  const rows = await shownTable(visit, "Shares outside of the range of a smaller format");
  assert.equal(rows.length, counted.length);
  for (const { key, cells } of rows) {
    const { precision } = counted.find((/** @type {any} */ one) => `${one.kind}:${one.tensor}` === key);
    for (const share of ["overflow", "underflow", "subnormal"]) {
      assert.equal(Number(cells[share].value), precision.float16[share], `${share} of ${key}`);
      checkFigure(cells[share].text, precision.float16[share], `${share} of ${key}`);
    }
  }
  return { messages, stretches, shown, counted };
}

/** Alerts: what fires now, and what has fired. @param {Visit} visit @param {Server} server @param {Of} of */
export async function checkAlerts(visit, server, of) {
  await goTo(visit, "alerts", of);
  await visit.page.locator(".view-alerts [role=status] > *").first().waitFor();
  const { events } = await server.api("events", { ...of, max_events: 1000 });
  const firings = events.filter((/** @type {any} */ one) => one.kind === "alert" && one.details.state === "firing");
  await visit.until("Alerts has its table", (count) => /** @type {any} */ (window).vigil.view?.store?.firings?.length === count, firings.length);
  const rows = firings.length > 0 ? await shownTable(visit, "Alerts that fired") : [];
  assert.deepEqual(rows.map(({ cells }) => [cells.alert.value, Number(cells.begin.value), cells.sentence.text]),
    [...firings].reverse().map(({ details }) => [details.alert, details.since_step, details.sentence]));
  const run = (await server.api("runs")).runs.find((/** @type {any} */ one) => one.run === of.run && one.rank === (of.rank ?? 0));
  const now = await visit.page.locator(".alert[data-alert]").evaluateAll((all) => all.map((one) => [one.dataset.alert, Number(one.dataset.since)]));
  // A run whose ring is gone is told of without alerts: what began and did not end.
  const open = new Map();
  for (const { kind, details } of events) {
    const who = JSON.stringify([details?.alert, details?.parameter, details?.layer, details?.subject]);
    if (kind === "alert" && details.state === "firing") open.set(who, details);
    else if (kind === "alert") open.delete(who);
  }
  assert.deepEqual(now.sort(), (run.alerts ?? [...open.values()]).map((/** @type {any} */ one) => [one.alert, one.since_step]).sort());
  return firings;
}

/** System: every figure of a card is a sample of /api/v1/metrics. @param {Visit} visit @param {Server} server @param {Of} of */
export async function checkSystem(visit, server, of) {
  await goTo(visit, "system", of);
  await visit.page.locator(".metric-card").first().waitFor();
  const store = await viewStore(visit);
  const known = new Map([...(store.run?.metrics ?? []), ...(store.host?.metrics ?? [])].map((/** @type {any} */ one) => [one.name, one]));
  const shown = await visit.page.locator("dd[data-metric]").evaluateAll((all) => all.map((cell) => /** @type {any} */ ({ ...cell.dataset, text: cell.textContent })));
  assert.ok(shown.length > 10, `${shown.length} figures`);
  // Asked anew: what does not change must be the same, counters may have gone on.
  const again = (await Promise.all([server.api("metrics", of), server.api("metrics")])).flatMap(({ metrics }) => metrics);
  const isSame = (/** @type {any} */ a, /** @type {any} */ b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
  for (const { metric, labels, value } of shown) {
    const family = known.get(metric);
    assert.ok(family?.samples.some((/** @type {any} */ one) => isSame(one.labels, JSON.parse(labels)) && String(one.value) === value), `${metric} ${labels} ${value}`);
    const now = again.filter((/** @type {any} */ one) => one.name === metric).flatMap((/** @type {any} */ one) => one.samples).filter((/** @type {any} */ one) => isSame(one.labels, JSON.parse(labels)));
    assert.ok(now.length > 0, `${metric} ${labels} is not in the API`);
    if (family.kind === "counter") assert.ok(now.some((/** @type {any} */ one) => Number(one.value) >= Number(value)), `${metric} has gone back`);
  }
  return shown;
}
