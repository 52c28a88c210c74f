"""Every way in which a run can end, and who reports it: each path by itself, and all of them together.

``RINGBACK_WRITE_COVERAGE=1`` writes what was seen, with delays, into ``docs/coverage.md`` (``make coverage``).
"""

from __future__ import annotations

import json
import os

import pytest
from conftest import DAGS, ROOT, copy_dags, destination
from ending_scenes import CASES
from ending_tiers import Act, Stage, play_all

from demo.local_airflow import LocalAirflow
from demo.local_postgres import LocalPostgres
from demo.local_relay import ringback, running_relay
from ringback_protocol import PrivateKey

PATHS = ("task", "callback", "listener", "relay")
SEEN: dict[str, dict[str, Act]] = {}
"""What was seen of each path by itself."""


# --- the set-ups


@pytest.fixture(scope="module")
def alone(
    airflow: LocalAirflow, key: PrivateKey, receiver_port: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Act]:
    """Final task and callback, no listener, no relay."""
    stage = Stage(airflow=airflow, kind="ending", paths=frozenset({"task", "callback"}), relay=False)
    (acts,) = play_all([stage], key, receiver_port, tmp_path_factory.mktemp("alone"))
    SEEN["task"] = SEEN["callback"] = acts
    return acts


@pytest.fixture(scope="module")
def swept(
    alone: dict[str, Act],
    airflow: LocalAirflow,
    postgres: LocalPostgres,
    key: PrivateKey,
    receiver_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Act]:
    """A relay that nobody gives a hint: no listener, and DAGs without any line of ours."""
    folder = tmp_path_factory.mktemp("swept")
    environment = {**airflow.environment, **relays_environment(airflow, postgres.create("swept"))}
    ringback(environment, "outbox", "migrate")
    with running_relay(environment, folder / "relay.log"):
        stage = Stage(airflow=airflow, kind="bare", paths=frozenset({"relay"}), relay=True)
        (acts,) = play_all([stage], key, receiver_port, folder)
    SEEN["relay"] = acts
    return acts


@pytest.fixture(scope="module")
def everything(
    postgres: LocalPostgres, key: PrivateKey, receiver_port: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Act]]:
    """All paths on one Airflow of its own, on DAGs with both lines (``ending``) and with none (``bare``)."""
    folder, dags = tmp_path_factory.mktemp("everything"), tmp_path_factory.mktemp("everything_dags")
    copy_dags(dags, DAGS / "endings.py", DAGS / "vanishing.py")
    home, database = tmp_path_factory.mktemp("everything_airflow"), postgres.create("everything")
    with LocalAirflow(home, dags, destination(key, receiver_port), database=database) as airflow:
        airflow.environment.update(relays_environment(airflow, postgres.create("everything_outbox")))
        ringback(airflow.environment, "outbox", "migrate")
        with running_relay(airflow.environment, folder / "relay.log"):
            airflow.start()
            stages = [
                Stage(airflow=airflow, kind="ending", paths=frozenset(), relay=True),
                Stage(airflow=airflow, kind="bare", paths=frozenset({"listener"}), relay=True),
            ]
            with_lines, bare = play_all(stages, key, receiver_port, folder)
    SEEN["listener"] = bare
    return {"ending": with_lines, "bare": bare}


def relays_environment(airflow: LocalAirflow, outbox: str) -> dict[str, str]:
    """Return what a relay needs to know: its outbox, and an account that may look at runs."""
    connection = json.dumps(airflow.reader())
    return {"AIRFLOW__RINGBACK__OUTBOX_URL": outbox, "AIRFLOW_CONN_RINGBACK_AIRFLOW": connection}


# --- the matrix


@pytest.mark.parametrize("title", CASES)
def test_task_and_callback_report(alone: dict[str, Act], title: str) -> None:
    """Each of the two reports what the matrix says, with Airflow's own state, as one event."""
    expected, act = CASES[title], seen(alone, title)
    must = expected.reporters & {"task", "callback"}
    assert must <= act.reporters <= must | expected.rarely
    one_event_at_most(title, act)


@pytest.mark.parametrize("title", CASES)
def test_the_sweep_reports(swept: dict[str, Act], title: str) -> None:
    """A relay finds every ending in Airflow's own table of runs, without a hint from anybody."""
    act = seen(swept, title)
    assert act.reporters == CASES[title].reporters & {"relay"}
    one_event_at_most(title, act)


