// The Node worker of a hub that Rust and Python serve, too; see README.md.
"use strict";

const { NoOpLogger, TaskHubGrpcWorker } = require("@microsoft/durabletask-js");

const worker = new TaskHubGrpcWorker({
  hostAddress: process.argv[2] ?? "localhost:7071",
  logger: new NoOpLogger(),
  // Only what it has; the rest is for others.
  workItemFilters: "auto",
});

worker.addActivity(async function headline(_, text) {
  return text.replace(/\b\w/g, (letter) => letter.toUpperCase());
});

worker.start().then(() => console.log("Node serves headline"));
