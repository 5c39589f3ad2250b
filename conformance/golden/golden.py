"""The orchestration `order` in Python: golden.py ADDRESS HUB. Its twins are golden.rs and golden.js."""

import os
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

from durabletask.entities import EntityInstanceId  # noqa: E402

from harness import Hub, until  # noqa: E402


def double(_, number):
    return number * 2


def negate(_, number):
    return -number


def tally(ctx, amount):
    ctx.set_state(ctx.get_state(int, 0) + amount)
    return ctx.get_state(int)


def order(ctx, number):
    doubled = yield ctx.call_activity(double, input=number)
    yield ctx.create_timer(timedelta(milliseconds=50))
    negated = yield ctx.call_sub_orchestrator(negate, input=doubled)
    ctx.set_custom_status("waiting")
    told = yield ctx.wait_for_external_event("go")
    total = yield ctx.call_entity(EntityInstanceId("tally", "one"), "add", told)
    return [doubled, negated, told, total]


if __name__ == "__main__":
    hub = Hub(*sys.argv[1:3])
    worker = hub.worker([order, negate], [double], [tally])
    worker.start()
    hub.start(order, 21, instance_id="golden")
    until(lambda: hub.state("golden").serialized_custom_status == '"waiting"')
    hub.client.raise_orchestration_event("golden", "go", data=7)
    print(hub.output("golden"))
    worker.stop()
    sys.stdout.flush()
    os._exit(0)
