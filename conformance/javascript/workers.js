// A worker process that dies in the middle of an activity: workers.js ADDRESS HUB is such a worker.
"use strict";

const { spawn } = require("node:child_process");
const { appendFileSync, existsSync, mkdtempSync, readFileSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { activity, assert, Hub, Kind, orchestrator, scenario, until } = require("./harness");

const waitsForFile = activity(async function waitsForFile(_, { log, go }) {
  appendFileSync(log, `${process.pid}\n`);
  await until(() => existsSync(go), 60);
  return process.pid;
});

const slow = orchestrator(async function* slow(ctx, request) {
  return yield ctx.callActivity(waitsForFile, request);
});

scenario(async function aWorkerKilledInAnActivity(hub) {
  const place = hub.other("killed");
  const directory = mkdtempSync(join(process.env.SCRATCH ?? tmpdir(), "js-"));
  const [log, go] = [join(directory, "log"), join(directory, "go")];
  const lines = () => (existsSync(log) ? readFileSync(log, "utf8").split("\n").length - 1 : 0);
  const worker = () => spawn(process.execPath, [__filename, place.address, place.name], { stdio: "inherit" });
  const first = worker();
  const instance = await place.start(slow, { log, go });
  await until(() => lines() === 1);
  first.kill("SIGKILL");
  const second = worker();
  try {
    await until(() => lines() === 2);
    writeFileSync(go, "");
    assert.equal(await place.output(instance), second.pid);
    const kinds = await place.kinds(instance);
    assert.equal(kinds.filter((kind) => kind === Kind.TaskScheduled).length, 1);
  } finally {
    second.kill("SIGKILL");
  }
});

if (require.main === module) {
  const hub = new Hub(process.argv[2], process.argv[3]);
  hub.worker({ orchestrators: [slow], activities: [waitsForFile] }).start();
}
