"""Entities: signals, calls, locks, what they start and send, queries, cleaning up."""

from datetime import timedelta

from durabletask.client import EntityQuery, OrchestrationQuery
from durabletask.entities import DurableEntity, EntityInstanceId
from durabletask.scheduled import ScheduleCreationOptions, ScheduledTaskClient
from durabletask.task import when_all

from harness import *
from management import fails
from orchestrations import same, soon


class Counter_(DurableEntity):
    def add(self, amount):
        self.set_state(self.get_state(int, 0) + amount)
        return self.get_state(int)

    def get(self, _):
        return self.get_state(int, 0)

    def fail(self, amount):
        self.set_state(self.get_state(int, 0) + amount)
        raise ValueError("not this one")

    def pass_on(self, request):
        self.signal_entity(EntityInstanceId("counter", request["to"]), "add", request["amount"])

    def launch(self, instance):
        return self.schedule_new_orchestration("same", input="launched", instance_id=instance)


Counter_.__name__ = "counter"
entity(Counter_)


@entity
def journal(ctx, line):
    """Remembers lines in the order in which they came."""
    lines = ctx.get_state(list, [])
    if ctx.operation == "write":
        ctx.set_state([*lines, line])
    return lines


def counter(key):
    return EntityInstanceId("counter", key)


def state_of(hub, entity_id):
    found = hub.client.get_entity(entity_id)
    return None if found is None else found.get_typed_state()


@scenario
def signals_arrive_in_order(hub):
    diary = EntityInstanceId("journal", unique("k"))
    assert hub.client.get_entity(diary) is None
    for number in range(30):
        hub.client.signal_entity(diary, "write", input=number)
    until(lambda: len(state_of(hub, diary) or []) == 30)
    assert state_of(hub, diary) == list(range(30))


@scenario
def keys_keep_their_case(hub):
    lower = counter(unique("k"))
    upper = counter(lower.key.upper())
    hub.client.signal_entity(lower, "add", input=1)
    hub.client.signal_entity(upper, "add", input=2)
    until(lambda: (state_of(hub, lower), state_of(hub, upper)) == (1, 2))


@orchestrator
def calls_counter(ctx, request):
    results = []
    for operation, amount in request["do"]:
        try:
            results.append((yield ctx.call_entity(counter(request["key"]), operation, amount)))
        except Exception as error:
            results.append(str(error))
    return results


@scenario
def calls(hub):
    key = unique("k")
    done = hub.run(calls_counter, {"key": key, "do": [["add", 5], ["fail", 100], ["add", 2], ["get", None]]})
    assert done[0] == 5 and "not this one" in done[1] and done[2:] == [7, 7], done
    assert state_of(hub, counter(key)) == 7


@orchestrator
def many_calls(ctx, key):
    yield when_all([ctx.call_entity(counter(key), "add", 1) for _ in range(40)])
    ctx.signal_entity(counter(key), "add", 1000)
    return "all"


@scenario
def calls_and_signals_at_once(hub):
    key = unique("k")
    instances = [hub.start(many_calls, key) for _ in range(3)]
    assert [hub.output(i) for i in instances] == ["all"] * 3
    # Signals of a turn that completes are sent all the same.
    until(lambda: state_of(hub, counter(key)) == 3 * 1040)


@orchestrator
def moves(ctx, request):
    # Reads, then writes: right only when nobody comes in between.
    a, b = counter(request["a"]), counter(request["b"])
    with (yield ctx.lock_entities([a, b])):
        first = yield ctx.call_entity(a, "get")
        yield ctx.create_timer(timedelta(milliseconds=50))
        yield ctx.call_entity(a, "add", -first)
        yield ctx.call_entity(b, "add", first)
    return first


@scenario
def locks_keep_others_out(hub):
    a, b = unique("a"), unique("b")
    hub.client.signal_entity(counter(a), "add", input=100)
    until(lambda: state_of(hub, counter(a)) == 100)
    there = [hub.start(moves, {"a": a, "b": b}) for _ in range(2)]
    back = [hub.start(moves, {"a": b, "b": a}) for _ in range(2)]
    for instance in there + back:
        hub.output(instance)
    assert state_of(hub, counter(a)) + state_of(hub, counter(b)) == 100


