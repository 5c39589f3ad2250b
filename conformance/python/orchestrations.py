"""What orchestrations do: sequences, fan-out, sub-orchestrations, timers, events, generations, failures."""

import asyncio
from datetime import datetime, timedelta, timezone

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.client import AsyncTaskHubGrpcClient
from durabletask.task import RetryPolicy, TaskFailedError, when_all, when_any

from harness import *


@activity
def plus_one(_, number):
    return number + 1


@activity
def echo(_, value):
    return value


@activity
def fail_until(_, request):
    """Fails until it has been called often enough."""
    COUNTS[request["key"]] += 1
    if COUNTS[request["key"]] < request["times"]:
        raise ValueError(f"attempt {COUNTS[request['key']]}")
    return COUNTS[request["key"]]


@activity
def where(ctx, _):
    return [ctx.orchestration_id, ctx.task_id]


@orchestrator
def chain(ctx, steps):
    number = 0
    for _ in range(steps):
        number = yield ctx.call_activity(plus_one, input=number)
    return number


@scenario
def chaining(hub):
    instance = hub.start(chain, 10)
    assert hub.output(instance) == 10
    kinds = hub.kinds(instance)
    assert kinds[:3] == ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled"], kinds
    assert kinds[-1] == "ExecutionCompleted", kinds
    assert kinds.count("TaskScheduled") == kinds.count("TaskCompleted") == 10


@orchestrator
def fan(ctx, width):
    numbers = yield when_all([ctx.call_activity(plus_one, input=n) for n in range(width)])
    return sum(numbers)


@scenario
def fan_out_and_in(hub):
    assert hub.run(fan, 200) == sum(range(1, 201))


@scenario
def an_orchestration_without_awaits_takes_one_turn(hub):
    instance = hub.start(nothing)
    assert hub.output(instance) is None
    state = hub.state(instance)
    assert (state.serialized_input, state.serialized_output, state.failure_details) == (None, None, None)
    assert hub.kinds(instance) == ["OrchestratorStarted", "ExecutionStarted", "ExecutionCompleted"]


@orchestrator
def nothing(_, __):
    return None


@orchestrator
def same(_, value):
    return value


@scenario
def values_come_back_as_they_were_given(hub):
    for value in (0, False, "", [], {}, "null", "Grüße, 世界 \U0001f30d", {"a": [1.5, None]}, -(2**53)):
        assert hub.run(same, value) == value, value
        assert hub.run(through_an_activity, value) == value, value


@orchestrator
def through_an_activity(ctx, value):
    return (yield ctx.call_activity(echo, input=value))


@scenario
def payloads_of_a_megabyte(hub):
    text = "0123456789abcdef" * 65536
    assert hub.run(through_an_activity, text) == text


@orchestrator
def family(ctx, depth):
    if depth == 0:
        return [ctx.instance_id]
    below = yield when_all([ctx.call_sub_orchestrator(family, input=depth - 1) for _ in range(2)])
    return [ctx.instance_id, *below[0], *below[1]]


@orchestrator
def child_of(ctx, _):
    return ctx.parent_instance_id


@orchestrator
def parent_with_named_child(ctx, child):
    return (yield ctx.call_sub_orchestrator(child_of, instance_id=child))


@scenario
def sub_orchestrations(hub):
    ids = hub.run(family, 4)
    assert len(set(ids)) == len(ids) == 2**5 - 1
    child = unique("child")
    parent = hub.start(parent_with_named_child, child)
    assert hub.output(parent) == parent
    started = next(e for e in hub.history(child) if kind(e) == "ExecutionStarted")
    assert started.parent_instance.name == "parent_with_named_child"
    assert started.parent_instance.orchestration_instance.instance_id == parent
    alone = next(e for e in hub.history(parent) if kind(e) == "ExecutionStarted")
    assert alone.parent_instance is None


@orchestrator
def sleeper(ctx, milliseconds):
    before = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(milliseconds=milliseconds))
    return (ctx.current_utc_datetime - before).total_seconds()


@scenario
def timers(hub):
    assert hub.run(sleeper, 0) >= 0
    instance = hub.start(sleeper, 700)
    assert hub.output(instance) >= 0.7
    created, fired = (e for e in hub.history(instance) if kind(e) in ("TimerCreated", "TimerFired"))
    assert fired.fire_at == created.fire_at and fired.timer_id == created.event_id
    assert fired.timestamp >= created.fire_at


@orchestrator
def race(ctx, _):
    event = ctx.wait_for_external_event("go")
    timer = ctx.create_timer(timedelta(hours=1))
    first = yield when_any([event, timer])
    return event.get_result() if first == event else "late"


