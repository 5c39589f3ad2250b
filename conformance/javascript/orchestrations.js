// What orchestrations do: sequences, fan-out, sub-orchestrations, timers, events, generations, failures.
"use strict";

const { activity, assert, counts, Kind, orchestrator, scenario, sdk, Status, unique, until } = require("./harness");
const { RetryPolicy, whenAll, whenAny } = sdk;

const plusOne = activity(async function plusOne(_, number) {
  return number + 1;
});
const echo = activity(async function echo(_, value) {
  return value;
});
const failUntil = activity(async function failUntil(_, { key, times }) {
  const count = (counts.get(key) ?? 0) + 1;
  counts.set(key, count);
  if (count < times) throw new TypeError(`attempt ${count}`);
  return count;
});

const chain = orchestrator(async function* chain(ctx, steps) {
  let number = 0;
  for (let step = 0; step < steps; step++) number = yield ctx.callActivity(plusOne, number);
  return number;
});

scenario(async function chaining(hub) {
  const instance = await hub.start(chain, 10);
  assert.equal(await hub.output(instance), 10);
  const events = await hub.history(instance);
  assert.deepEqual(
    events.slice(0, 3).map((e) => e.type),
    [Kind.OrchestratorStarted, Kind.ExecutionStarted, Kind.TaskScheduled],
  );
  assert.equal(events.at(-1).type, Kind.ExecutionCompleted);
  assert.equal(events.filter((e) => e.type === Kind.TaskCompleted).length, 10);
  const ids = events.map((e) => e.eventId).filter((id) => id >= 0);
  assert(ids.every((id, at) => at === 0 || id > ids[at - 1]));
});

const fan = orchestrator(async function* fan(ctx, width) {
  const numbers = yield whenAll(Array.from({ length: width }, (_, n) => ctx.callActivity(plusOne, n)));
  return numbers.reduce((a, b) => a + b);
});

scenario(async function fanOutAndIn(hub) {
  assert.equal(await hub.run(fan, 200), 20100);
});

const throughAnActivity = orchestrator(async function* throughAnActivity(ctx, value) {
  return yield ctx.callActivity(echo, value);
});

scenario(async function valuesComeBackAsTheyWereGiven(hub) {
  for (const value of [0, false, "", [], {}, "null", "Grüße, 世界 \u{1f30d}", { a: [1.5, null] }]) {
    assert.deepEqual(await hub.run(throughAnActivity, value), value);
  }
});

scenario(async function payloadsOfAMegabyte(hub) {
  const text = "0123456789abcdef".repeat(65536);
  assert.equal(await hub.run(throughAnActivity, text), text);
});

scenario(async function historiesBeyondFourMegabytes(hub) {
  const text = "x".repeat(500_000);
  assert.equal(await hub.run(repeats, { text, times: 12 }), 12);
});

const repeats = orchestrator(async function* repeats(ctx, { text, times }) {
  return (yield whenAll(Array.from({ length: times }, () => ctx.callActivity(echo, text)))).length;
});

const family = orchestrator(async function* family(ctx, depth) {
  if (depth === 0) return [ctx.instanceId];
  const below = yield whenAll([1, 2].map(() => ctx.callSubOrchestrator(family, depth - 1)));
  return [ctx.instanceId, ...below.flat()];
});

const childOf = orchestrator(async function childOf(ctx) {
  return [ctx.parent?.name, ctx.parent?.instanceId];
});

const parentOf = orchestrator(async function* parentOf(ctx, child) {
  return yield ctx.callSubOrchestrator(childOf, undefined, { instanceId: child });
});

scenario(async function subOrchestrations(hub) {
  const ids = await hub.run(family, 4);
  assert.equal(new Set(ids).size, 2 ** 5 - 1);
  const parent = await hub.start(parentOf, unique("child"));
  assert.deepEqual(await hub.output(parent), ["parentOf", parent]);
});

const sleeper = orchestrator(async function* sleeper(ctx, milliseconds) {
  const before = ctx.currentUtcDateTime.getTime();
  yield ctx.createTimer(new Date(before + milliseconds));
  return ctx.currentUtcDateTime.getTime() - before;
});

scenario(async function timers(hub) {
  const instance = await hub.start(sleeper, 700);
  assert((await hub.output(instance)) >= 700);
  const events = await hub.history(instance);
  const created = events.find((e) => e.type === Kind.TimerCreated);
  const fired = events.find((e) => e.type === Kind.TimerFired);
  assert.deepEqual(fired.fireAt, created.fireAt);
  assert.equal(fired.timerId, created.eventId);
});

const race = orchestrator(async function* race(ctx) {
  const event = ctx.waitForExternalEvent("go");
  const first = yield whenAny([event, ctx.createTimer(3600)]);
  return first === event ? event.getResult() : "late";
});

scenario(async function anEventBeatsATimer(hub) {
  const instance = await hub.start(race);
  await hub.client.waitForOrchestrationStart(instance);
  await hub.client.raiseOrchestrationEvent(instance, "GO", "now");
  assert.equal(await hub.output(instance), "now");
});

const threeEvents = orchestrator(async function* threeEvents(ctx) {
  const got = [];
  for (const name of ["A", "B", "A"]) got.push(yield ctx.waitForExternalEvent(name));
  return got;
});