@orchestrator
def holds(ctx, key):
    with (yield ctx.lock_entities([counter(key)])):
        yield ctx.wait_for_external_event("release")
        raise RuntimeError("thrown while it held the lock")


@scenario
def a_holder_that_fails_or_is_terminated_lets_go(hub):
    for terminated in (False, True):
        key = unique("k")
        hub.client.signal_entity(counter(key), "add", input=1)
        instance = hub.start(holds, key)
        # The stored lock is the orchestration's id, which this SDK can't parse as an entity's.
        until(lambda: locked_by(hub, key) == instance)
        hub.client.signal_entity(counter(key), "add", input=1)
        if terminated:
            hub.client.terminate_orchestration(instance)
        else:
            hub.client.raise_orchestration_event(instance, "release")
        hub.wait(instance)
        until(lambda: state_of(hub, counter(key)) == 2 and not locked_by(hub, key))


def locked_by(hub, key):
    found = hub.client.get_entity(counter(key))
    return found and found._locked_by


@scenario
def delayed_signals(hub):
    key = unique("k")
    due = soon(1)
    hub.client.signal_entity(counter(key), "add", input=1, signal_time=due)
    assert hub.client.get_entity(counter(key)) is None or soon(0) >= due
    until(lambda: state_of(hub, counter(key)) == 1)
    assert soon(0) >= due


@scenario
def entities_signal_and_start(hub):
    one, two, instance = unique("k"), unique("k"), unique("launched")
    hub.client.signal_entity(counter(one), "pass_on", input={"to": two, "amount": 9})
    until(lambda: state_of(hub, counter(two)) == 9)
    assert hub.run(calls_counter, {"key": one, "do": [["launch", instance]]}) == [instance]
    until(lambda: hub.state(instance))
    assert hub.output(instance) == "launched"


@scenario
def queries_and_cleaning(hub):
    place = hub.other("entities")
    with place.worker([same, fails], (), [Counter_, journal]) as worker:
        worker.start()
        for number in range(7):
            place.client.signal_entity(counter(f"k{number}"), "add", input=number)
        place.client.signal_entity(EntityInstanceId("journal", "j"), "write", input="x")
        until(lambda: len(place.client.get_all_entities()) == 8)

        def query(**conditions):
            return place.client.get_all_entities(EntityQuery(**conditions))

        assert sorted(e.get_typed_state() for e in query(instance_id_starts_with="@counter@", page_size=3)) == list(range(7))
        assert [str(e.id) for e in query(instance_id_starts_with="@counter@k3")] == ["@counter@k3"]
        assert all(e.get_typed_state() is None for e in query(include_state=False))
        assert query(last_modified_from=soon(60)) == [] and len(query(last_modified_to=soon(60))) == 8
        for number in range(7):
            place.client.signal_entity(counter(f"k{number}"), "delete")
        until(lambda: len(query()) == 1)
        done = place.client.clean_entity_storage()
        assert done.orphaned_locks_released == 0
        assert [str(e.id) for e in query(include_transient=True)] == ["@journal@j"]
        assert place.client.get_all_orchestration_states() == []


@scenario
def schedules(hub):
    """Schedules of this SDK are an entity that signals itself and starts orchestrations."""
    place = hub.other("schedules")
    with place.worker([same]) as worker:
        worker.configure_scheduled_tasks()
        worker.start()
        schedules = ScheduledTaskClient(place.client)
        every_second = schedules.create_schedule(
            ScheduleCreationOptions("tick", "same", timedelta(seconds=1), orchestration_input="tock", start_at=soon(0))
        )
        runs = OrchestrationQuery(instance_id_prefix="tick-", runtime_status=[OrchestrationStatus.COMPLETED])
        until(lambda: len(place.client.get_all_orchestration_states(runs)) >= 2)
        assert [s.schedule_id for s in schedules.list_schedules()] == ["tick"]
        every_second.pause()
        every_second.delete()
        assert schedules.get_schedule("tick") is None
