"""What clients do to instances: suspend, terminate, rewind, restart, purge, query."""

from datetime import datetime, timedelta, timezone

from durabletask.client import OrchestrationQuery
from durabletask.task import when_all

from harness import *
from orchestrations import chain, echo, nothing, receives, same, soon

Status = OrchestrationStatus


@orchestrator
def counts_events(ctx, wanted):
    got = []
    while len(got) < wanted:
        got.append((yield ctx.wait_for_external_event("n")))
    return got


@scenario
def suspend_and_resume(hub):
    instance = hub.start(counts_events, 3)
    hub.client.wait_for_orchestration_start(instance)
    hub.client.suspend_orchestration(instance, reason="a break")
    hub.until_status(instance, Status.SUSPENDED)
    hub.client.suspend_orchestration(instance)
    for number in range(3):
        hub.client.raise_orchestration_event(instance, "n", data=number)
    with raises("TimeoutError"):
        hub.client.wait_for_orchestration_completion(instance, timeout=1)
    assert hub.state(instance).runtime_status == Status.SUSPENDED
    hub.client.resume_orchestration(instance)
    assert hub.output(instance) == [0, 1, 2]
    assert hub.kinds(instance).count("ExecutionSuspended") == 1
    hub.client.suspend_orchestration(instance)
    assert hub.state(instance).runtime_status == Status.COMPLETED
    for act in (hub.client.suspend_orchestration, hub.client.resume_orchestration):
        with raises("NOT_FOUND"):
            act(unique("unknown"))


@scenario
def terminating_a_suspended_instance(hub):
    instance = hub.start(receives)
    hub.client.wait_for_orchestration_start(instance)
    hub.client.suspend_orchestration(instance)
    hub.until_status(instance, Status.SUSPENDED)
    hub.client.terminate_orchestration(instance, output={"why": "enough"})
    state = hub.wait(instance)
    assert state.runtime_status == Status.TERMINATED and state.get_output() == {"why": "enough"}


@orchestrator
def parent_of(ctx, children):
    return (yield when_all([ctx.call_sub_orchestrator(receives, instance_id=c) for c in children]))


@scenario
def terminate_with_and_without_children(hub):
    for recursive in (True, False):
        children = [unique("c") for _ in range(3)]
        parent = hub.start(parent_of, children)
        for child in children:
            until(lambda: hub.state(child))
            hub.client.wait_for_orchestration_start(child)
        hub.client.terminate_orchestration(parent, recursive=recursive)
        assert hub.wait(parent).runtime_status == Status.TERMINATED
        for child in children:
            if not recursive:
                assert hub.state(child).runtime_status == Status.RUNNING
                hub.client.terminate_orchestration(child)
            assert hub.wait(child).runtime_status == Status.TERMINATED


@orchestrator
def survives_its_child(ctx, child):
    try:
        yield ctx.call_sub_orchestrator(receives, instance_id=child)
    except Exception as error:
        return f"told: {error}"


@scenario
def a_parent_is_told_that_its_child_was_terminated(hub):
    child = unique("c")
    parent = hub.start(survives_its_child, child)
    until(lambda: hub.state(child))
    hub.client.terminate_orchestration(child, output="gone")
    assert hub.output(parent).startswith("told: ")


@scenario
def terminate_what_nobody_serves(hub):
    quiet = hub.other("unserved")
    instance, delayed = quiet.start("nobody"), quiet.start("nobody", start_at=soon(3600))
    assert quiet.state(instance).runtime_status == Status.PENDING
    for each in (instance, delayed):
        quiet.client.terminate_orchestration(each, output="unserved")
        state = quiet.client.wait_for_orchestration_completion(each, timeout=10)
        assert state.runtime_status == Status.TERMINATED and state.get_output() == "unserved"


@orchestrator
def fragile(ctx, key):
    first = yield ctx.call_activity(echo, input="kept")
    second = yield ctx.call_activity(breaks_once, input=key)
    return [first, second]


@activity
def breaks_once(_, key):
    COUNTS[key] += 1
    if COUNTS[key] == 1:
        raise RuntimeError("the first time")
    return COUNTS[key]


@orchestrator
def over_fragile(ctx, key):
    return (yield ctx.call_sub_orchestrator(fragile, input=key, instance_id=f"sub-{key}"))


@scenario
def rewind(hub):
    for function in (fragile, over_fragile):
        key = unique("rewind")
        instance, _ = hub.failure(function, key)
        hub.client.rewind_orchestration(instance, reason="mended")
        assert hub.output(instance) == ["kept", 2]
        assert hub.state(instance).failure_details is None and COUNTS[key] == 2
        with raises("FAILED_PRECONDITION"):
            hub.client.rewind_orchestration(instance)
    with raises("NOT_FOUND"):
        hub.client.rewind_orchestration(unique("unknown"))


@scenario
def rewind_of_a_sub_orchestration_that_was_purged(hub):
    key = unique("rewind")
    instance, _ = hub.failure(over_fragile, key)
    assert hub.client.purge_orchestration(f"sub-{key}").deleted_instance_count == 1
    hub.client.rewind_orchestration(instance)
    assert hub.output(instance) == ["kept", 2]


