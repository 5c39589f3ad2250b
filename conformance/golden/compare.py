"""Compares the histories of `order` in several hubs: compare.py ADDRESS HUB...

Left out is what must differ: times, ids, and what SDKs choose themselves, such as the space in JSON texts.
"""

import json
import os
import sys
from itertools import zip_longest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

from harness import Hub, check_history, kind  # noqa: E402

TEXTS = ("input", "result", "output")
KEPT = ("name", "operation", "orchestration_status", "target_instance_id", *TEXTS)
#: What an event answers, or asks for: a number or an id of the SDK's choice.
REFERENCES = ("task_scheduled_id", "timer_id", "request_id")


def normalised(events):
    """One line for each event, with ids by the order in which they appear."""
    lines, numbers = [], {}

    def number(value):
        return numbers.setdefault(value, len(numbers) + 1)

    for event in events:
        parts = [kind(event)]
        if event.event_id >= 0:
            parts.append(f"#{number(event.event_id)}")
        parts += [f"{name}=#{number(getattr(event, name))}" for name in REFERENCES if hasattr(event, name)]
        for name in KEPT:
            value = getattr(event, name, None)
            if value not in (None, ""):
                parts.append(f"{name}={json.loads(value) if name in TEXTS else value}")
        lines.append(" ".join(parts))
    return lines


address, *names = sys.argv[1:]
histories = {}
for name in names:
    events = Hub(address, name).history("golden")
    check_history(events)
    histories[name] = normalised(events)
first, *others = names
failed = False
for name in others:
    if histories[name] != histories[first]:
        failed = True
        print(f"the history in {name} differs from that in {first}:")
        for ours, theirs in zip_longest(histories[first], histories[name], fillvalue="(nothing)"):
            print(f"  {ours}" if ours == theirs else f"- {ours}\n+ {theirs}")
if not failed:
    print("\n".join(f"  {line}" for line in histories[first]))
    print(f"the same in {', '.join(names)}")
sys.stdout.flush()
os._exit(1 if failed else 0)
