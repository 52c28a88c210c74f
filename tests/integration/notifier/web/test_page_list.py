"""What the page lists, of which DAGs, and what it keeps to itself."""

from __future__ import annotations

import time
from typing import Any

import pytest
from page_world import SECRET, URL, Manager, Put, Sign

from ringback_notifier.outbox import Outbox


def test_deliveries_are_listed_newest_first(browser: Sign, put: Put) -> None:
    """With what happened, when, and what comes next."""
    now = time.time()
    put("old", at=now - 60)
    put("new", "due", at=now - 30, destination="portal")
    new, old = browser("admin").get("api/deliveries")["rows"]
    assert (old["id"], old["status"], old["due_at"]) == ("msg_old", "delivered", None)
    assert (new["id"], new["status"], new["dag_id"], new["run_id"]) == ("msg_new", "due", "sales_report", "ext__new")
    assert (new["destination"], new["state"], new["due_at"]) == ("portal", "success", pytest.approx(now + 270))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"status": "dead"}, {"a"}),
        ({"status": "dead,delivered"}, {"a", "b"}),
        ({"dag_id": "legacy_job"}, {"b"}),
        ({"destination": "portal"}, {"c"}),
        ({"run_id": "ext__c"}, {"c"}),
        ({"run_id_contains": "t__"}, {"a", "b", "c"}),
        ({"run_id_contains": "%"}, set()),
        ({"since": "1000150"}, {"b", "c"}),
        ({"until": "1000150"}, {"a"}),
        ({"since": "1000150", "status": "due", "dag_id": ""}, {"c"}),
    ],
)
def test_a_filter_leaves_what_is_asked_for(browser: Sign, put: Put, asked: dict[str, str], found: set[str]) -> None:
    """By status, DAG, destination, time and run id."""
    put("a", "dead", at=1_000_100)
    put("b", dag_id="legacy_job", at=1_000_200)
    put("c", "due", destination="portal", at=1_000_300)
    assert set(browser("admin").ids(**asked)) == {f"msg_{name}" for name in found}


def test_the_next_page_goes_on_where_this_one_ended(browser: Sign, put: Put) -> None:
    """Until there is no more; nothing is listed twice, though something new came."""
    names = [put(f"n{number}", at=1_000_000.1 + number) for number in range(5)]
    admin = browser("admin")
    first = admin.get("api/deliveries", limit=2)
    put("late", at=2_000_000.0)
    second = admin.get("api/deliveries", limit=2, after=first["next"])
    third = admin.get("api/deliveries", limit=2, after=second["next"])
    shown = [row["id"] for page in (first, second, third) for row in page["rows"]]
    assert shown == names[::-1]
    assert third["next"] is None


def test_deliveries_are_counted_by_status(browser: Sign, put: Put) -> None:
    """Whatever status is asked for, of what the rest of the filter leaves."""
    put("a", "dead")
    put("b", "dead", dag_id="legacy_job")
    put("c")
    counts = browser("admin").get("api/counts", dag_id="sales_report", status="gone")["counts"]
    assert {status: count["number"] for status, count in counts.items() if count["number"]} == {
        "dead": 1,
        "delivered": 1,
    }


def test_a_user_sees_the_dags_that_he_may_read(browser: Sign, put: Put) -> None:
    """In the list, in the counts, and when he knows an id; another's delivery looks like none."""
    put("mine")
    other = put("other", "dead", dag_id="long_job")
    owner = browser("owner")
    assert owner.ids() == ["msg_mine"]
    assert owner.ids(dag_id="long_job") == []
    assert owner.get("api/counts")["counts"]["dead"]["number"] == 0
    hidden, missing = owner.ask("GET", f"api/deliveries/{other}"), owner.ask("GET", "api/deliveries/msg_none")
    assert (hidden.status_code, hidden.text) == (missing.status_code, missing.text)
    assert hidden.status_code == 404
    assert browser("viewer").get(f"api/deliveries/{other}")["status"] == "dead"


@pytest.mark.parametrize(
    ("name", "seen"),
    [("admin", True), ("viewer", True), ("everyone_by_name", False), ("all_but_one", False), ("owner", False)],
)
def test_a_forgotten_dag_is_for_those_who_may_read_every_dag(browser: Sign, put: Put, name: str, seen: bool) -> None:
    """Whoever may read each DAG that there is, by name, may not read one that there was."""
    put("gone", dag_id="deleted_long_ago")
    assert (browser(name).ids() == ["msg_gone"]) is seen


