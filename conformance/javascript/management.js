// What clients do to instances, and what workers may refuse.
"use strict";

const { assert, orchestrator, scenario, sdk, Status, unique, until } = require("./harness");
const { chain, echo, plusOne, receives, tellsVersion, throughAnActivity } = require("./orchestrations");
const { PurgeInstanceCriteria, terminateOptions, VersionFailureStrategy, VersionMatchStrategy, whenAll } = sdk;

const countsEvents = orchestrator(async function* countsEvents(ctx, wanted) {
  const got = [];
  while (got.length < wanted) got.push(yield ctx.waitForExternalEvent("n"));
  return got;
});

scenario(async function suspendAndResume(hub) {
  const instance = await hub.start(countsEvents, 3);
  await hub.client.waitForOrchestrationStart(instance);
  await hub.client.suspendOrchestration(instance);
  await hub.untilStatus(instance, Status.SUSPENDED);
  for (let n = 0; n < 3; n++) await hub.client.raiseOrchestrationEvent(instance, "n", n);
  await assert.rejects(hub.client.waitForOrchestrationCompletion(instance, true, 1));
  assert.equal((await hub.state(instance)).runtimeStatus, Status.SUSPENDED);
  await hub.client.resumeOrchestration(instance);
  assert.deepEqual(await hub.output(instance), [0, 1, 2]);
});

const receivers = orchestrator(async function* receivers(ctx, children) {
  return yield whenAll(children.map((instanceId) => ctx.callSubOrchestrator(receives, undefined, { instanceId })));
});

scenario(async function terminate(hub) {
  const children = [unique("c"), unique("c")];
  const parent = await hub.start(receivers, children);
  for (const child of children) {
    await until(() => hub.state(child));
    await hub.client.waitForOrchestrationStart(child);
  }
  await hub.client.terminateOrchestration(parent, terminateOptions({ recursive: true, output: { why: "enough" } }));
  const state = await hub.wait(parent);
  assert.equal(state.runtimeStatus, Status.TERMINATED);
  assert.deepEqual(JSON.parse(state.serializedOutput), { why: "enough" });
  for (const child of children) assert.equal((await hub.wait(child)).runtimeStatus, Status.TERMINATED);
  const quiet = hub.other("unserved");
  const unserved = await quiet.start("nobody");
  await quiet.client.terminateOrchestration(unserved, "unserved");
  await quiet.untilStatus(unserved, Status.TERMINATED);
});

scenario(async function restart(hub) {
  const instance = await hub.start(throughAnActivity, { a: 1 });
  await hub.wait(instance);
  assert.equal(await hub.client.restartOrchestration(instance), instance);
  assert.deepEqual(await hub.output(instance), { a: 1 });
  const fresh = await hub.client.restartOrchestration(instance, true);
  assert.notEqual(fresh, instance);
  assert.deepEqual(await hub.output(fresh), { a: 1 });
  await assert.rejects(hub.client.restartOrchestration(unique("unknown")));
});

scenario(async function purge(hub) {
  const place = hub.other("purge");
  const worker = place.worker({ orchestrators: [throughAnActivity, receives, receivers], activities: [echo] });
  await worker.start();
  const child = unique("c");
  const parent = await place.start(receivers, [child]);
  await until(() => place.state(child));
  assert.equal((await place.client.purgeOrchestration(parent)).deletedInstanceCount, 0);
  await place.client.raiseOrchestrationEvent(child, "A");
  await place.wait(parent);
  assert.equal((await place.client.purgeOrchestration(parent)).deletedInstanceCount, 1);
  assert.equal(await place.state(parent), undefined);
  assert.equal((await place.state(child)).runtimeStatus, Status.COMPLETED);
  for (let n = 0; n < 5; n++) await place.run(throughAnActivity, n);
  const criteria = new PurgeInstanceCriteria();
  criteria.setCreatedTimeFrom(new Date(Date.now() - 3600_000));
  criteria.setCreatedTimeTo(new Date(Date.now() + 60_000));
  criteria.setRuntimeStatusList([Status.COMPLETED]);
  assert.equal((await place.client.purgeOrchestration(criteria)).deletedInstanceCount, 6);
  await worker.stop();
});

scenario(async function queriesAndTheirPages(hub) {
  const place = hub.other("queries");
  const worker = place.worker({ orchestrators: [chain], activities: [plusOne] });
  await worker.start();
  const ids = [];
  for (let n = 0; n < 11; n++) ids.push(await place.start(chain, n % 3, { instanceId: `p${n % 2}-${n}` }));
  for (const instance of ids) await place.wait(instance);
  const query = async (filter) => {
    const found = [];
    for await (const state of place.client.getAllInstances(filter)) found.push(state);
    return found;
  };
  assert.deepEqual((await query({ pageSize: 3 })).map((s) => s.instanceId).sort(), [...ids].sort());
  assert.equal((await query({ instanceIdPrefix: "p1-" })).length, 5);
  assert.equal((await query({ statuses: [Status.FAILED] })).length, 0);
  assert.equal((await query({ createdTo: new Date(Date.now() - 3600_000) })).length, 0);
  assert((await query({ fetchInputsAndOutputs: true })).every((s) => s.serializedOutput === s.serializedInput));
  const listed = [];
  let lastInstanceKey;
  do {
    const page = await place.client.listInstanceIds({ pageSize: 4, lastInstanceKey });
    listed.push(...page.values);
    lastInstanceKey = page.continuationToken;
  } while (lastInstanceKey);
  assert.deepEqual(listed.sort(), [...ids].sort());
  await worker.stop();
});

scenario(async function filtersAndVersions(hub) {
  const place = hub.other("filters");
  const served = { orchestrators: [tellsVersion, throughAnActivity], activities: [echo] };
  const some = place.worker({
    ...served,
    workItemFilters: {
      orchestrations: [{ name: "tellsVersion", versions: ["1.0"] }, { name: "throughAnActivity" }],
      activities: [{ name: "echo" }],
    },
  });
  await some.start();
  const left = await place.start(tellsVersion, undefined, { version: "2.0" });
  assert.equal(await place.run(throughAnActivity, "any", { version: "7" }), "any");
  assert.equal(await place.run(tellsVersion, undefined, { version: "1.0" }), "1.0");
  assert.equal((await place.state(left)).runtimeStatus, Status.PENDING);
  await some.stop();
  const strict = (version) =>
    place.worker({
      ...served,
      versioning: {
        version,
        matchStrategy: VersionMatchStrategy.Strict,
        failureStrategy: VersionFailureStrategy.Reject,
      },
    });
  const [old, current] = [strict("1.0"), strict("2.0")];
  await old.start();
  await current.start();
  assert.equal(await place.output(left), "2.0");
  await Promise.all([old.stop(), current.stop()]);
});
