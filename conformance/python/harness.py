"""What the scenarios share: their register, a hub to run them on, and what every history must satisfy."""

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from durabletask import task
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

HERE = Path(__file__).parent
QUIET = logging.getLogger("conformance")
QUIET.setLevel(logging.CRITICAL)

SCENARIOS, ORCHESTRATORS, ACTIVITIES, ENTITIES = [], [], [], []


def _register(into):
    def add(function):
        into.append(function)
        return function

    return add


scenario, orchestrator = _register(SCENARIOS), _register(ORCHESTRATORS)
activity, entity = _register(ACTIVITIES), _register(ENTITIES)

#: How often each key was counted, by activities of this process.
COUNTS = Counter()


def until(condition, seconds=30, every=0.02):
    """Waits for a condition and returns what it gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {condition.__qualname__}")
        time.sleep(every)
    return value


def raises(*kinds):
    """The error that its body must end with, of one of these gRPC codes."""

    class Expected:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, _):
            assert error is not None, f"no error, expected {kinds}"
            code = error.code().name if hasattr(error, "code") else type(error).__name__
            self.text = error.details() if hasattr(error, "details") else str(error)
            assert code in kinds, f"{code}: {self.text}, expected {kinds}"
            return True

    return Expected()


class Hub:
    """A task hub, as a client sees it."""

    def __init__(self, address, name):
        self.address, self.name = address, name
        self.client = TaskHubGrpcClient(
            host_address=address, metadata=[("taskhub", name)], logger=QUIET, emit_trace_spans=False
        )

    def other(self, name):
        """A hub of its own, for scenarios that look at all there is."""
        return Hub(self.address, f"{self.name}-{name}")

    def worker(self, orchestrators=(), activities=(), entities=(), threads=16, **options):
        """A worker that has not been started."""
        worker = TaskHubGrpcWorker(
            host_address=self.address,
            metadata=[("taskhub", self.name)],
            logger=QUIET,
            emit_trace_spans=False,
            concurrency_options=ConcurrencyOptions(maximum_thread_pool_workers=threads),
            **options,
        )
        for function in orchestrators:
            worker.add_orchestrator(function)
        for function in activities:
            worker.add_activity(function)
        for function in entities:
            worker.add_entity(function)
        return worker

    def start(self, function, input=None, **options):
        return self.client.schedule_new_orchestration(function, input=input, **options)

    def wait(self, instance, seconds=60):
        """The state of an instance that is over. Its history must be sound."""
        state = self.client.wait_for_orchestration_completion(instance, timeout=seconds)
        check_history(self.history(instance))
        return state

    def state(self, instance):
        return self.client.get_orchestration_state(instance)

    def until_status(self, instance, status):
        def reached():
            return self.state(instance).runtime_status == status

        until(reached)

    def run(self, function, input=None, **options):
        """Runs an orchestration; it must complete. Returns its output."""
        instance = self.start(function, input, **options)
        return self.output(instance)

    def output(self, instance, seconds=60):
        state = self.wait(instance, seconds)
        assert state.runtime_status == OrchestrationStatus.COMPLETED, (
            f"{state.name} {state.runtime_status}: {state.failure_details}"
        )
        return state.get_output()

    def failure(self, function, input=None, **options):
        """Runs an orchestration; it must fail. Returns how."""
        instance = self.start(function, input, **options)
        state = self.wait(instance)
        assert state.runtime_status == OrchestrationStatus.FAILED, state.runtime_status
        return instance, state.failure_details

    def history(self, instance):
        return self.client.get_orchestration_history(instance)

    def kinds(self, instance):
        return [kind(event) for event in self.history(instance)]


def kind(event):
    return type(event).__name__.removesuffix("Event")


def check_history(events):
    """What holds for every history: each thing happened once, after what asked for it."""
    requested, answered = {}, set()
    started, now = 0, None
    for event in events:
        name = kind(event)
        if name == "OrchestratorStarted":
            assert now is None or event.timestamp >= now, "the time of a turn is before that of the one before"
            now = event.timestamp
        assert now is not None, f"{name} before the first turn"
        assert name != "TimerFired" or event.fire_at <= now, "a timer fired early"
        assert event.timestamp.year > 2000, f"{name} without a time"
        if name == "ExecutionStarted":
            started += 1
        # What a rewind took away has left a place without content.
        if event.event_id >= 0 and name != "Generic":
            # This SDK tries again under the number that failed.
            again = event.event_id in answered and requested[event.event_id] == name
            assert again or event.event_id not in requested, f"{name}: action {event.event_id} stands there twice"
            requested[event.event_id] = name
            answered.discard(event.event_id)
        answer = getattr(event, "task_scheduled_id", None)
        if answer is None:
            answer = getattr(event, "timer_id", None)
        if answer is not None:
            assert answer in requested, f"{name} of {answer}, which nobody asked for"
            assert answer not in answered, f"{name} of {answer}: the second answer"
            answered.add(answer)
    assert started == 1, f"{started} ExecutionStarted"
    assert len({getattr(e, "request_id", i) for i, e in enumerate(events) if "Completed" in kind(e)}) == sum(
        "Completed" in kind(e) for e in events
    ), "an entity answered twice"


class Server:
    """A server of its own, to be killed."""

    def __init__(self, program, place):
        self.program, self.place, self.address, self.process = program, place, "127.0.0.1:0", None

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "serve", "--dir", self.place, "--listen", self.address, "--create-hubs"],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        found = re.search(r"(127\.0\.0\.1:\d+)", line)
        assert found, f"the server says {line!r}"
        self.address = found.group(1)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def worker_process(hub, module, *arguments):
    """A worker in a process of its own."""
    command = [sys.executable, str(HERE / f"{module}.py"), hub.address, hub.name, *map(str, arguments)]
    return subprocess.Popen(command)


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def run_all(address, only):
    """Runs the scenarios side by side on one hub with one worker. Returns how many failed."""
    hub = Hub(address, f"python-{uuid.uuid4().hex[:8]}")
    worker = hub.worker(ORCHESTRATORS, ACTIVITIES, ENTITIES, threads=32)
    worker.start()

    def attempt(function):
        begun = time.monotonic()
        try:
            function(hub)
            return function, None, time.monotonic() - begun
        except BaseException:
            return function, traceback.format_exc(limit=-4), time.monotonic() - begun

    chosen = [s for s in SCENARIOS if not only or any(word in s.__qualname__ for word in only)]
    failed = 0
    with ThreadPoolExecutor(8) as pool:
        for function, error, seconds in pool.map(attempt, chosen):
            print(f"{'FAIL' if error else 'ok':4} {seconds:5.1f}s  python  {function.__qualname__}", flush=True)
            if error:
                failed += 1
                print(error, flush=True)
    worker.stop()
    print(f"python: {len(chosen) - failed} of {len(chosen)} scenarios passed", flush=True)
    return failed


def program():
    """The server's binary."""
    return os.environ["STRANDLINE"]


def scratch():
    return tempfile.mkdtemp(dir=os.environ.get("SCRATCH"))


__all__ = [name for name in dir() if not name.startswith("_")]