@scenario
def restart(hub):
    instance = hub.start(same, {"a": 1}, version="1.2", tags={"t": "v"})
    hub.wait(instance)
    assert hub.client.restart_orchestration(instance) == instance
    assert hub.output(instance) == {"a": 1}
    fresh = hub.client.restart_orchestration(instance, restart_with_new_instance_id=True)
    assert fresh != instance and hub.output(fresh) == {"a": 1}
    started = next(e for e in hub.history(fresh) if kind(e) == "ExecutionStarted")
    assert (started.version, started.tags) == ("1.2", {"t": "v"})
    running = hub.start(receives)
    hub.client.wait_for_orchestration_start(running)
    with raises("FAILED_PRECONDITION"):
        hub.client.restart_orchestration(running)
    with raises("NOT_FOUND"):
        hub.client.restart_orchestration(unique("unknown"))
    hub.client.raise_orchestration_event(running, "A")
    hub.wait(running)


@scenario
def purge_one(hub):
    instance = hub.start(receives)
    hub.client.wait_for_orchestration_start(instance)
    assert hub.client.purge_orchestration(instance).deleted_instance_count == 0
    hub.client.raise_orchestration_event(instance, "A")
    hub.wait(instance)
    done = hub.client.purge_orchestration(instance)
    assert done.deleted_instance_count == 1 and done.is_complete is not False
    assert hub.state(instance) is None
    assert hub.client.purge_orchestration(instance).deleted_instance_count == 0
    hub.start(same, 1, instance_id=instance)
    assert hub.output(instance) == 1


@scenario
def purge_a_family(hub):
    child = unique("c")
    parent = hub.start(parent_of, [child])
    until(lambda: hub.state(child))
    hub.client.raise_orchestration_event(child, "A")
    hub.wait(parent)
    assert hub.client.purge_orchestration(parent, recursive=True).deleted_instance_count == 2
    assert hub.state(child) is None


@scenario
def purge_by_filter(hub):
    place = hub.other("purge")
    with place.worker([same, fails]) as worker:
        worker.start()
        good, bad = [place.start(same, n) for n in range(7)], [place.start(fails) for _ in range(3)]
        for instance in good + bad:
            place.wait(instance)
        purge = place.client.purge_orchestrations_by
        assert purge(created_time_from=soon(60)).deleted_instance_count == 0
        assert purge(runtime_status=[Status.FAILED]).deleted_instance_count == 3
        assert [place.state(i) for i in bad] == [None] * 3
        past = datetime.now(timezone.utc) - timedelta(hours=1)
        rest = purge(created_time_from=past, created_time_to=soon(60), runtime_status=[Status.COMPLETED])
        assert rest.deleted_instance_count == 7


@orchestrator
def fails(_, __):
    raise RuntimeError("on purpose")


@scenario
def queries_and_their_pages(hub):
    place = hub.other("queries")
    with place.worker([same, fails]) as worker:
        worker.start()
        begun = datetime.now(timezone.utc) - timedelta(seconds=1)
        ids = [place.start(same, n, instance_id=f"p{n % 2}-{n}") for n in range(23)]
        failed = place.start(fails, instance_id="p0-failed")
        for instance in [*ids, failed]:
            place.wait(instance)

        def query(**conditions):
            found = place.client.get_all_orchestration_states(OrchestrationQuery(**conditions))
            assert len({s.instance_id for s in found}) == len(found), "an instance was found twice"
            return found

        assert len(query()) == 24
        assert {s.instance_id for s in query(max_instance_count=5)} == {*ids, failed}
        assert [s.instance_id for s in query(runtime_status=[Status.FAILED])] == [failed]
        assert query(runtime_status=[Status.FAILED])[0].failure_details.message == "on purpose"
        assert len(query(instance_id_prefix="p1-", max_instance_count=2)) == 11
        assert len(query(created_time_from=begun, created_time_to=soon(60))) == 24
        assert query(created_time_to=begun) == []
        assert all(s.serialized_input is None for s in query())
        assert sorted(s.get_output() for s in query(runtime_status=[Status.COMPLETED], fetch_inputs_and_outputs=True)) == list(range(23))

        listed, token = [], None
        while True:
            page = place.client.list_instance_ids(
                runtime_status=[Status.COMPLETED], page_size=4, continuation_token=token
            )
            listed += page.items
            token = page.continuation_token
            if token is None:
                break
        assert sorted(listed) == sorted(ids)
        assert place.client.list_instance_ids(completed_time_from=soon(60)).items == []


@scenario
def a_deadline_ends_a_wait(hub):
    with raises("TimeoutError"):
        hub.client.wait_for_orchestration_completion(unique("unknown"), timeout=0.5)
    instance = hub.start(nothing, start_at=soon(1))
    with raises("TimeoutError"):
        hub.client.wait_for_orchestration_start(instance, timeout=0.2)
    assert hub.client.wait_for_orchestration_start(instance, timeout=20)
    hub.wait(instance)


@scenario
def a_large_history_comes_in_chunks(hub):
    text = "x" * 100_000
    instance = hub.start(repeats, {"text": text, "times": 14})
    assert hub.output(instance) == 14
    events = hub.history(instance)
    assert sum(len(getattr(e, "result", None) or "") for e in events) > 14 * len(text)


@orchestrator
def repeats(ctx, request):
    # A turn takes the whole history along, which stays below the 4 MiB that this SDK receives.
    done = yield when_all([ctx.call_activity(echo, input=request["text"]) for _ in range(request["times"])])
    return len(done)