@pytest.mark.parametrize("title", CASES)
def test_listener_and_relay_report(everything: dict[str, dict[str, Act]], title: str) -> None:
    """A DAG that knows nothing of us is reported by the listener's hint; where there is none, by the sweep."""
    act = seen(everything["bare"], title)
    assert act.reporters == (
        {"listener"} if "listener" in CASES[title].reporters else CASES[title].reporters & {"relay"}
    )
    one_event_at_most(title, act)


@pytest.mark.parametrize("title", CASES)
def test_all_together_resolve_it_once(everything: dict[str, dict[str, Act]], title: str) -> None:
    """With all four paths on, every ending is reported, and its caller hears of it exactly once."""
    act = seen(everything["ending"], title)
    assert bool(act.reporters) == bool(CASES[title].state)
    assert act.reporters <= CASES[title].reporters | CASES[title].rarely
    one_event_at_most(title, act)


def seen(acts: dict[str, Act], title: str) -> Act:
    """Return what a scene showed, if it could be played."""
    act = acts[title]
    if act.failure:
        pytest.fail(act.failure, pytrace=False)
    assert act.state == CASES[title].state
    return act


def one_event_at_most(title: str, act: Act) -> None:
    """Assert that all reports are of one event with Airflow's state, and that the caller is resolved once by it."""
    ids = {exchange.body["id"] for exchange in act.news}
    assert len(ids) == bool(act.news)
    assert {exchange.body["data"]["state"] for exchange in act.news} <= {CASES[title].state}
    if not act.asked:
        # Nobody waits for a backfill's run: its event is parked.
        assert [exchange.status for exchange in act.news] == [202, 204, 204, 204][: len(act.news)]
        return
    assert {exchange.status for exchange in act.news} <= {204}
    first = [completion for completion in act.completions if not completion.revision]
    later = [completion for completion in act.completions if completion.revision]
    assert len(first) == (act.rang_before or bool(act.news))
    assert [act.completion.event_id] if act.completion else [completion.event_id for completion in first] == []
    # An ending after the first one is a revision, and changes nothing for who has been answered.
    assert {completion.event_id for completion in (later if act.rang_before else first)} == ids


# --- the page


def test_the_page_is_the_matrix() -> None:
    """``docs/coverage.md`` lists every row, and for each the paths that report it."""
    page = ROOT / "docs" / "coverage.md"
    if os.environ.get("RINGBACK_WRITE_COVERAGE"):
        page.write_text(coverage_page(), encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.read_text(encoding="utf-8").splitlines() if "|" in line][2:]
    listed = {
        row[0].strip(): {path for path, cell in zip(PATHS, row[2:], strict=True) if "s" in cell.split()} for row in rows
    }
    assert listed == {title: set(expected.reporters) for title, expected in CASES.items()}


INTRODUCTION = """# Who reports which ending

Seen on a real Airflow 3.3.2 with PostgreSQL on two cores, {at_once} runs at a time. The figures are seconds from the
run's `end_date` to the receiver's having the event; below zero is before Airflow had closed the run. `-`: this path
does not report that ending; `rarely`: only if the scheduler looks at the run while it is being marked.

Final task and callback were seen without listener and relay; the listener on DAGs without any line of ours, beside a
relay, which confirms its hints; the relay on such DAGs without the listener, so that all it has is its sweep. That
comes every 15 s and leaves a run to its own paths for the first 10 s (both are the defaults). With all four on, every
ending but a deletion is reported, and its caller hears of it once.

A mark leaves a finished run its old `end_date`, from which the figures of "a finished run is marked otherwise" count.
The very first callback after a DAG processor's start, some seconds slower, is left out. `make coverage` makes this
page anew.

"""


def coverage_page() -> str:
    """Return the page with what this run saw."""
    from ending_tiers import AT_ONCE

    lines = [
        "| How the run ended | Airflow's state | final task | callback | listener | relay |",
        "|---|---|---|---|---|---|",
    ]
    for title, expected in CASES.items():
        cells = [
            f"{SEEN[path][title].delay(path):+.2f} s"
            if path in expected.reporters
            else "rarely"
            if path in expected.rarely
            else "-"
            for path in PATHS
        ]
        lines.append(f"| {title} | {expected.state or 'deleted'} | {' | '.join(cells)} |")
    return INTRODUCTION.format(at_once=AT_ONCE) + "\n".join(lines) + "\n"
