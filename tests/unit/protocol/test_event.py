"""The completion event."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback_protocol import (
    MAX_EVENT_BYTES,
    CompletionEvent,
    EventTooLargeError,
    FailedTask,
    ResultOmitted,
    decode_event,
    encode_event,
)
from ringback_protocol.event import MAX_FAILED_TASKS

from .samples import ID, MOMENT, URL, as_bytes, as_json, failed_tasks, make_data, make_event

FETCH = "https://airflow.example/api/v2/dags/sales_report/dagRuns/ext__5V1nX0/xcom"


# -- out and in again


def test_an_event_survives_the_wire() -> None:
    """What is encoded decodes to the same value."""
    event = make_event(
        make_data(state="failed", reason="timed_out", failed_tasks=failed_tasks(2, URL), failed_task_count=2)
    )
    assert decode_event(encode_event(event)) == event


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
INSTANT = st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=5, minutes=30))]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
DATA = st.builds(
    make_data,
    dag_id=TEXT,
    run_id=TEXT,
    state=st.sampled_from(["running", "success", "failed"]),
    reason=st.none() | TEXT,
    reported_by=st.sampled_from(["task", "callback", "listener", "relay", "reconciler"]),
    start_date=st.none() | INSTANT,
    duration=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    failed_tasks=st.lists(st.builds(FailedTask, task_id=TEXT, map_index=st.integers(-1, 9), state=TEXT)).map(tuple),
    result=JSON,
)


@given(DATA, INSTANT, st.none() | TEXT)
@settings(max_examples=60, deadline=None)
def test_any_event_survives_the_wire(data: Any, time: datetime, correlationid: str | None) -> None:
    """No text, time, number or result changes on the way."""
    event = make_event(data, time=time, correlationid=correlationid)
    assert decode_event(encode_event(event)) == event


def test_an_event_is_wrapped_in_its_envelope() -> None:
    """Type and subject follow from what happened; time and audience are given."""
    event = make_event()
    assert (event.specversion, event.datacontenttype) == ("1.0", "application/json")
    assert event.dataschema == "urn:ringback:completion:1"
    assert event.type == "airflow.dag_run.succeeded"
    assert event.subject == "sales_report/ext__5V1nX0"
    assert (event.time, event.timestamp, event.audience) == (MOMENT, MOMENT, URL)


@pytest.mark.parametrize(
    ("state", "type_"),
    [
        ("running", "airflow.dag_run.started"),
        ("success", "airflow.dag_run.succeeded"),
        ("failed", "airflow.dag_run.failed"),
    ],
)
def test_each_state_has_its_type(state: str, type_: str) -> None:
    """A subscriber can route on the CloudEvents type alone."""
    assert make_event(make_data(state=state)).type == type_


def test_times_go_out_in_rfc_3339() -> None:
    """A time in UTC ends in Z, with the fraction that it has."""
    assert as_json()["time"] == as_json()["timestamp"] == "2026-07-02T00:03:11.204000Z"


def test_an_absent_correlation_id_is_left_out() -> None:
    """CloudEvents has no null attributes."""
    assert "correlationid" not in as_json(make_event(correlationid=None))
    assert decode_event(encode_event(make_event(correlationid=None))).correlationid is None


def test_an_event_cannot_be_changed() -> None:
    """An event that was verified stays what was verified."""
    event = make_event()
    for value, member in ((event, "audience"), (event.data, "state")):
        with pytest.raises(AttributeError):
            setattr(value, member, "changed")


def test_the_cloudevents_sdk_reads_our_event() -> None:
    """An event is a CloudEvents 1.0 structured event, with its extensions."""
    message = HTTPMessage(headers={"content-type": "application/cloudevents+json"}, body=encode_event(make_event()))
    for read in (from_structured_event(message), JSONFormat().read(None, message.body)):
        assert read.get_attributes() == {
            "specversion": "1.0",
            "id": ID,
            "source": "https://airflow.example",
            "type": "airflow.dag_run.succeeded",
            "subject": "sales_report/ext__5V1nX0",
            "time": MOMENT,
            "timestamp": "2026-07-02T00:03:11.204000Z",
            "datacontenttype": "application/json",
            "dataschema": "urn:ringback:completion:1",
            "audience": URL,
            "correlationid": "req_5V1nX0",
        }
        data = read.get_data()
        assert isinstance(data, dict)
        assert (data["dag_id"], data["result"]) == ("sales_report", {"rows": 4213})


# -- reading


@pytest.mark.parametrize(
    "place",
    [
        lambda event: event,
        lambda event: event["data"],
        lambda event: event["data"]["failed_tasks"][0],
        lambda event: event["data"]["result_omitted"],
    ],
    ids=["event", "data", "failed task", "result_omitted"],
)
def test_unknown_members_are_ignored_at_every_level(place: Callable[[Any], dict[str, Any]]) -> None:
    """A later minor version may add members, and an old receiver goes on reading."""
    event = make_event(
        make_data(
            state="failed",
            failed_tasks=failed_tasks(1),
            result=None,
            result_omitted=ResultOmitted(reason="unavailable"),
        )
    )
    extended = as_json(event)
    place(extended).update({"new": {"nested": [1, None]}, "data_base64": "", "": 0})
    assert decode_event(as_bytes(extended)) == event


REQUIRED = [
    *((member,) for member in ("specversion", "id", "source", "type", "subject", "time", "timestamp")),
    *((member,) for member in ("datacontenttype", "dataschema", "audience", "data")),
    *(("data", member) for member in ("dag_id", "run_id", "state", "reported_by")),
    ("data", "failed_tasks", 0, "task_id"),
    ("data", "failed_tasks", 0, "state"),
    ("data", "result_omitted", "reason"),
]


def _full() -> dict[str, Any]:
    return as_json(
        make_event(
            make_data(
                state="failed",
                failed_tasks=failed_tasks(1, URL),
                result=None,
                result_omitted=ResultOmitted(reason="too_large", size=30_000, fetch_url=FETCH),
            )
        )
    )


def _parent(event: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        event = event[step]
    return event


@pytest.mark.parametrize("path", REQUIRED, ids=lambda path: ".".join(map(str, path)))
def test_a_required_member_is_required(path: tuple[Any, ...]) -> None:
    """Without any one of these an event says too little, and null says nothing."""
    missing, null = _full(), _full()
    assert decode_event(as_bytes(missing))
    del _parent(missing, path)[path[-1]]
    _parent(null, path)[path[-1]] = None
    for damaged in (missing, null):
        with pytest.raises(msgspec.ValidationError):
            decode_event(as_bytes(damaged))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("specversion",), "0.3"),
        (("specversion",), 1.0),
        (("id",), "a.b"),
        (("id",), ""),
        (("id",), "a" * 129),
        (("id",), 1),
        (("type",), "airflow.dag_run.finished"),
        (("datacontenttype",), "application/xml"),
        (("dataschema",), "urn:ringback:completion:2"),
        (("audience",), [URL]),
        (("correlationid",), 5),
        (("time",), "yesterday"),
        (("time",), 1_782_950_591),
        (("time",), "2026-07-02"),
        (("data",), []),
        (("data", "state"), "queued"),
        (("data", "state"), "SUCCESS"),
        (("data", "reported_by"), "stranger"),
        (("data", "duration"), "12"),
        (("data", "failed_tasks"), {}),
        (("data", "failed_tasks", 0), "task_0"),
        (("data", "failed_tasks", 0, "map_index"), "0"),
        (("data", "failed_task_count"), 1.5),
        (("data", "result_omitted", "reason"), "lost"),
        (("data", "result_omitted"), None),
    ],
)
def test_a_member_of_another_kind_is_refused(path: tuple[Any, ...], value: object) -> None:
    """Nothing is coerced, and no unknown word is taken for a known one."""
    damaged = _full()
    _parent(damaged, path)[path[-1]] = value
    with pytest.raises(msgspec.ValidationError):
        decode_event(as_bytes(damaged))


TIMES = [("time",), ("timestamp",), *(("data", f) for f in ("logical_date", "run_after", "start_date", "end_date"))]


@pytest.mark.parametrize("path", TIMES, ids=".".join)
def test_a_naive_time_is_refused(path: tuple[str, ...]) -> None:
    """A time without a zone is no instant, neither coming nor going."""
    damaged = as_json()
    _parent(damaged, path)[path[-1]] = "2026-07-02T00:03:11.204"
    with pytest.raises(msgspec.ValidationError, match="timezone"):
        decode_event(as_bytes(damaged))

    naive = {path[-1]: MOMENT.replace(tzinfo=None)}
    event = make_event(make_data(**naive)) if len(path) > 1 else msgspec.structs.replace(make_event(), **naive)
    with pytest.raises(ValueError, match="aware"):
        encode_event(event)


def test_a_time_in_another_zone_is_the_same_instant() -> None:
    """A sender in another language may write an offset."""
    moved = as_json()
    moved["time"] = "2026-07-02T05:33:11.204+05:30"
    assert decode_event(as_bytes(moved)) == make_event()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"{",
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"NaN",
        b"[" * 10_000,
        b'{"x":' * 3_000 + b"1" + b"}" * 3_000,
        b"1" * 5_000,
        as_bytes(as_json()) + b"{}",
        as_bytes(as_json())[:-1],
        as_bytes(as_json()).replace(b"sales", b"\xc3\x28"),
        as_bytes(as_json()).replace(b"sales", b"\\ud800"),
        as_bytes(as_json()).replace(b"12.4", b"1e999"),
        as_bytes(as_json()).replace(b"12.4", b"NaN"),
        as_bytes(as_json()).replace(b"4213", b"[" * 5_000 + b"]" * 5_000),
        as_bytes(as_json()).replace(b"4213", b"9" * 5_000),
    ],
    ids=lambda body: ascii(body)[:30],
)
def test_what_is_no_event_is_an_ordinary_exception(body: bytes) -> None:
    """Absurd bytes raise an exception; they neither crash nor hang."""
    with pytest.raises((ValueError, RecursionError)):
        decode_event(body)


def test_a_large_integer_in_a_result_is_exact() -> None:
    """A number beyond 64 bits is not rounded."""
    event = make_event(make_data(result={"n": 2**200, "m": -(2**63)}))
    assert decode_event(encode_event(event)).data.result == {"n": 2**200, "m": -(2**63)}


# -- making it fit


@pytest.mark.parametrize("result", [None, 0, False, "", [], {}, "caf\u00e9 \u0000 \U0001f600", [1, [2, {"a": None}]]])
def test_a_result_is_carried_as_it_is(result: object) -> None:
    """Whatever JSON can say arrives, also what is falsy."""
    data = decode_event(encode_event(make_event(make_data(result=result)), fetch_url=FETCH)).data
    assert data.result == result
    assert data.result_omitted is msgspec.UNSET


def _result_filling_up_to(size: int) -> str:
    return "x" * (size - len(encode_event(make_event(make_data(result="")))))


def test_a_result_that_just_fits_is_carried() -> None:
    """The cap is the size of the whole event, to the byte."""
    result = _result_filling_up_to(MAX_EVENT_BYTES)
    body = encode_event(make_event(make_data(result=result)))
    assert len(body) == MAX_EVENT_BYTES == 20_000
    assert decode_event(body).data.result == result


@pytest.mark.parametrize("fetch_url", [FETCH, None])
@pytest.mark.parametrize("extra", [1, 1_000_000])
def test_a_result_that_is_too_large_is_left_out(extra: int, fetch_url: str | None) -> None:
    """The receiver is told how large the result is and where to fetch it."""
    result = _result_filling_up_to(MAX_EVENT_BYTES + extra)
    body = encode_event(make_event(make_data(result=result)), fetch_url=fetch_url)
    data = decode_event(body).data
    assert len(body) <= MAX_EVENT_BYTES
    assert data.result is None
    assert data.result_omitted == ResultOmitted(reason="too_large", size=len(result) + 2, fetch_url=fetch_url)


def test_the_size_of_a_result_is_in_bytes_of_json() -> None:
    """Characters outside ASCII count as what they weigh on the wire."""
    data = decode_event(encode_event(make_event(make_data(result=["\u00e9" * 15_000])))).data
    assert data.result_omitted == ResultOmitted(reason="too_large", size=30_004)


def test_a_tuple_is_a_list() -> None:
    """What Python tells apart and JSON does not arrives as JSON has it."""
    assert decode_event(encode_event(make_event(make_data(result=(1, (2, 3)))))).data.result == [1, [2, 3]]


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _deep(levels: int) -> list[Any]:
    deep: list[Any] = []
    for _ in range(levels):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(object(), id="object"),
        pytest.param({"rows": {1, 2}.__iter__()}, id="iterator inside"),
        pytest.param(1j, id="complex"),
        pytest.param(lambda: None, id="function"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param({(1, 2): 3}, id="key that is no text"),
        pytest.param({"\ud800": 1}, id="key that is a lone surrogate"),
        pytest.param(_cycle(), id="list that holds itself"),
        pytest.param(_deep(5_000), id="deep list"),
        pytest.param(MOMENT.replace(tzinfo=tzinfo()), id="time whose zone fails"),
        pytest.param(msgspec.Raw(b'{"half'), id="broken raw JSON"),
    ],
)
def test_a_result_that_is_not_json_is_left_out(result: object) -> None:
    """An exotic result never costs the caller the event."""
    data = decode_event(encode_event(make_event(make_data(result=result)), fetch_url=FETCH)).data
    assert data.result is None
    assert data.result_omitted == ResultOmitted(reason="not_json", fetch_url=FETCH)


def test_what_the_reporter_says_of_a_missing_result_is_kept() -> None:
    """A reporter that could not get the result says so itself."""
    omitted = ResultOmitted(reason="unavailable", fetch_url=FETCH)
    data = decode_event(encode_event(make_event(make_data(result=None, result_omitted=omitted)))).data
    assert data.result_omitted == omitted


def _failed(count: int, log_url: str | None = None, **changes: Any) -> CompletionEvent:
    return make_event(
        make_data(
            state="failed", failed_tasks=failed_tasks(count, log_url), failed_task_count=count, result=None, **changes
        )
    )


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (49, 49), (50, 50), (51, 50), (5_000, 50)])
def test_at_most_50_failed_tasks_are_listed(count: int, kept: int) -> None:
    """The first ones are listed, and the count is of all."""
    data = decode_event(encode_event(_failed(count))).data
    assert data.failed_tasks == failed_tasks(count)[:kept]
    assert data.failed_task_count == count
    assert kept <= MAX_FAILED_TASKS == 50


@pytest.mark.parametrize(("log_url", "kept"), [(1_000, 12), (5_000, 3), (15_000, 1), (25_000, 0)])
def test_a_long_list_of_failed_tasks_is_cut_until_it_fits(log_url: int, kept: int) -> None:
    """Long log addresses shorten the list, and never lose the event."""
    body = encode_event(_failed(60, "https://" + "l" * log_url))
    data = decode_event(body).data
    assert len(body) <= MAX_EVENT_BYTES
    assert len(data.failed_tasks) == kept
    assert data.failed_task_count == 60


def test_the_result_goes_before_the_failed_tasks_do() -> None:
    """A result can be fetched elsewhere, so it is the first to go."""
    event = make_event(make_data(state="failed", failed_tasks=failed_tasks(40), result="x" * 19_000))
    data = decode_event(encode_event(event)).data
    assert len(data.failed_tasks) == 40
    assert data.result_omitted == ResultOmitted(reason="too_large", size=19_002)


def test_a_long_reason_is_cut() -> None:
    """A whole traceback as a reason does not cost the event."""
    data = decode_event(encode_event(_failed(0, reason="r" * 30_000))).data
    assert data.reason == "r" * 1_000


def test_many_failed_tasks_without_a_reason_are_cut() -> None:
    """Cutting the list leaves an absent reason absent."""
    assert decode_event(encode_event(_failed(60, reason=None))).data.reason is None


@pytest.mark.parametrize("result", [None, "x" * 30_000, object()])
def test_an_event_that_cannot_fit_is_an_error(result: object) -> None:
    """Absurd ids are refused where they come from, without repeating them."""
    event = make_event(make_data(dag_id="d" * 20_000, failed_tasks=failed_tasks(3), result=result))
    with pytest.raises(EventTooLargeError, match="at most 20000 are allowed") as caught:
        encode_event(event)
    assert "dddd" not in str(caught.value)


def test_the_event_of_the_design_decodes() -> None:
    """The example that the contract shows is an event."""
    example = json.loads("""
        {"specversion": "1.0", "id": "msg_3kq", "source": "https://airflow.example",
         "type": "airflow.dag_run.succeeded", "subject": "sales_report/ext__5V1nX0",
         "time": "2026-07-02T00:03:11.204Z", "timestamp": "2026-07-02T00:03:11.204Z",
         "datacontenttype": "application/json", "dataschema": "urn:ringback:completion:1",
         "audience": "https://portal.example/airflow/completions", "correlationid": "req_5V1nX0",
         "data": {"dag_id": "sales_report", "run_id": "ext__5V1nX0",
                  "state": "success", "reason": null, "reported_by": "task", "logical_date": null,
                  "run_after": "2026-07-02T00:00:00Z", "start_date": "2026-07-02T00:00:01Z",
                  "end_date": "2026-07-02T00:03:11.204Z", "duration": 12.4,
                  "failed_tasks": [], "result": {"rows": 4213},
                  "run_url": "https://airflow.example/dags/sales_report/runs/ext__5V1nX0"}}
    """)
    event = decode_event(as_bytes(example))
    assert (event.time, event.data.result) == (MOMENT, {"rows": 4213})


@pytest.mark.parametrize(("depth", "travels"), [(100, True), (101, False)])
def test_a_result_that_is_nested_too_deep_stays_behind(depth: int, travels: bool) -> None:
    """What a receiver's decoder may give up on is not sent."""
    result: Any = "core"
    for level in range(depth):
        result = [result] if level % 2 else {"in": result}
    event = decode_event(encode_event(make_event(make_data(result=result))))
    assert (event.data.result == result) is travels
    assert (event.data.result_omitted is msgspec.UNSET) is travels


def test_the_count_of_failed_tasks_is_at_least_what_is_listed() -> None:
    """Cutting the list never loses how many there were."""
    event = decode_event(encode_event(make_event(make_data(failed_tasks=failed_tasks(60)))))
    assert (len(event.data.failed_tasks), event.data.failed_task_count) == (50, 60)
