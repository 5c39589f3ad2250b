// Entities: signals, calls, locks, what they start and send, queries, cleaning up.
"use strict";

const { assert, entity, functions, Hub, orchestrator, scenario, sdk, unique, until } = require("./harness");
const { throughAnActivity } = require("./orchestrations");
const { EntityInstanceId, TaskEntity, whenAll } = sdk;

class Counter extends TaskEntity {
  initializeState() {
    return { value: 0 };
  }

  add(amount) {
    this.state.value += amount;
    return this.state.value;
  }

  get() {
    return this.state.value;
  }

  fail(amount) {
    this.state.value += amount;
    throw new Error("not this one");
  }

  passOn({ to, amount }) {
    this.context.signalEntity(counter(to), "add", amount);
  }

  launch(instanceId) {
    return this.context.scheduleNewOrchestration("throughAnActivity", "launched", { instanceId });
  }
}

class Journal extends TaskEntity {
  initializeState() {
    return [];
  }

  write(line) {
    this.state.push(line);
  }
}

entity("counter", () => new Counter());
entity("journal", () => new Journal());
const counter = (key) => new EntityInstanceId("counter", key);
const value = async (hub, key) => (await hub.entityState(counter(key)))?.value;

scenario(async function signalsArriveInOrder(hub) {
  const diary = new EntityInstanceId("journal", unique("k"));
  assert.equal(await hub.client.getEntity(diary), undefined);
  for (let n = 0; n < 30; n++) await hub.client.signalEntity(diary, "write", n);
  await until(async () => (await hub.entityState(diary))?.length === 30);
  assert.deepEqual(await hub.entityState(diary), [...Array(30).keys()]);
});

const callsCounter = orchestrator(async function* callsCounter(ctx, { key, operations }) {
  const results = [];
  for (const [operation, input] of operations) {
    try {
      results.push(yield ctx.entities.callEntity(counter(key), operation, input));
    } catch (error) {
      results.push(error.message);
    }
  }
  return results;
});

scenario(async function calls(hub) {
  const key = unique("k");
  const done = await hub.run(callsCounter, { key, operations: [["add", 5], ["fail", 100], ["add", 2], ["get"]] });
  assert.match(done[1], /not this one/);
  assert.deepEqual([done[0], done[2], done[3]], [5, 7, 7]);
  assert.equal(await value(hub, key), 7);
});

const manyCalls = orchestrator(async function* manyCalls(ctx, key) {
  yield whenAll(Array.from({ length: 40 }, () => ctx.entities.callEntity(counter(key), "add", 1)));
  ctx.entities.signalEntity(counter(key), "add", 1000);
  return "all";
});

scenario(async function callsAndSignalsAtOnce(hub) {
  const key = unique("k");
  await Promise.all([1, 2, 3].map(() => hub.run(manyCalls, key)));
  await until(async () => (await value(hub, key)) === 3 * 1040);
});

const moves = orchestrator(async function* moves(ctx, { from, to }) {
  const lock = yield ctx.entities.lockEntities(counter(from), counter(to));
  try {
    const amount = yield ctx.entities.callEntity(counter(from), "get");
    yield ctx.createTimer(0.05);
    yield ctx.entities.callEntity(counter(from), "add", -amount);
    yield ctx.entities.callEntity(counter(to), "add", amount);
    return amount;
  } finally {
    lock.release();
  }
});

scenario(async function locksKeepOthersOut(hub) {
  const [a, b] = [unique("a"), unique("b")];
  await hub.client.signalEntity(counter(a), "add", 100);
  await until(async () => (await value(hub, a)) === 100);
  await Promise.all([
    ...[1, 2].map(() => hub.run(moves, { from: a, to: b })),
    ...[1, 2].map(() => hub.run(moves, { from: b, to: a })),
  ]);
  assert.equal(((await value(hub, a)) ?? 0) + ((await value(hub, b)) ?? 0), 100);
});

const holds = orchestrator(async function* holds(ctx, key) {
  yield ctx.entities.lockEntities(counter(key));
  yield ctx.waitForExternalEvent("release");
  throw new Error("thrown while it held the lock");
});

scenario(async function aHolderThatFailsLetsGo(hub) {
  const key = unique("k");
  await hub.client.signalEntity(counter(key), "add", 1);
  await until(async () => (await value(hub, key)) === 1);
  const instance = await hub.start(holds, key);
  await until(async () => (await hub.client.getEntity(counter(key))).lockedBy === instance);
  await hub.client.signalEntity(counter(key), "add", 1);
  await hub.client.raiseOrchestrationEvent(instance, "release");
  await hub.wait(instance);
  await until(async () => (await value(hub, key)) === 2);
  assert.equal((await hub.client.getEntity(counter(key))).lockedBy, undefined);
});

scenario(async function delayedSignals(hub) {
  const key = unique("k");
  const due = Date.now() + 1000;
  await hub.client.signalEntity(counter(key), "add", 1, { signalTime: new Date(due) });
  await until(async () => (await value(hub, key)) === 1);
  assert(Date.now() >= due);
});

scenario(async function entitiesSignalAndStart(hub) {
  const [one, two, instance] = [unique("k"), unique("k"), unique("launched")];
  await hub.client.signalEntity(counter(one), "passOn", { to: two, amount: 9 });
  await until(async () => (await value(hub, two)) === 9);
  assert.deepEqual(await hub.run(callsCounter, { key: one, operations: [["launch", instance]] }), [instance]);
  await until(() => hub.state(instance));
  assert.equal(await hub.output(instance), "launched");
});

scenario(async function entityQueriesAndCleaning(hub) {
  const place = hub.other("entities");
  const worker = place.worker({ entities: functions.entities });
  await worker.start();
  for (let n = 0; n < 7; n++) await place.client.signalEntity(counter(`k${n}`), "add", n);
  const query = async (filter) => {
    const found = [];
    for await (const one of place.client.getEntities(filter)) found.push(one);
    return found;
  };
  await until(async () => (await query()).length === 7);
  const all = await query({ instanceIdStartsWith: "@counter@", pageSize: 3, includeState: true });
  assert.deepEqual(all.map((e) => e.state.value).sort(), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual((await query({ instanceIdStartsWith: "@counter@k3" })).map((e) => e.id.key), ["k3"]);
  for (let n = 0; n < 7; n++) await place.client.signalEntity(counter(`k${n}`), "delete");
  await until(async () => (await query()).length === 0);
  const cleaned = await place.client.cleanEntityStorage();
  assert.equal(cleaned.orphanedLocksReleased, 0);
  assert.equal((await query({ includeTransient: true })).length, 0);
  await worker.stop();
});
