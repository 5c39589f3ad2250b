"""The Python worker of a hub that Rust and Node serve, too; see README.md."""

import sys
import threading

from durabletask.client import TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "localhost:7071"


def count_words(_, text):
    return len(text.split())


def report(ctx, text):
    # By name: the first is in worker.js, the second in polyglot.rs.
    title = yield ctx.call_activity("headline", input=text)
    checksum = yield ctx.call_activity("checksum", input=text)
    return f"{title}, checksum {checksum:08x}"


worker = TaskHubGrpcWorker(host_address=ADDRESS)
worker.add_activity(count_words)
worker.add_orchestrator(report)
# Only what it has; the rest is for others.
worker.use_work_item_filters()
worker.start()

# It waits, on disk, until there are workers in Node and Rust.
client = TaskHubGrpcClient(host_address=ADDRESS)
instance = client.schedule_new_orchestration(report, input="the quick brown fox")
state = client.wait_for_orchestration_completion(instance, timeout=3600)
print(f"Python started report, which needs Node and Rust: {state.get_output()}", flush=True)
threading.Event().wait()
