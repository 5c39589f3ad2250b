// What the scenarios share: their register, a hub to run them on, and what every history must satisfy.
"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { setTimeout: pause } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const sdk = require("@microsoft/durabletask-js");

const { OrchestrationStatus: Status, HistoryEventType: Kind } = sdk;
const quiet = new sdk.NoOpLogger();
const scenarios = [];
const functions = { orchestrators: [], activities: [], entities: {} };
// How often each key was counted, by activities of this process.
const counts = new Map();

const scenario = (run) => scenarios.push(run);
const orchestrator = (f) => (functions.orchestrators.push(f), f);
const activity = (f) => (functions.activities.push(f), f);
const entity = (name, factory) => (functions.entities[name] = factory);

async function until(condition, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${condition}`);
    await pause(20);
  }
}

const unique = (prefix) => `${prefix}-${randomUUID().slice(0, 8)}`;

class Hub {
  constructor(address, name) {
    this.address = address;
    this.name = name;
    const metadata = async () => {
      const metadata = new grpc.Metadata();
      metadata.set("taskhub", name);
      return metadata;
    };
    this.options = { hostAddress: address, metadataGenerator: metadata, logger: quiet };
    this.client = new sdk.TaskHubGrpcClient(this.options);
  }

  // A hub of its own, for scenarios that look at all there is.
  other(name) {
    return new Hub(this.address, `${this.name}-${name}`);
  }

  worker({ orchestrators = [], activities = [], entities = {}, ...options }) {
    const worker = new sdk.TaskHubGrpcWorker({ ...this.options, shutdownTimeoutMs: 100, ...options });
    orchestrators.forEach((f) => worker.addOrchestrator(f));
    activities.forEach((f) => worker.addActivity(f));
    Object.entries(entities).forEach(([name, factory]) => worker.addNamedEntity(name, factory));
    return worker;
  }

  start(f, input, options) {
    return this.client.scheduleNewOrchestration(f, input, options);
  }

  state(instance) {
    return this.client.getOrchestrationState(instance, true);
  }

  // The state of an instance that is over. Its history must be sound.
  async wait(instance, seconds = 60) {
    const state = await this.client.waitForOrchestrationCompletion(instance, true, seconds);
    checkHistory(await this.history(instance));
    return state;
  }

  async output(instance) {
    const state = await this.wait(instance);
    assert.equal(state.runtimeStatus, Status.COMPLETED, `${state.name}: ${state.failureDetails?.message}`);
    return state.serializedOutput === undefined ? undefined : JSON.parse(state.serializedOutput);
  }

  async run(f, input, options) {
    return this.output(await this.start(f, input, options));
  }

  async failure(f, input) {
    const instance = await this.start(f, input);
    const state = await this.wait(instance);
    assert.equal(state.runtimeStatus, Status.FAILED);
    return [instance, state.failureDetails];
  }

  history(instance) {
    return this.client.getOrchestrationHistory(instance);
  }

  async kinds(instance) {
    return (await this.history(instance)).map((event) => event.type);
  }

  untilStatus(instance, status) {
    return until(async () => (await this.state(instance))?.runtimeStatus === status);
  }

  async entityState(id) {
    return (await this.client.getEntity(id))?.state;
  }
}

// What holds for every history: each thing happened once, after what asked for it.
function checkHistory(events) {
  const requested = new Set();
  const answered = new Set();
  const replies = new Set();
  let now = 0;
  for (const event of events) {
    if (event.type === Kind.OrchestratorStarted) {
      assert(event.timestamp >= now, "the time of a turn is before that of the one before");
      now = event.timestamp;
    }
    assert(event.type !== Kind.TimerFired || event.fireAt <= now, "a timer fired early");
    assert(event.timestamp.getFullYear() > 2000, `${event.type} without a time`);
    // What a rewind took away has left a place without content.
    if (event.eventId >= 0 && event.type !== Kind.GenericEvent) {
      assert(!requested.has(event.eventId), `${event.type}: action ${event.eventId} stands there twice`);
      requested.add(event.eventId);
    }
    const answer = event.taskScheduledId ?? event.timerId;
    if (answer !== undefined) {
      assert(requested.has(answer), `${event.type} of ${answer}, which nobody asked for`);
      assert(!answered.has(answer), `${event.type} of ${answer}: the second answer`);
      answered.add(answer);
    }
    if (event.type === Kind.EntityOperationCompleted || event.type === Kind.EntityOperationFailed) {
      assert(!replies.has(event.requestId), "an entity answered twice");
      replies.add(event.requestId);
    }
  }
  assert.equal(events.filter((event) => event.type === Kind.ExecutionStarted).length, 1);
}

// Runs the scenarios side by side on one hub with one worker. Gives how many failed.
async function runAll(address, only) {
  const hub = new Hub(address, unique("javascript"));
  const worker = hub.worker(functions);
  await worker.start();
  const chosen = scenarios.filter((s) => only.length === 0 || only.some((word) => s.name.includes(word)));
  let failed = 0;
  const queue = [...chosen];
  const lane = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const begun = Date.now();
      let error;
      await next(hub).catch((thrown) => (error = thrown));
      const seconds = ((Date.now() - begun) / 1000).toFixed(1).padStart(5);
      console.log(`${error ? "FAIL" : "ok  "} ${seconds}s  javascript  ${next.name}`);
      if (error) {
        failed += 1;
        console.log(error.stack ?? error);
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  console.log(`javascript: ${chosen.length - failed} of ${chosen.length} scenarios passed`);
  return failed;
}

module.exports = {
  ...{ activity, assert, counts, entity, Hub, Kind, orchestrator, runAll, scenario, sdk, Status, unique, until },
  functions,
};
