// The series of a run, followed with the cursors of the API.
import assert from "node:assert/strict";
import test from "node:test";

import { SeriesStore } from "../../dashboard/assets/series.js";
import { readDetail } from "../../dashboard/assets/zoom_detail.js";

const signal = new AbortController().signal;

/** An API with one run, whose attempts are so many steps long; it keeps what it was asked. */
class FakeApi {
  attempts = [0];
  asked = [];
  nonfinite = [];
  during = () => {};

  async get(path, question) {
    assert.equal(path, "series");
    this.asked.push(question);
    this.during();
    const [attempt, step] = typeof question.since === "string" ? question.since.split(".").map(Number) : [this.attempts.length, question.since ?? 0];
    const newest = this.attempts.length;
    const from = attempt === newest ? step : 0;
    const last = Math.min(this.attempts[newest - 1], question.until ?? Infinity);
    const steps = Array.from({ length: Math.max(last - from, 0) }, (_, i) => from + 1 + i);
    return {
      attempt: newest, next: `${newest}.${last}`, downsampled: false,
      series: question.name.map((name) => ({ name, unit: "", steps, times: steps.map((one) => one / 10), values: steps.map((one) => one * newest) })),
      nonfinite_steps: this.nonfinite.filter((stretch) => stretch.first > from),
    };
  }
}

function storeOf(api, count = 1) {
  const store = new SeriesStore(api, { run: "mnist", rank: 2, attempt: null });
  store.want(Array.from({ length: count }, (_, i) => ({ name: `s${i}`, unit: "" })));
  return store;
}

const columnOf = (series, column = "steps") => [...series[column].subarray(0, series.length)];
const upTo = (last) => Array.from({ length: last }, (_, i) => i + 1);

test("each step comes once, and each question goes on where its own answer ended", async () => {
  const api = new FakeApi();
  api.attempts = [50];
  const store = storeOf(api, 20);
  await store.update(signal);
  const first = api.asked.splice(0);
  assert.ok(first.length > 1, "many names are several questions");
  assert.deepEqual(first.flatMap(({ name }) => name), [...store.series.keys()]);
  assert.ok(first.every(({ run, rank, since }) => run === "mnist" && rank === 2 && !since));
  // The run goes on between two questions of one update.
  const ends = [62, 60, 61, 65, 65, 65];
  api.during = () => (api.attempts = [ends.shift()]);
  await store.update(signal);
  assert.notEqual(store.get("s19").length, store.get("s0").length);
  await store.update(signal);
  for (const series of store.series.values()) assert.deepEqual(columnOf(series), upTo(65));
});

test("a new attempt takes the place of the one before", async () => {
  const api = new FakeApi();
  api.attempts = [50];
  const store = storeOf(api, 10);
  const seen = [];
  for (const type of ["change", "reset"]) store.addEventListener(type, () => seen.push(type));
  await store.update(signal);
  api.attempts = [50, 3];
  await store.update(signal);
  assert.equal(store.attempt, 2);
  assert.deepEqual(columnOf(store.get("s0")), [1, 2, 3]);
  assert.deepEqual(columnOf(store.get("s9"), "values"), [2, 4, 6]);
  assert.deepEqual(seen, ["change", "reset", "change"]);
});

test("over its bound of points a series is asked for thinned out again", async () => {
  const api = new FakeApi();
  api.attempts = [119_000];
  const store = storeOf(api);
  await store.update(signal);
  api.attempts = [120_500];
  const asked = api.asked.length;
  const answer = api.get;
  api.get = async function (path, question) {
    const whole = await answer.call(this, path, question);
    if (!question.since) for (const row of whole.series) for (const column of ["steps", "times", "values"]) row[column] = row[column].filter((_, i) => i % 100 === 99);
    return whole;
  };
  await store.update(signal);
  assert.deepEqual(api.asked.slice(asked).map(({ since }) => since ?? null), ["1.119000", null]);
  assert.equal(store.get("s0").length, 1205);
  assert.equal(store.get("s0").steps[1204], 120_500);
});

test("a series that is wanted while an answer is under way comes from the beginning", async () => {
  const api = new FakeApi();
  api.attempts = [40];
  const store = storeOf(api);
  await store.update(signal);
  api.attempts = [50];
  api.during = () => {
    api.during = () => {};
    store.want([{ name: "late", unit: "" }]);
  };
  await store.update(signal);
  assert.deepEqual(columnOf(store.get("late")), upTo(50));
  assert.deepEqual(columnOf(store.get("s0")), upTo(50));
});

test("stretches of non-finite steps grow, and are counted once", async () => {
  const api = new FakeApi();
  api.attempts = [20];
  api.nonfinite = [{ first: 5, last: 6, count: 2 }, { first: 20, last: 20, count: 1 }];
  const store = storeOf(api, 20);
  await store.update(signal);
  assert.deepEqual(store.nonfiniteSteps, api.nonfinite);
  api.attempts = [30];
  api.nonfinite = [{ first: 21, last: 22, count: 2 }, { first: 29, last: 29, count: 1 }];
  await store.update(signal);
  assert.deepEqual(store.nonfiniteSteps, [{ first: 5, last: 6, count: 2 }, { first: 20, last: 22, count: 3 }, { first: 29, last: 29, count: 1 }]);
});

test("only what comes behind a step is kept when that is told, up to the next attempt", async () => {
  const api = new FakeApi();
  api.attempts = [500];
  const store = storeOf(api);
  await store.update(signal);
  store.restart(400);
  await store.update(signal);
  assert.deepEqual(columnOf(store.get("s0")), Array.from({ length: 100 }, (_, i) => 401 + i));
  assert.equal(api.asked.at(-1).since, 400);
  api.attempts = [505];
  await store.update(signal);
  assert.equal(store.get("s0").length, 105);
  api.attempts = [505, 30];
  await store.update(signal);
  assert.deepEqual(columnOf(store.get("s0")), upTo(30));
});

test("a zoom asks for its steps in detail, of the attempt that is shown", async () => {
  const api = new FakeApi();
  api.attempts = [9, 500];
  const store = storeOf(api);
  await store.update(signal);
  const detail = await readDetail(store, { min: 99.5, max: 120.2 }, { r: "s0" }, signal);
  const { since, until, attempt, max_points: most } = api.asked.at(-1);
  assert.deepEqual([since, until, attempt], [98, 121, 2]);
  assert.ok(most >= 5000);
  assert.deepEqual(columnOf(detail.get("s0")), Array.from({ length: 23 }, (_, i) => 99 + i));
  assert.equal(Math.round(detail.get("r").latest), 20, "ten steps a second, two a step");
  assert.equal(store.get("s0").length, 500, "what is kept stays");
});