@scenario
def an_event_beats_a_timer_and_completion_leaves_the_timer(hub):
    instance = hub.start(race)
    hub.client.wait_for_orchestration_start(instance)
    hub.client.raise_orchestration_event(instance, "GO", data="now")
    assert hub.output(instance) == "now"


@orchestrator
def three_events(ctx, _):
    got = []
    for name in ("A", "B", "A"):
        got.append((yield ctx.wait_for_external_event(name)))
    return got


@scenario
def events_before_the_start_are_kept_in_order(hub):
    instance = hub.start(three_events)
    for name, data in (("A", 1), ("A", 2), ("B", {"b": None})):
        hub.client.raise_orchestration_event(instance, name, data=data)
    assert hub.output(instance) == [1, {"b": None}, 2]
    later = hub.start(three_events, start_at=soon(1.5))
    for name in "AAB":
        hub.client.raise_orchestration_event(later, name, data=name)
    assert hub.state(later).runtime_status == OrchestrationStatus.PENDING
    assert hub.output(later) == ["A", "B", "A"]


def soon(seconds):
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


@scenario
def events_for_nobody(hub):
    over = hub.start(nothing)
    hub.wait(over)
    hub.client.raise_orchestration_event(over, "late")
    with raises("NOT_FOUND"):
        hub.client.raise_orchestration_event(unique("nobody"), "x")


@orchestrator
def sends(ctx, target):
    ctx.send_event(target, "A", data="sent")
    ctx.send_event(unique_of(ctx), "A", data="to nobody")
    return "done"


def unique_of(ctx):
    return f"nobody-{ctx.new_uuid()}"


@orchestrator
def receives(ctx, _):
    return (yield ctx.wait_for_external_event("A"))


@scenario
def orchestrations_send_events(hub):
    target = hub.start(receives)
    assert hub.run(sends, target) == "done"
    assert hub.output(target) == "sent"


@orchestrator
def generations(ctx, left):
    if left == 0:
        return "last"
    yield ctx.call_activity(plus_one, input=left)
    ctx.continue_as_new(left - 1)


@scenario
def continue_as_new(hub):
    instance = hub.start(generations, 25)
    assert hub.output(instance) == "last"
    state = hub.state(instance)
    assert state.serialized_input == "0"
    assert len(hub.history(instance)) <= 3, "only the last generation is left"


@orchestrator
def collects(ctx, so_far):
    so_far = so_far or []
    so_far.append((yield ctx.wait_for_external_event("item")))
    if len(so_far) == 20:
        return so_far
    ctx.continue_as_new(so_far, save_events=True)


@scenario
def events_are_carried_over(hub):
    instance = hub.start(collects)
    for number in range(20):
        hub.client.raise_orchestration_event(instance, "item", data=number)
    assert hub.output(instance) == list(range(20))


@orchestrator
def forgets_a_timer(ctx, generation):
    ctx.create_timer(timedelta(milliseconds=300))
    if generation < 3:
        ctx.continue_as_new(generation + 1)
        return
    # The timers of earlier generations have the id of this one and must not answer for it.
    before = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(milliseconds=1000))
    return (ctx.current_utc_datetime - before).total_seconds()


@scenario
def results_of_earlier_generations_are_dropped(hub):
    assert hub.run(forgets_a_timer, 1) >= 1.0


@orchestrator
def reports(ctx, _):
    ctx.set_custom_status({"step": 1})
    yield ctx.wait_for_external_event("go")
    ctx.set_custom_status("")
    yield ctx.wait_for_external_event("go")
    return "reported"


@scenario
def custom_status(hub):
    instance = hub.start(reports)
    until(lambda: hub.state(instance).serialized_custom_status == '{"step": 1}')
    hub.client.raise_orchestration_event(instance, "go")
    until(lambda: hub.state(instance).serialized_custom_status == '""')
    hub.client.raise_orchestration_event(instance, "go")
    assert hub.output(instance) == "reported"
    assert hub.state(instance).serialized_custom_status == '""'
    assert hub.client.get_orchestration_state(instance, fetch_payloads=False).serialized_output is None


@orchestrator
def tells_version(ctx, _):
    return ctx.version


@orchestrator
def tagged(ctx, _):
    return (yield ctx.call_activity(echo, input=1, tags={"kind": "demo"}))


