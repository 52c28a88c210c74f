"""What the relay asks Airflow's REST API, and how it reads the answers."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec import UNSET

from ringback_notifier.relay._errors import RunsUnreadable
from ringback_notifier.relay._paging import Place
from ringback_notifier.relay._requests import (
    LONGEST_PATH,
    batches,
    changed_path,
    read_page,
    read_run,
    readable,
    run_path,
    server_time,
)
from ringback_notifier.relay._run import OversizedRequest

RUN = {"dag_run_id": "r", "dag_id": "d", "state": "success", "conf": {"callback_url": "https://a/"}, "unknown": [1]}


def query_of(path: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(path).query, keep_blank_values=True)


def test_one_request_asks_for_many_runs() -> None:
    """All run ids and all DAG ids go into one pattern each."""
    keys = [("sales", "manual__2026-07-02T00:00:00+00:00"), ("stock", "ext__1"), ("stock", "ext__2")]
    ((path, wanted),) = batches(keys, since=0.5)
    assert urlsplit(path).path == "/api/v2/dags/~/dagRuns"
    assert query_of(path)["run_id_pattern"] == ["manual__2026-07-02T00:00:00+00:00|ext__1|ext__2"]
    assert query_of(path)["dag_id_pattern"] == ["sales|stock"]
    assert query_of(path)["updated_at_gte"] == ["1970-01-01T00:00:00.500000Z"]
    assert wanted == tuple(keys)


def test_the_same_run_id_in_many_dags_is_asked_for_once() -> None:
    """A scheduled run's id is the same in every DAG of the hour."""
    ((path, wanted),) = batches([(f"dag{number}", "scheduled__1") for number in range(20)], since=0.5)
    assert query_of(path)["run_id_pattern"] == ["scheduled__1"]
    assert len(wanted) == 20


def test_long_ids_make_several_requests() -> None:
    """No path is longer than what a proxy takes, and no run is forgotten."""
    keys = [("d", f"{number}" * 250) for number in range(10, 60)]
    made = list(batches(keys, since=0.5))
    assert len(made) > 1
    assert all(len(path) <= LONGEST_PATH for path, _ in made)
    assert [key for _, wanted in made for key in wanted] == keys


def test_nothing_is_asked_for_nothing() -> None:
    """Without runs there is no request."""
    assert list(batches([], since=0.5)) == []


def test_a_run_is_asked_for_by_its_escaped_name() -> None:
    """Slashes and plus signs in ids stay in their segment."""
    assert run_path(("a/b", "m__2026+00:00")) == "/api/v2/dags/a%2Fb/dagRuns/m__2026%2B00%3A00"


def test_a_sweep_asks_for_ended_runs_that_mention_a_callback() -> None:
    """One opening quote matches both spellings of the request; times are UTC to the microsecond."""
    query = query_of(changed_path(since=0.25, until=3_600.0, place=Place()))
    assert query["conf_contains"] == ['"callback']
    assert query["state"] == ["success", "failed"]
    assert query["updated_at_gte"] == ["1970-01-01T00:00:00.250000Z"]
    assert query["updated_at_lte"] == ["1970-01-01T01:00:00.000000Z"]
    assert query["order_by"] == ["updated_at"]
    assert query["cursor"] == [""]
    assert "offset" not in query


def test_a_sweep_can_page_by_offset() -> None:
    """An Airflow that knows no cursors is paged by offset."""
    query = query_of(changed_path(since=0.0, until=1.0, place=Place(cursor=None, offset=90)))
    assert query["offset"] == ["90"]
    assert "cursor" not in query


def test_a_page_is_read() -> None:
    """What the relay does not need is not looked at."""
    page = read_page(json.dumps({"dag_runs": [RUN], "total_entries": 1, "next_cursor": None, "more": 1}).encode())
    (run,) = readable(page)
    assert (run.key, run.conf) == (("d", "r"), {"callback_url": "https://a/"})
    assert page.next_cursor is None


@pytest.mark.parametrize(
    ("conf", "read"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ("callback", None),
        ({"region": "APAC"}, None),
        ({"callback": None}, {"callback": None}),
        ({"callback_url": 7, "more": 1}, {"callback_url": 7}),
        ({"more": [[[]]], "callback": {"url": "https://a/"}}, {"callback": {"url": "https://a/"}}),
    ],
)
def test_of_a_conf_only_what_asks_is_read(conf: Any, read: Any) -> None:
    """Whatever else it holds, nothing of it is kept."""
    assert read_run(json.dumps({**RUN, "conf": conf}).encode()).conf == read


def test_a_request_that_is_too_large_is_not_taken_apart() -> None:
    """Ten megabytes of empty lists would become gigabytes."""
    asked = read_run(json.dumps({**RUN, "conf": {"callback": [[]] * 20_000}}).encode()).conf
    assert asked == {"callback": OversizedRequest(80_000)}


def test_a_run_that_cannot_be_read_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may trigger a DAG must not be able to stop the sweep; the log says what is wrong."""
    page = read_page(json.dumps({"dag_runs": [{**RUN, "end_date": "soon"}, RUN]}).encode())
    assert [run.key for run in readable(page)] == [("d", "r")]
    assert "$.end_date" in caplog.text


def test_a_page_of_an_older_airflow_has_no_cursor() -> None:
    """A missing cursor is told apart from the last one."""
    assert read_page(json.dumps({"dag_runs": [], "total_entries": 0}).encode()).next_cursor is UNSET


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b"\xff", b'{"dag_runs": 1}'])
def test_what_is_no_page_is_an_error_that_asks_for_the_base_url(body: bytes) -> None:
    """Whatever else answers at a wrong address is not taken for an empty list."""
    with pytest.raises(RunsUnreadable, match="is the base URL right"):
        read_page(body)


def test_a_time_without_zone_is_an_error() -> None:
    """A naive start_date would give another event id in another time zone."""
    with pytest.raises(RunsUnreadable):
        read_run(json.dumps({**RUN, "start_date": "2026-07-02T00:00:00"}).encode())


def test_the_servers_clock_is_its_date_header() -> None:
    """The header is read as Unix seconds."""
    expected = datetime(2026, 7, 2, 0, 3, 11, tzinfo=timezone.utc).timestamp()
    assert server_time({"date": "Thu, 02 Jul 2026 00:03:11 GMT"}) == expected
    assert server_time({"date": "Thu, 02 Jul 2026 00:03:11 -0000"}) == expected


@pytest.mark.parametrize("headers", [{}, {"date": "soon"}, {"date": ""}])
def test_an_answer_without_a_date_is_an_error(headers: dict[str, str]) -> None:
    """Without the server's clock no watermark can be trusted."""
    with pytest.raises(RunsUnreadable, match="Date"):
        server_time(headers)