def test_in_a_deployment_of_teams_nobody_sees_a_forgotten_dag(
    browser: Sign, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose it was, nobody knows any more."""
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    put("gone", dag_id="deleted_long_ago")
    put("there")
    assert browser("admin").ids() == ["msg_there"]


def test_a_right_that_is_taken_away_is_gone_with_the_next_request(browser: Sign, put: Put, manager: Manager) -> None:
    """What a user may is asked for each time, and kept nowhere."""
    put("mine")
    owner = browser("owner")
    assert owner.ids() == ["msg_mine"]
    manager.may["owner"]["GET"] = {"legacy_job"}
    assert owner.ids() == []


def test_who_may_read_no_runs_is_told_so(browser: Sign, put: Put) -> None:
    """Also where he knows an id."""
    put("a")
    for path in ("api/deliveries", "api/counts", "api/deliveries/msg_a", "api/redeliverable"):
        answer = browser("stranger").ask("GET", path)
        assert (answer.status_code, answer.json()["detail"]) == (403, "you may read no DAG runs"), path


def test_nothing_secret_is_shown(browser: Sign, put: Put) -> None:
    """Neither in the list nor in a delivery: not in its URL, its body, an answer, nor an error that quotes it."""
    put("a", "dead", excerpt=f"no such page: /completions?token={SECRET}")
    admin = browser("admin")
    listed, opened = admin.ask("GET", "api/deliveries"), admin.ask("GET", "api/deliveries/msg_a")
    assert SECRET not in listed.text + opened.text
    shown = "https://…@portal.example/airflow/completions?…"
    assert listed.json()["rows"][0]["url"] == shown
    (attempt,) = opened.json()["attempts_made"]
    assert (attempt["status"], attempt["excerpt"]) == (503, "no such page: /completions?…")
    assert opened.json()["body"]["redacted"] is True
    assert f'"audience":"{shown}"' in opened.json()["body"]["text"]


def test_a_body_without_secrets_is_shown_as_it_was_sent(browser: Sign, put: Put) -> None:
    """To the byte, a number's last zero included."""
    put("a", url="https://portal.example/")
    body = browser("admin").get("api/deliveries/msg_a")["body"]
    assert body["text"] == '{"id":"msg_a","audience":"https://portal.example/","data":{"result":1.10}}'
    assert body["redacted"] is False


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"status": "lost"}, "status"),
        ({"since": "yesterday"}, "since"),
        ({"until": "nan"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"after": "1000000"}, "after"),
        ({"after": "1e999~msg_a"}, "after"),
        ({"after": "1000000~\x00"}, "after"),
        ({"dag_id": "d" * 251}, "dag_id"),
        ({"colour": "red"}, "colour"),
        ({"dag_id": ["a", "b"]}, "once"),
    ],
)
def test_what_cannot_be_understood_is_named(browser: Sign, outbox: Outbox, asked: dict[str, Any], named: str) -> None:
    """In words, and without asking the outbox."""
    answer = browser("admin").ask("GET", "api/deliveries", params=asked)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("hostile", ["\x00", "\ud800", "'; DROP TABLE ringback_event; --", "%5C", "<script>"])
def test_a_hostile_text_finds_nothing(browser: Sign, put: Put, hostile: str) -> None:
    """And breaks nothing."""
    put("a")
    admin = browser("admin")
    for name in ("dag_id", "run_id", "run_id_contains", "destination"):
        assert admin.ids(**{name: hostile.encode("utf-8", "replace").decode()}) == []
    assert admin.ids() == ["msg_a"]


def test_a_relay_is_seen_to_be_alive(browser: Sign, put: Put, outbox: Outbox) -> None:
    """And one that runs every minute also between two runs."""
    admin, now = browser("admin"), time.time()
    assert admin.get("api/deliveries")["relays"] == {"alive": 0, "known": False}
    outbox.take_duty("relay/a", "a", now=now - 100, until=now - 50)
    assert admin.get("api/deliveries")["relays"] == {"alive": 0, "known": True}
    outbox.set_duty_value("relay/a", "a", '{"kind": "dag", "since": %f}' % (now - 100))
    assert admin.get("api/deliveries")["relays"] == {"alive": 1, "known": True}
    outbox.set_duty_value("relay/a", "a", '{"kind": "process", "since": "x"}')
    outbox.take_duty("relay/b", "b", now=now, until=now + 50)
    assert admin.get("api/deliveries")["relays"] == {"alive": 1, "known": True}


def test_the_url_of_the_tests_holds_what_must_not_be_shown() -> None:
    """Else the test above would prove nothing."""
    assert URL.count(SECRET) == 3