@scenario
def versions_and_tags(hub):
    assert hub.run(tells_version, version="2.1.0") == "2.1.0"
    assert not hub.run(tells_version)
    instance = hub.start(tagged, tags={"team": "blue", "": "empty key"})
    hub.output(instance)
    events = {kind(e): e for e in hub.history(instance)}
    assert events["ExecutionStarted"].tags == {"team": "blue", "": "empty key"}
    assert events["TaskScheduled"].tags == {"kind": "demo"}


@orchestrator
def retries(ctx, request):
    policy = RetryPolicy(first_retry_interval=timedelta(milliseconds=100), max_number_of_attempts=5)
    return (yield ctx.call_activity(fail_until, input=request, retry_policy=policy))


@scenario
def retried_activities(hub):
    assert hub.run(retries, {"key": unique("k"), "times": 4}) == 4
    key = unique("k")
    _, failure = hub.failure(retries, {"key": key, "times": 99})
    assert COUNTS[key] == 5 and "attempt 5" in failure.message, failure


@orchestrator
def middle(ctx, _):
    yield ctx.call_activity(fail_until, input={"key": ctx.instance_id, "times": 99})


@orchestrator
def outer(ctx, _):
    try:
        yield ctx.call_sub_orchestrator(middle)
    except TaskFailedError as error:
        ctx.set_custom_status(error.details.error_type)
        raise


@scenario
def failures_carry_their_details(hub):
    instance, failure = hub.failure(outer)
    assert failure.error_type.endswith("TaskFailedError") and "attempt 1" in failure.message, failure
    assert "outer" in failure.stack_trace
    failed = [e for e in hub.history(instance) if kind(e) == "SubOrchestrationInstanceFailed"]
    assert len(failed) == 1 and "attempt 1" in failed[0].failure_details.message
    _, failure = hub.failure("nobody_registered_this")
    assert "nobody_registered_this" in failure.message


@orchestrator
def place(ctx, _):
    first = yield ctx.call_activity(where)
    second = yield ctx.call_activity(where)
    return [first, second]


@scenario
def activities_know_their_orchestration(hub):
    instance = hub.start(place)
    (one, first), (two, second) = hub.output(instance)
    assert one == two == instance and first != second


@orchestrator
def leaves_work_behind(ctx, _):
    ctx.call_activity(plus_one, input=1)
    ctx.call_sub_orchestrator(same, input=1)
    return "did not wait"


@scenario
def what_nobody_waits_for_does_not_hold_up_the_end(hub):
    instance = hub.start(leaves_work_behind)
    assert hub.output(instance) == "did not wait"
    assert hub.kinds(instance)[-1] == "ExecutionCompleted"


@scenario
def ids(hub):
    chosen = unique("an id: with+signs.T@#/ä")
    assert hub.start(same, 1, instance_id=chosen) == chosen
    assert hub.output(chosen) == 1
    with raises("ALREADY_EXISTS"):
        hub.start(same, 2, instance_id=chosen)
    assert hub.state(chosen).get_output() == 1
    assert hub.state(unique("unknown")) is None


@scenario
def ids_can_be_taken_again_where_the_client_allows_it(hub):
    instance = hub.start(same, 1)
    hub.output(instance)
    ended = pb.OrchestrationIdReusePolicy(
        replaceableStatus=[pb.ORCHESTRATION_STATUS_COMPLETED, pb.ORCHESTRATION_STATUS_TERMINATED]
    )
    hub.start(receives, instance_id=instance, reuse_id_policy=ended)
    hub.client.wait_for_orchestration_start(instance)
    with raises("ALREADY_EXISTS"):
        hub.start(same, 2, instance_id=instance, reuse_id_policy=ended)
    running = pb.OrchestrationIdReusePolicy(
        replaceableStatus=[pb.ORCHESTRATION_STATUS_RUNNING, pb.ORCHESTRATION_STATUS_TERMINATED]
    )
    hub.start(same, 3, instance_id=instance, reuse_id_policy=running)
    assert hub.output(instance) == 3


@scenario
def the_asynchronous_client(hub):
    async def talk():
        async with AsyncTaskHubGrpcClient(
            host_address=hub.address, metadata=[("taskhub", hub.name)], logger=QUIET, emit_trace_spans=False
        ) as client:
            instance = await client.schedule_new_orchestration(receives)
            await client.wait_for_orchestration_start(instance)
            await client.raise_orchestration_event(instance, "A", data="hello")
            state = await client.wait_for_orchestration_completion(instance, timeout=30)
            # Its history call does not send the hub's name: grpc.aio uses an interceptor for one kind of call.
            return instance, state.get_output()

    instance, output = asyncio.run(talk())
    assert output == "hello" and hub.kinds(instance).count("EventRaised") == 1
