// Events of a run, as the page asks for them.
import assert from "node:assert/strict";
import test from "node:test";

Object.assign(globalThis, { document: { addEventListener() {}, visibilityState: "visible" } });
const { EventFeed } = await import("../../dashboard/assets/runs.js");

/** An API that keeps events and answers with the latest of the kinds that it is asked for. */
class FakeApi {
  connection = Object.assign(new EventTarget(), { state: "online" });
  kept = [];
  asked = [];

  async get(path, question) {
    assert.equal(path, "events");
    this.asked.push(question);
    const found = this.kept.filter(({ kind, id }) => question.kind.includes(kind) && id > (question.since ?? 0)).slice(-question.max_events);
    return { next: found.at(-1)?.id ?? question.since, events: found };
  }
}

test("many phases push no alert out, and later events come once and in order", async () => {
  const api = new FakeApi();
  const add = (kind, attempt = 2) => api.kept.push({ id: api.kept.length + 1, kind, attempt, step: 1, time: 1 });
  add("alert");
  add("nonfinite");
  for (let i = 0; i < 5000; ++i) add("phase");
  const end = new AbortController();
  const feed = new EventFeed(api, { run: "mnist", rank: 1, attempt: 2 }, { signal: end.signal, isPaused: () => false });
  /** Of each kind that comes a change. */
  const changed = () => new Promise((resolve) => feed.addEventListener("change", resolve, { once: true }));
  await changed();
  assert.deepEqual(feed.events.map(({ kind }) => kind), ["alert", "nonfinite"]);
  await changed();
  assert.deepEqual(feed.of(2).slice(0, 3).map(({ kind }) => kind), ["alert", "nonfinite", "phase"]);
  assert.ok(api.asked.every(({ run, rank, attempt }) => run === "mnist" && rank === 1 && attempt === 2));
  const before = feed.events.length;
  add("checkpoint");
  add("state");
  const next = changed();
  feed.poll.now();
  await next;
  await changed();
  assert.deepEqual(feed.events.slice(-2).map(({ kind }) => kind), ["checkpoint", "state"]);
  assert.equal(feed.events.length, before + 2);
  end.abort();
});
