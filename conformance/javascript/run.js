// Runs the scenarios against a server: run.js ADDRESS [PART OF A NAME]...
"use strict";

require("./orchestrations");
require("./management");
require("./entities");
require("./workers");
const { runAll } = require("./harness");

// Calls that were given up stay open in this SDK: the process is ended.
runAll(process.argv[2], process.argv.slice(3)).then(
  (failed) => process.exit(failed ? 1 : 0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
