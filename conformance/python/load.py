"""Load with failures: see ../load."""

import argparse
import logging
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from durabletask.entities import EntityInstanceId
from durabletask.task import when_all

from harness import *
from management import repeats
from orchestrations import chain, echo, fan, generations, plus_one, same
from workers import short_trip, trip


def tally(ctx, amount):
    ctx.set_state(ctx.get_state(int, 0) + amount)
    return ctx.get_state(int)


def counts(ctx, key):
    for _ in range(3):
        yield ctx.call_entity(EntityInstanceId("tally", str(key)), "add", 1)
        yield ctx.create_timer(timedelta(milliseconds=50))
    return "counted"


#: Each shape with an input and the output that must come of it.
SHAPES = [
    lambda n: (trip, n, [n + 3, 15, n + 4]),
    lambda n: (chain, 8, 8),
    lambda n: (fan, 20, 210),
    lambda n: (generations, 5, "last"),
    lambda n: (counts, n % 10, "counted"),
]
TALLIES = 10


def serve(hub):
    """A worker, for as long as the process lives."""
    hub.worker(
        [trip, short_trip, chain, fan, generations, counts, same, repeats], [plus_one, echo], [tally]
    ).start()
    while True:
        time.sleep(3600)


def insist(call, *arguments, **options):
    """Calls until the server answers: it is being killed now and then."""
    while True:
        try:
            return call(*arguments, **options)
        except Exception as error:
            code = error.code().name if hasattr(error, "code") else type(error).__name__
            if code == "ALREADY_EXISTS":
                return None
            if code not in ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "TimeoutError", "UNKNOWN"):
                raise
            FAILED_CALLS[code] += 1
            time.sleep(0.1)


FAILED_CALLS = Counter()


def under_fire(hub, server, asked):
    """The load, with kills at random moments."""
    dice = random.Random(asked.seed)
    workers = [worker_process(hub, "load") for _ in range(asked.workers)]
    kills = ["server"] * asked.server_kills + ["worker"] * asked.worker_kills
    dice.shuffle(kills)
    over = threading.Event()
    killed = Counter()

    def kill():
        for what in kills:
            if over.wait(dice.uniform(0.2, 2.5)):
                return
            killed[what] += 1
            if what == "server":
                server.kill()
                server.start()
            else:
                at = dice.randrange(len(workers))
                workers[at].kill()
                workers[at].wait()
                workers[at] = worker_process(hub, "load")

    killer = threading.Thread(target=kill)
    begun = time.monotonic()
    killer.start()
    wanted = {}
    for number in range(asked.instances):
        function, input, output = SHAPES[number % len(SHAPES)](number)
        wanted[f"{function.__name__}-{number}"] = (function, input, output)

    def run(instance):
        function, input, output = wanted[instance]
        insist(hub.start, function, input, instance_id=instance)
        state = insist(hub.client.wait_for_orchestration_completion, instance, timeout=20)
        assert state.get_output() == output, f"{instance}: {state}"

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(run, wanted))
        took = time.monotonic() - begun
        over.set()
        killer.join()
        steps = sum(pool.map(lambda i: len(insist(checked, hub, i)), wanted))
    counted = 3 * len(range(4, asked.instances, len(SHAPES)))
    tallies = [insist(hub.client.get_entity, EntityInstanceId("tally", str(n))) for n in range(TALLIES)]
    assert sum(t.get_typed_state() for t in tallies if t) == counted, "an entity's operation was lost or done twice"
    print(
        f"{asked.instances} instances with {steps} events complete in {took:.1f} s on {asked.workers} workers, "
        f"{killed['server']} server kills, {killed['worker']} worker kills; nothing lost, nothing twice; "
        f"calls tried again: {dict(FAILED_CALLS)}",
        flush=True,
    )
    return workers


def checked(hub, instance):
    events = hub.history(instance)
    check_history(events)
    return events


def wide(hub, width):
    """One fan-out over so many activities."""
    if not width:
        return
    begun = time.monotonic()
    instance = hub.start(fan, width)
    try:
        output = hub.output(instance, seconds=600)
        assert output == width * (width + 1) // 2
        print(f"fan-out of {width} activities: {time.monotonic() - begun:.1f} s, {len(hub.history(instance))} events")
    except Exception as error:
        print(f"fan-out of {width} activities: {hub.state(instance).runtime_status}, {error}")


def large(hub, megabytes):
    """A history beyond what this SDK receives by default, which is 4 MiB: it must end, with a clear message."""
    if not megabytes:
        return
    text = "x" * 500_000
    begun = time.monotonic()
    instance = hub.start(repeats, {"text": text, "times": megabytes})
    try:
        state = hub.client.wait_for_orchestration_completion(instance, timeout=120)
        told = state.failure_details.message if state.failure_details else state.serialized_output
        print(f"a history of {megabytes} MB: {state.runtime_status} in {time.monotonic() - begun:.1f} s: {told}")
    except TimeoutError:
        print(f"a history of {megabytes} MB: {hub.state(instance).runtime_status} after 120 s")


def main():
    parser = argparse.ArgumentParser()
    for name, default in (
        ("instances", 300), ("workers", 4), ("server-kills", 5), ("worker-kills", 10),
        ("wide", 10_000), ("history-mb", 50), ("seed", 1),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    server = Server(program(), scratch())
    server.start()
    hub = Hub(server.address, "default")
    workers = []
    try:
        workers = under_fire(hub, server, asked) if asked.instances else [worker_process(hub, "load")]
        wide(hub, asked.wide)
        large(hub, asked.history_mb)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        server.kill()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if len(sys.argv) == 3 and not sys.argv[1].startswith("-"):
        serve(Hub(*sys.argv[1:3]))
    main()
