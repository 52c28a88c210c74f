"""Deterministic event ids."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback_protocol import event_id

STARTED = datetime(2026, 7, 2, 0, 3, 11, 204_113, tzinfo=timezone.utc)
PARTS: dict[str, Any] = {
    "source": "https://airflow.example",
    "dag_id": "sales_report",
    "run_id": "ext__5V1nX0",
    "start_date": STARTED,
    "state": "success",
    "callback_url": "https://portal.example/airflow/completions",
}


def test_the_id_never_changes_between_versions() -> None:
    """An upgrade in mid-flight keeps the ids, or deduplication would break."""
    assert event_id(**PARTS) == "msg_c5rgci7rfue47niyeg4r6jciq3sy5x3m"
    assert event_id(**{**PARTS, "start_date": None}) == "msg_e2ufej7qkrmkocvupef37m7ulzqs6uif"


def test_the_same_ending_has_the_same_id() -> None:
    """Whoever reports, and however often, the id is the same."""
    assert event_id(**PARTS) == event_id(**PARTS)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("source", "https://airflow.example/"),
        ("dag_id", "sales_report2"),
        ("run_id", "ext__5V1nX1"),
        ("start_date", STARTED + timedelta(microseconds=1)),
        ("start_date", None),
        ("state", "failed"),
        ("callback_url", "https://portal.example/airflow/completions?"),
    ],
)
def test_each_part_changes_the_id(part: str, value: object) -> None:
    """Two endings that differ in any part are two events."""
    assert event_id(**{**PARTS, part: value}) != event_id(**PARTS)


@pytest.mark.parametrize("hours", [-11, 5.5, 14])
def test_the_time_zone_of_the_start_does_not_matter(hours: float) -> None:
    """One instant gives one id, in whatever zone a component writes it."""
    moved = STARTED.astimezone(timezone(timedelta(hours=hours)))
    assert event_id(**{**PARTS, "start_date": moved}) == event_id(**PARTS)


def test_a_datetime_subclass_gives_the_same_id() -> None:
    """Airflow's own datetime class changes nothing."""
    pendulum = pytest.importorskip("pendulum")
    assert event_id(**{**PARTS, "start_date": pendulum.instance(STARTED)}) == event_id(**PARTS)


def test_an_enum_state_gives_the_same_id() -> None:
    """Airflow's own state class changes nothing."""

    class State(str, Enum):
        SUCCESS = "success"

    assert event_id(**{**PARTS, "state": State.SUCCESS}) == event_id(**PARTS)


class _Nowhere(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None


@pytest.mark.parametrize("zone", [None, _Nowhere()])
def test_a_naive_start_is_refused(zone: tzinfo | None) -> None:
    """A time without an offset would mean another instant on another machine."""
    with pytest.raises(ValueError, match="aware"):
        event_id(**{**PARTS, "start_date": STARTED.replace(tzinfo=zone)})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"dag_id": "ab", "run_id": "c"}, {"dag_id": "a", "run_id": "bc"}),
        ({"dag_id": 'a","b', "run_id": "c"}, {"dag_id": "a", "run_id": 'b","c'}),
        ({"dag_id": "a\x00b", "run_id": ""}, {"dag_id": "a", "run_id": "\x00b"}),
        ({"dag_id": "a/b", "run_id": "c"}, {"dag_id": "a", "run_id": "b/c"}),
        ({"source": "a", "dag_id": ""}, {"source": "", "dag_id": "a"}),
        ({"start_date": None}, {"start_date": None, "run_id": "ext__5V1nX0null"}),
        ({"dag_id": "a\\", "run_id": "b"}, {"dag_id": "a", "run_id": "\\b"}),
        ({"run_id": "caf\u00e9"}, {"run_id": "cafe\u0301"}),
    ],
)
def test_parts_cannot_run_into_each_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Different parts never add up to the same identity."""
    assert event_id(**{**PARTS, **one}) != event_id(**{**PARTS, **other})


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(source=TEXT, dag_id=TEXT, run_id=TEXT, state=TEXT, callback_url=TEXT)
@settings(deadline=None)
def test_an_id_is_a_prefix_and_32_base32_characters(**parts: str) -> None:
    """The id has 160 bits, fits every header and holds no dot, which would delimit the signed content."""
    assert re.fullmatch(r"msg_[a-z2-7]{32}", event_id(start_date=STARTED, **parts))