scenario(async function eventsBeforeTheStartAreKeptInOrder(hub) {
  for (const startAt of [undefined, new Date(Date.now() + 1000)]) {
    const instance = await hub.start(threeEvents, undefined, { startAt });
    await hub.client.raiseOrchestrationEvent(instance, "A", 1);
    await hub.client.raiseOrchestrationEvent(instance, "A", 2);
    await hub.client.raiseOrchestrationEvent(instance, "B", { b: null });
    assert.deepEqual(await hub.output(instance), [1, { b: null }, 2]);
  }
});

const sends = orchestrator(async function sends(ctx, target) {
  ctx.sendEvent(target, "A", "sent");
  ctx.sendEvent(`nobody-${ctx.newGuid()}`, "A", "to nobody");
  return "done";
});

const receives = orchestrator(async function* receives(ctx) {
  return yield ctx.waitForExternalEvent("A");
});

scenario(async function orchestrationsSendEvents(hub) {
  const target = await hub.start(receives);
  assert.equal(await hub.run(sends, target), "done");
  assert.equal(await hub.output(target), "sent");
});

const generations = orchestrator(async function* generations(ctx, left) {
  if (left === 0) return "last";
  yield ctx.callActivity(plusOne, left);
  ctx.continueAsNew(left - 1, false);
});

const collects = orchestrator(async function* collects(ctx, soFar) {
  const item = yield ctx.waitForExternalEvent("item");
  const all = [...(soFar || []), item];
  if (all.length === 20) return all;
  ctx.continueAsNew(all, true);
});

scenario(async function continueAsNew(hub) {
  const instance = await hub.start(generations, 25);
  assert.equal(await hub.output(instance), "last");
  assert.equal((await hub.state(instance)).serializedInput, "0");
  const collector = await hub.start(collects);
  for (let n = 0; n < 20; n++) await hub.client.raiseOrchestrationEvent(collector, "item", n);
  assert.deepEqual(await hub.output(collector), [...Array(20).keys()]);
});

const reports = orchestrator(async function* reports(ctx) {
  ctx.setCustomStatus({ step: 1 });
  yield ctx.waitForExternalEvent("go");
  ctx.setCustomStatus("");
  return "reported";
});

scenario(async function customStatus(hub) {
  const instance = await hub.start(reports);
  await until(async () => (await hub.state(instance)).serializedCustomStatus === '{"step":1}');
  await hub.client.raiseOrchestrationEvent(instance, "go");
  assert.equal(await hub.output(instance), "reported");
  assert.equal((await hub.state(instance)).serializedCustomStatus, '""');
});

const tellsVersion = orchestrator(async function tellsVersion(ctx) {
  return ctx.version;
});
const tagged = orchestrator(async function* tagged(ctx) {
  return yield ctx.callActivity(echo, 1, { tags: { kind: "demo" } });
});

scenario(async function versionsAndTags(hub) {
  assert.equal(await hub.run(tellsVersion, undefined, { version: "2.1.0" }), "2.1.0");
  assert.equal(await hub.run(tellsVersion), "");
  const instance = await hub.start(tagged, undefined, { tags: { team: "blue" } });
  await hub.output(instance);
  assert.deepEqual((await hub.state(instance)).tags, { team: "blue" });
  const scheduled = (await hub.history(instance)).find((e) => e.type === Kind.TaskScheduled);
  assert.deepEqual(scheduled.tags, { kind: "demo" });
});

const retries = orchestrator(async function* retries(ctx, request) {
  const retry = new RetryPolicy({ maxNumberOfAttempts: 5, firstRetryIntervalInMilliseconds: 100 });
  return yield ctx.callActivity(failUntil, request, { retry });
});

scenario(async function retriedActivities(hub) {
  assert.equal(await hub.run(retries, { key: unique("k"), times: 4 }), 4);
  const key = unique("k");
  const [, failure] = await hub.failure(retries, { key, times: 99 });
  assert.equal(counts.get(key), 5);
  assert.match(failure.message, /attempt 5/);
});

const fragile = orchestrator(async function* fragile(ctx, key) {
  const first = yield ctx.callActivity(echo, "kept");
  return [first, yield ctx.callActivity(failUntil, { key, times: 2 })];
});

const overFragile = orchestrator(async function* overFragile(ctx, key) {
  return yield ctx.callSubOrchestrator(fragile, key, { instanceId: `sub-${key}` });
});

scenario(async function failuresAndRewind(hub) {
  for (const f of [fragile, overFragile]) {
    const key = unique("rewind");
    const [instance, failure] = await hub.failure(f, key);
    assert.match(failure.message, /attempt 1/);
    await hub.client.rewindInstance(instance, "mended");
    assert.deepEqual(await hub.output(instance), ["kept", 2]);
    assert.equal((await hub.state(instance)).failureDetails, undefined);
    assert.equal(counts.get(key), 2);
    await assert.rejects(hub.client.rewindInstance(instance, "again"));
  }
  await assert.rejects(hub.client.rewindInstance(unique("unknown"), "why"));
});

scenario(async function idsAreTakenOnce(hub) {
  const instanceId = unique("an id: with+signs.T");
  assert.equal(await hub.run(throughAnActivity, 1, { instanceId }), 1);
  await assert.rejects(hub.start(throughAnActivity, 2, { instanceId }), /exist/i);
  assert.equal(await hub.state(unique("unknown")), undefined);
  assert.deepEqual(await hub.history(unique("unknown")), []);
});

module.exports = { chain, echo, parentOf, plusOne, receives, tellsVersion, throughAnActivity };
