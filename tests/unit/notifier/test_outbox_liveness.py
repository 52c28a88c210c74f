"""Whether a relay is alive, as its sign of life tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringback_notifier.outbox import Duty, relay_is_alive

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("until", "value", "alive"),
    [
        (NOW + 1, None, True),
        (NOW + 1, "no JSON", True),
        (NOW, {"kind": "command", "since": NOW - 1}, False),
        (NOW - 100, {"kind": "dag", "since": NOW - 170}, True),
        (0.0, {"kind": "dag", "since": NOW - 60}, True),
        (NOW - 100, {"kind": "dag", "since": NOW - 181}, False),
        (NOW - 100, {"kind": "dag"}, False),
        (NOW - 100, {"kind": "dag", "since": None}, False),
        (NOW - 100, {"kind": "dag", "since": 10**400}, False),
        (NOW - 100, {"since": NOW}, False),
        (NOW - 100, ["dag"], False),
        (NOW - 100, "[" * 100_000, False),
        (NOW - 100, "", False),
        (NOW - 100, None, False),
    ],
)
def test_a_relay_that_is_a_task_lives_on_between_its_runs(until: float, value: Any, alive: bool) -> None:
    """Every other is alive until its time is up; and whatever is written down, the answer is yes or no."""
    said = value if value is None or isinstance(value, str) else json.dumps(value)
    assert relay_is_alive(Duty("relay/a", "a", until, said), NOW) is alive
