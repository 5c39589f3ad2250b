"""Workers that take some of the work, refuse it, or die; and a server that dies under them."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from durabletask.grpc_options import GrpcChannelOptions
from durabletask.task import when_all
from durabletask.worker import (
    ActivityWorkItemFilter,
    OrchestrationWorkItemFilter,
    VersionFailureStrategy,
    VersioningOptions,
    VersionMatchStrategy,
    WorkItemFilters,
)

from harness import *
from management import repeats
from orchestrations import echo, plus_one, same, tells_version


@orchestrator
def slow(ctx, request):
    first = yield ctx.call_activity(plus_one, input=1)
    second = yield ctx.call_activity(waits_for_file, input=request)
    return [first, second]


@activity
def waits_for_file(_, request):
    """Notes that it began, and ends when it is let go."""
    with open(request["log"], "a") as log:
        log.write(f"{os.getpid()}\n")
    until(lambda: Path(request["go"]).exists(), seconds=60)
    return os.getpid()


@orchestrator
def trip(ctx, number):
    """A bit of everything, for the test that kills the server."""
    for _ in range(3):
        number = yield ctx.call_activity(plus_one, input=number)
    yield ctx.create_timer(timedelta(milliseconds=200))
    numbers = yield when_all([ctx.call_activity(plus_one, input=n) for n in range(5)])
    below = yield ctx.call_sub_orchestrator(short_trip, input=number)
    return [number, sum(numbers), below]


@orchestrator
def short_trip(ctx, number):
    yield ctx.create_timer(timedelta(milliseconds=100))
    return (yield ctx.call_activity(plus_one, input=number))


def lines(path):
    return Path(path).read_text().splitlines() if Path(path).exists() else []


@scenario
def a_worker_killed_in_an_activity(hub):
    place, directory = hub.other("killed"), scratch()
    log, go = f"{directory}/log", f"{directory}/go"
    first = worker_process(place, "workers")
    instance = place.start(slow, {"log": log, "go": go})
    until(lambda: len(lines(log)) == 1)
    first.kill()
    first.wait()
    second = worker_process(place, "workers")
    try:
        until(lambda: len(lines(log)) == 2)
        Path(go).touch()
        assert place.output(instance) == [2, second.pid]
        kinds = place.kinds(instance)
        assert kinds.count("TaskScheduled") == kinds.count("TaskCompleted") == 2, kinds
        assert [int(pid) for pid in lines(log)] == [first.pid, second.pid]
    finally:
        second.kill()
        second.wait()


@scenario
def a_server_killed_in_the_middle(hub):
    server = Server(program(), scratch())
    server.start()
    place = Hub(server.address, "default")
    worker = place.worker([trip, short_trip], [plus_one])
    worker.start()
    try:
        ids = [place.start(trip, n, instance_id=f"trip-{n}") for n in range(30)]
        until(lambda: sum(len(place.history(i)) > 8 for i in ids) > 10)
        server.kill()
        server.start()

        def answered():
            try:
                return place.client.get_orchestration_state(ids[0])
            except Exception:
                return None

        until(answered)
        with ThreadPoolExecutor(8) as pool:
            outputs = list(pool.map(place.output, ids))
        assert outputs == [[n + 3, 15, n + 4] for n in range(30)], outputs
        for instance in ids:
            kinds = place.kinds(instance)
            assert (kinds.count("TaskCompleted"), kinds.count("TimerFired")) == (8, 1), kinds
            assert kinds.count("SubOrchestrationInstanceCompleted") == 1
    finally:
        worker.stop()
        server.kill()


@scenario
def filters(hub):
    place = hub.other("filters")
    wanted = WorkItemFilters(
        orchestrations=[OrchestrationWorkItemFilter("tells_version", ["1.0"]), OrchestrationWorkItemFilter("same")],
        activities=[ActivityWorkItemFilter("echo")],
    )
    with place.worker([same, tells_version], [echo]) as worker:
        worker.use_work_item_filters(wanted)
        worker.start()
        left = [place.start(tells_version, version="2.0"), place.start(tells_version), place.start("unknown")]
        assert place.run(same, "any version", version="7") == "any version"
        assert place.run(tells_version, version="1.0") == "1.0"
        assert {place.state(i).runtime_status for i in left} == {OrchestrationStatus.PENDING}
    with place.worker([same, tells_version], [echo]) as worker:
        worker.start()
        assert place.output(left[0]) == "2.0"
        assert place.wait(left[2]).runtime_status == OrchestrationStatus.FAILED


@scenario
def a_refused_version_waits_for_a_worker_that_takes_it(hub):
    place = hub.other("versions")

    def worker(version, failing=VersionFailureStrategy.REJECT):
        worker = place.worker([tells_version])
        worker.use_versioning(
            VersioningOptions(
                version=version, match_strategy=VersionMatchStrategy.STRICT, failure_strategy=failing
            )
        )
        return worker

    with worker("1.0") as first:
        first.start()
        later = place.start(tells_version, version="2.0")
        assert place.run(tells_version, version="1.0") == "1.0"
        assert place.state(later).runtime_status == OrchestrationStatus.PENDING
        with worker("2.0") as second:
            second.start()
            assert place.output(later) == "2.0"
            assert place.kinds(later).count("ExecutionStarted") == 1
    with worker("1.0", VersionFailureStrategy.FAIL) as strict:
        strict.start()
        _, failure = place.failure(tells_version, version="3.0")
        assert failure.error_type == "VersionMismatch", failure


@scenario
def workers_share_the_work(hub):
    place = hub.other("shared")
    with place.worker([trip, short_trip], [plus_one]) as one, place.worker([trip, short_trip], [plus_one]) as two:
        one.start()
        two.start()
        ids = [place.start(trip, n) for n in range(20)]
        assert [place.output(i) for i in ids] == [[n + 3, 15, n + 4] for n in range(20)]


@scenario
def a_history_beyond_what_a_worker_receives(hub):
    place = hub.other("large")
    text = "x" * 500_000
    with place.worker([repeats], [echo]) as small:
        small.start()
        instance, failure = place.failure(repeats, {"text": text, "times": 6})
        assert "4 MiB" in failure.message and "continue-as-new" in failure.message, failure
    # Nothing is lost: with a larger limit it goes on.
    roomy = GrpcChannelOptions(max_receive_message_length=-1)
    with place.worker([repeats], [echo], channel_options=roomy) as large:
        large.start()
        place.client.rewind_orchestration(instance)
        assert place.output(instance) == 6


if __name__ == "__main__":
    hub = Hub(*sys.argv[1:3])
    hub.worker([slow, trip, short_trip], [waits_for_file, plus_one]).start()
    while True:
        time.sleep(3600)
