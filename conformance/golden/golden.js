// The orchestration `order` in JavaScript: golden.js ADDRESS HUB. Its twins are golden.rs and golden.py.
"use strict";

const { Hub, sdk, until } = require("../javascript/harness");

async function double(_, number) {
  return number * 2;
}

async function negate(_, number) {
  return -number;
}

class Tally {
  run(operation) {
    const total = operation.state.getState(0) + operation.getInput();
    operation.state.setState(total);
    return total;
  }
}

async function* order(ctx, number) {
  const doubled = yield ctx.callActivity(double, number);
  yield ctx.createTimer(0.05);
  const negated = yield ctx.callSubOrchestrator(negate, doubled);
  ctx.setCustomStatus("waiting");
  const told = yield ctx.waitForExternalEvent("go");
  const total = yield ctx.entities.callEntity(new sdk.EntityInstanceId("tally", "one"), "add", told);
  return [doubled, negated, told, total];
}

async function main([address, name]) {
  const hub = new Hub(address, name);
  const worker = hub.worker({
    orchestrators: [order, negate],
    activities: [double],
    entities: { tally: () => new Tally() },
  });
  await worker.start();
  await hub.start(order, 21, { instanceId: "golden" });
  await until(async () => (await hub.state("golden")).serializedCustomStatus === '"waiting"');
  await hub.client.raiseOrchestrationEvent("golden", "go", 7);
  console.log(JSON.stringify(await hub.output("golden")));
  process.exit(0);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
