"""Sending again: one, or all that match, and only what the user may edit."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from page_world import DAGS, HERE, ORDER, Manager, Put, Sign

from ringback_notifier.outbox import EventFilter, Outbox


@pytest.mark.parametrize("status", ["dead", "gone", "refused", "delivered", "due"])
def test_one_delivery_is_sent_again_at_once(browser: Sign, put: Put, outbox: Outbox, status: str) -> None:
    """Whatever became of it, and one that waits need not wait longer."""
    event_id = put("a", status)
    assert browser("owner").get(f"api/deliveries/{event_id}")["may_redeliver"] is True
    answer = browser("owner").order(event_ids=[event_id])
    assert (answer.status_code, answer.json()) == (200, {"count": 1, "next": None})
    row = outbox.event(event_id)
    assert row is not None
    assert (row.status, row.due_at <= time.time()) == ("due", True)


@pytest.mark.parametrize(
    ("name", "dag_id", "status"),
    [
        ("viewer", "sales_report", 403),
        ("owner", "legacy_job", 403),
        ("owner", "long_job", 404),
        ("stranger", "sales_report", 403),
        ("everyone_by_name", "deleted_long_ago", 404),
        (None, "sales_report", 401),
    ],
)
def test_who_may_not_edit_a_dag_sends_nothing_of_it_again(
    browser: Sign, put: Put, outbox: Outbox, name: str | None, dag_id: str, status: int
) -> None:
    """Not even what he may, if it is asked for along with it."""
    allowed, forbidden = put("mine", "dead"), put("a", "dead", dag_id=dag_id)
    for event_ids in ([forbidden], [allowed, forbidden]):
        assert browser(name).order(event_ids=event_ids).status_code == status
    assert {row.status for row in outbox.find()} == {"dead"}


def test_all_that_match_are_sent_again_if_the_user_may_edit_them(browser: Sign, put: Put, outbox: Outbox) -> None:
    """What was given up, whatever else matches; the number is known before."""
    for name, status, dag_id in (
        ("a", "dead", "sales_report"),
        ("b", "refused", "sales_report"),
        ("c", "delivered", "sales_report"),
        ("d", "due", "sales_report"),
        ("e", "dead", "legacy_job"),
        ("f", "dead", "long_job"),
    ):
        put(name, status, dag_id=dag_id)
    owner, wanted = browser("owner"), {"until": time.time() + 1}
    before = {row.event_id: row.due_at for row in outbox.find()}
    assert owner.get("api/redeliverable", **wanted) == {"number": 2, "or_more": False}
    assert owner.order(filter=wanted, after=None).json() == {"count": 2, "next": None}
    changed = {row.event_id for row in outbox.find() if row.due_at != before[row.event_id]}
    assert changed == {"msg_a", "msg_b"}
    assert browser("admin").get("api/redeliverable", **wanted)["number"] == 2


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"status": "dead"}, {"a", "c"}),
        ({"dag_id": "legacy_job"}, {"c"}),
        ({"status": "delivered"}, set()),
        ({"run_id_contains": "_b"}, {"b"}),
        ({"since": 1_000_150}, {"b", "c"}),
        ({"until": 1_000_150}, {"a"}),
    ],
)
def test_the_filter_holds_for_what_is_sent_again(
    browser: Sign, put: Put, outbox: Outbox, wanted: dict[str, Any], sent: set[str]
) -> None:
    """It is the same as the list's."""
    put("a", "dead", at=1_000_100)
    put("b", "gone", at=1_000_200)
    put("c", "dead", dag_id="legacy_job", at=1_000_300)
    put("d", at=1_000_400)
    wanted = {"until": 2_000_000, **wanted}
    assert browser("admin").get("api/redeliverable", **wanted)["number"] == len(sent)
    assert browser("admin").order(filter=wanted, after=None).json()["count"] == len(sent)
    assert {row.event_id for row in outbox.find(statuses=["due"])} == {f"msg_{name}" for name in sent}


def test_many_are_sent_again_step_by_step(browser: Sign, put: Put, outbox: Outbox) -> None:
    """Each step is short, says where the next begins, and none is sent again twice."""
    for number in range(250):
        put(f"n{number}", "refused", at=1_000_000 + number)
    owner, place, steps = browser("owner"), None, []
    while True:
        step = owner.order(filter={"until": 2_000_000}, after=place).json()
        steps.append(step["count"])
        place = step["next"]
        if place is None:
            break
    assert steps == [200, 50]
    assert {row.status for row in outbox.find(limit=300)} == {"due"}


def test_who_had_what_sent_again_is_in_the_log(browser: Sign, put: Put, caplog: pytest.LogCaptureFixture) -> None:
    """Who, what filter, how many."""
    put("a", "dead")
    with caplog.at_level(logging.INFO, "ringback_notifier.web"):
        browser("owner").order(event_ids=["msg_a"])
        browser("owner").order(filter={"status": "dead", "until": 5, "run_id_contains": "x\ny"}, after=None)
    one, many = [record.getMessage() for record in caplog.records if "sent again" in record.getMessage()]
    assert "'owner'" in one
    assert "1 deliveries" in one
    assert "'msg_a'" in one
    assert "0 deliveries" in many
    assert "'run_id_contains': 'x\\\\ny'" in many.replace("x\\ny", "x\\\\ny")
    assert "\n" not in many


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": HERE, "content-type": "text/plain"},
        {"origin": HERE, "content-type": "application/x-www-form-urlencoded"},
        {"origin": HERE, "content-type": "text/plain; application/json"},
        {"origin": HERE},
        {"content-type": "application/json"},
        {"origin": "null", "content-type": "application/json"},
        {"origin": "https://evil.example", "content-type": "application/json"},
        {"origin": "https://airflow.example.evil.example", "content-type": "application/json"},
        {"origin": "https://airflow.example:8443", "content-type": "application/json"},
        {"origin": "http://airflow.example", "content-type": "application/json"},
        {"origin": "https://airflow.example@evil.example", "content-type": "application/json"},
    ],
)
def test_an_order_from_elsewhere_changes_nothing(
    browser: Sign, put: Put, outbox: Outbox, headers: dict[str, str]
) -> None:
    """Whoever's session it comes with."""
    put("a", "dead")
    order = json.dumps({"event_ids": ["msg_a"]}).encode()
    answer = browser("admin").ask("POST", "api/redeliver", content=order, headers=headers)
    assert answer.status_code == 403
    assert outbox.status_of("msg_a") == "dead"


def test_behind_a_proxy_the_address_that_the_browser_shows_counts(
    browser: Sign, put: Put, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[api] base_url says it; and where that is not set, the request's Host does."""
    put("a", "dead")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://public.example/airflow")
    headers = {**ORDER, "origin": "https://public.example"}
    order = {"event_ids": ["msg_a"]}
    assert browser("admin").ask("POST", "api/redeliver", json=order, headers=headers).status_code == 200
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    assert browser("admin").ask("POST", "api/redeliver", json=order, headers=headers).status_code == 403
    assert browser("admin").ask("POST", "api/redeliver", json=order, headers=ORDER).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"event_ids": []}',
        b'{"event_ids": "msg_a"}',
        b'{"event_ids": [1]}',
        b'{"event_ids": ["msg_a\\u0000"]}',
        b'{"event_ids": ["msg_a"], "filter": {}}',
        b'{"filter": {}, "after": null}',
        b'{"filter": [], "after": null}',
        b'{"filter": {"until": 2000000000, "status": "leased,nothing"}, "after": null}',
        b'{"filter": {"until": true}, "after": null}',
        b'{"filter": {"until": 2000000000}, "after": 5}',
        b"[" * 100_000,
        b"[" * 50_000,
    ],
)
def test_an_order_that_cannot_be_understood_changes_nothing(
    browser: Sign, put: Put, outbox: Outbox, content: bytes
) -> None:
    """It is answered with 400, whoever gives it."""
    put("a", "dead")
    answer = browser("admin").ask("POST", "api/redeliver", content=content, headers=ORDER)
    assert answer.status_code == 400, answer.text
    assert outbox.status_of("msg_a") == "dead"


def test_nothing_is_changed_by_a_get(browser: Sign, put: Put, outbox: Outbox) -> None:
    """A link or an image of another site's cannot send anything again."""
    put("a", "dead")
    for path in ("api/redeliver", "api/redeliver?event_ids=msg_a"):
        assert browser("admin").ask("GET", path).status_code == 405
    assert outbox.status_of("msg_a") == "dead"


def test_what_left_nothing_to_send_is_not_sent_again(browser: Sign, put: Put, outbox: Outbox) -> None:
    """A malformed request has no URL, and its page offers nothing."""
    put("a", "refused", url="")
    assert browser("admin").get("api/deliveries/msg_a")["may_redeliver"] is False
    assert browser("admin").order(event_ids=["msg_a"]).json()["count"] == 0
    assert outbox.status_of("msg_a") == "refused"


def test_who_may_edit_a_dag_and_not_its_runs_sends_none_of_them_again(
    browser: Sign, put: Put, outbox: Outbox, manager: Manager
) -> None:
    """A manager may have a rule for each, and Airflow asks for the runs of that very DAG before it clears one."""
    manager.runs["admin"] = {"PUT": {"*", "!legacy_job"}}
    put("a", "dead")
    put("b", "dead", dag_id="legacy_job")
    put("c", "dead", dag_id="deleted_long_ago")
    admin, wanted = browser("admin"), {"until": time.time() + 1}
    offered = {row["id"] for row in admin.get("api/deliveries")["rows"] if row["may_redeliver"]}
    assert offered == {"msg_a"}
    assert admin.get("api/deliveries/msg_b")["may_redeliver"] is False
    assert admin.order(event_ids=["msg_a", "msg_b"]).status_code == 403
    assert admin.get("api/redeliverable", **wanted)["number"] == 1
    assert admin.order(filter=wanted, after=None).json()["count"] == 1
    assert {row.event_id for row in outbox.page(EventFilter(statuses=["due"])).rows} == {"msg_a"}


def test_who_may_read_a_dag_and_not_its_runs_opens_none_of_them(
    browser: Sign, put: Put, outbox: Outbox, manager: Manager
) -> None:
    """As Airflow lets him open no run of it; and what he may not read he does not send again."""
    manager.runs["admin"] = {"GET": {"*", "!legacy_job"}}
    put("a", "dead", dag_id="legacy_job")
    assert browser("admin").ask("GET", "api/deliveries/msg_a").status_code == 404
    assert browser("admin").order(event_ids=["msg_a"]).status_code == 404
    assert outbox.status_of("msg_a") == "dead"


def test_runs_are_asked_for_with_their_dags_team(
    browser: Sign, put: Put, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are several, as Airflow does."""
    put("a", "dead")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    asked: list[Any] = []
    allowed = manager.batch_is_authorized_dag

    def seen(requests: list[dict[str, Any]], **user: Any) -> bool:
        asked.extend(request["details"] for request in requests)
        return allowed(requests, **user)

    monkeypatch.setattr(manager, "batch_is_authorized_dag", seen)
    assert browser("admin").order(event_ids=["msg_a"]).status_code == 200
    assert {(details.id, details.team_name) for details in asked} == {(dag_id, "sales") for dag_id in DAGS}
