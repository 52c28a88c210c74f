"""Hints become events once Airflow's API shows what somebody saw."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from relay_servers import FakeAirflow, FakeRun, Request, Response
from relay_world import World, drain_until, true_id, until

from ringback_protocol import decode_event

pytestmark = pytest.mark.anyio

NOW = 1_780_000_000.25


def run_of(url: str, number: int = 0, **changes: Any) -> FakeRun:
    members: dict[str, Any] = {
        "dag_id": "sales",
        "run_id": f"ext__{number}",
        "conf": {"callback": {"url": url, "correlation_id": f"req_{number}"}},
        "start": NOW,
        "end": NOW + 12,
        "updated_at": time.time(),
    }
    return FakeRun(**{**members, **changes})


def quiet(world: World, airflow: FakeAirflow, **settings: Any) -> Any:
    """Return a relay that does not sweep before the test is over."""
    world.outbox.take_duty("sweep", "nobody", now=time.time(), until=time.time() + 600)
    return world.relay(airflow, **settings)


async def test_a_hint_becomes_a_delivered_event(world: World) -> None:
    """A run that has ended is reported with the id that its other reporters would give."""
    receiver, airflow = world.receiver(), world.airflow()
    run = run_of(receiver.url)
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url)
    report = await drain_until(quiet(world, airflow), lambda: world.status(hint.key) == "delivered")
    event = decode_event(receiver.requests[0].body)
    assert event.id == hint.key == true_id(run, receiver.url)
    assert (event.type, event.correlationid) == ("airflow.dag_run.succeeded", "req_0")
    assert (event.data.reported_by, event.data.failed_task_count) == ("listener", None)
    assert (report.confirmed, report.delivered) == (1, 1)


async def test_many_hints_cost_few_requests(world: World) -> None:
    """Forty hints are asked about in one request."""
    receiver, airflow = world.receiver(), world.airflow()
    for number in range(40):
        run = run_of(receiver.url, number)
        airflow.runs.append(run)
        world.hint(run, receiver.url)
    await drain_until(quiet(world, airflow), lambda: len(receiver.requests) == 40)
    assert len(airflow.lists()) <= 3
    assert airflow.singles() == []


async def test_the_event_follows_the_commit_within_a_moment(world: World) -> None:
    """The listener speaks before the scheduler commits; the relay looks until it has."""
    receiver, airflow = world.receiver(), world.airflow()
    relay = quiet(world, airflow, poll=30.0)
    stop = asyncio.Event()
    draining = asyncio.create_task(relay.drain(30, stop=stop))
    waits = []
    for number in range(5):
        run = run_of(receiver.url, number, state="running")
        airflow.runs.append(run)
        world.hint(run, receiver.url)
        await asyncio.sleep(0.05)
        run.state = "success"
        committed = time.time()
        await until(lambda: len(receiver.requests) == number + 1)  # noqa: B023
        waits.append(receiver.requests[-1].at - committed)
    stop.set()
    await draining
    assert sorted(waits)[2] < 0.5, waits  # a tenth of it on a machine that has nothing else to do


async def test_a_hint_without_id_is_answered_too(world: World) -> None:
    """A callback with a minimal context knows the run only; the hint goes when the event comes."""
    receiver, airflow = world.receiver(), world.airflow()
    run = run_of(receiver.url, state="failed")
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url, event_id=None, state=None, seen_by="callback")
    await drain_until(quiet(world, airflow), lambda: world.status(true_id(run, receiver.url)) == "delivered")
    assert world.status(hint.key) is None
    assert decode_event(receiver.requests[0].body).data.reported_by == "relay"


async def test_the_truth_wins_over_the_hint(world: World) -> None:
    """A run that was seen to fail some seconds ago but ended as a success is reported as a success."""
    receiver, airflow = world.receiver(), world.airflow()
    run = run_of(receiver.url)
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url, state="failed", event_id=true_id(run, receiver.url, "failed"))
    world.outbox.drop_hints([hint.key])
    world.outbox.add_hints([hint], now=time.time() - 6)
    await drain_until(quiet(world, airflow), lambda: len(receiver.requests) == 1)
    assert world.status(hint.key) is None
    assert decode_event(receiver.requests[0].body).data.state == "success"


async def test_the_same_run_id_in_many_dags_is_told_apart(world: World) -> None:
    """A scheduled run's id exists in hundreds of DAGs, more than a page holds."""
    receiver, airflow = world.receiver(), world.airflow()
    runs = [run_of(receiver.url, dag_id=f"dag{number}", run_id="scheduled__1") for number in range(300)]
    airflow.runs += runs
    hints = [world.hint(run, receiver.url) for run in (runs[0], runs[7], runs[299])]
    await drain_until(quiet(world, airflow), lambda: len(receiver.requests) == 3)
    assert {world.status(hint.key) for hint in hints} == {"delivered"}
    assert sorted(receiver.ids) == sorted(hint.key for hint in hints)


async def test_ids_that_look_alike_do_not_get_in_the_way(world: World) -> None:
    """What contains a run's id, and is older, does not fill the page."""
    receiver, airflow = world.receiver(), world.airflow()
    run = run_of(receiver.url, 1)
    airflow.runs += [run, *(run_of(receiver.url, number, updated_at=1.0) for number in range(100, 300))]
    world.hint(run, receiver.url)
    await drain_until(quiet(world, airflow), lambda: len(receiver.requests) == 1)
    assert airflow.singles() == []


@pytest.mark.parametrize("patterns", [True, False])
async def test_a_run_that_is_gone_takes_its_hint_along(world: World, patterns: bool) -> None:
    """A deleted run is nothing to report; that holds, too, where Airflow cannot filter by run id."""
    receiver, airflow = world.receiver(), world.airflow(patterns=patterns)
    there, gone = run_of(receiver.url, 1), run_of(receiver.url, 2)
    airflow.runs += [run_of(receiver.url, number) for number in range(10, 200)]
    airflow.runs.insert(0, there)
    world.hint(there, receiver.url)
    hint = world.hint(gone, receiver.url)
    await drain_until(quiet(world, airflow), lambda: len(receiver.requests) == 1 and world.status(hint.key) is None)


@pytest.mark.parametrize(
    "conf", [None, {"region": "APAC"}, {"callback": {"url": "https://portal.example/", "events": ["failed"]}}]
)
async def test_a_run_that_asks_for_nothing_takes_its_hint_along(world: World, conf: Any) -> None:
    """Nobody wants to hear of it."""
    airflow = world.airflow()
    run = run_of("https://portal.example/", conf=conf)
    airflow.runs.append(run)
    hint = world.hint(run, "https://portal.example/", event_id=None)
    await drain_until(quiet(world, airflow), lambda: not world.rows())
    assert world.status(hint.key) is None


async def test_a_malformed_request_is_kept_as_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The operator finds run, DAG and key in the log and in the outbox."""
    airflow = world.airflow()
    run = run_of("https://portal.example/", conf={"callback": {"uri": "https://portal.example/"}})
    airflow.runs.append(run)
    world.hint(run, "https://portal.example/", event_id=None)
    report = await drain_until(quiet(world, airflow), lambda: world.outbox.counts()["refused"] == 1)
    assert report.refused == 1
    (row,) = world.rows()
    assert "callback.uri" in (world.attempts(row.event_id)[0].error or "")
    assert any("run ext__0 of DAG sales" in line and "callback.uri" in line for line in caplog.messages)


async def test_a_start_is_reported_if_it_is_wanted(world: World) -> None:
    """A hint of a start becomes a started event, and leaves the ending to its own hint."""
    receiver, airflow = world.receiver(), world.airflow()
    conf = {"callback": {"url": receiver.url, "events": ["started", "succeeded"]}}
    run = run_of(receiver.url, conf=conf, state="running", end=None)
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url, state="running")
    await drain_until(quiet(world, airflow), lambda: world.status(hint.key) == "delivered")
    assert decode_event(receiver.requests[0].body).type == "airflow.dag_run.started"


async def test_a_start_is_reported_though_the_hint_was_looked_at_before_the_commit(world: World) -> None:
    """Until the scheduler commits, the API shows a queued run without a start date."""
    receiver, airflow = world.receiver(), world.airflow()
    conf = {"callback": {"url": receiver.url, "events": ["started"]}}
    run = run_of(receiver.url, conf=conf, state="queued", start=None, end=None)
    airflow.runs.append(run)
    hint = world.hint(run_of(receiver.url, conf=conf), receiver.url, state="running")
    await drain_until(quiet(world, airflow), lambda: len(airflow.lists()) >= 2)
    assert world.status(hint.key) == "hint"
    run.state, run.start, run.updated_at = "running", NOW, time.time()
    await drain_until(quiet(world, airflow), lambda: world.status(hint.key) == "delivered")


async def test_a_mark_of_a_finished_run_is_reported_though_it_was_looked_at_before_the_commit(world: World) -> None:
    """Until the API server commits, it shows the old ending; what the hint says is not dropped for that."""
    receiver, airflow = world.receiver(), world.airflow()
    run = run_of(receiver.url)
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url, state="failed")
    await drain_until(quiet(world, airflow), lambda: len(airflow.lists()) >= 2)
    assert world.status(hint.key) == "hint"
    run.state, run.updated_at = "failed", time.time()
    await drain_until(quiet(world, airflow), lambda: world.status(hint.key) == "delivered")
    assert receiver.ids == [hint.key]


async def test_a_hint_that_does_not_come_true_is_dropped_in_the_end(world: World) -> None:
    """After ten minutes the sweep is trusted to find the run."""
    receiver, airflow = world.receiver(), world.airflow()
    run = run_of(receiver.url, state="running")
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url)
    world.outbox.drop_hints([hint.key])
    world.outbox.add_hints([hint], now=time.time() - 601)
    await drain_until(quiet(world, airflow), lambda: world.status(hint.key) is None)
    assert receiver.requests == []


async def test_a_token_that_expires_is_renewed(world: World) -> None:
    """A 401 costs one more log-in, and no hint."""
    receiver, airflow = world.receiver(), world.airflow()
    relay = quiet(world, airflow)
    for number in range(2):
        run = run_of(receiver.url, number)
        airflow.runs.append(run)
        world.hint(run, receiver.url)
        await drain_until(relay, lambda: len(receiver.requests) == number + 1)  # noqa: B023
        airflow.expire_tokens()
    assert airflow.tokens == 2


@pytest.mark.parametrize("trouble", [Response(status=500), Response(status=0, then="reset")])
async def test_hints_outlive_an_outage_of_the_api(
    world: World, trouble: Response, caplog: pytest.LogCaptureFixture
) -> None:
    """While Airflow does not answer hints stay; its recovery is logged, and they are confirmed."""
    receiver, airflow = world.receiver(), world.airflow()
    broken = True
    airflow.trouble = lambda request: trouble if broken else None
    run = run_of(receiver.url)
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url)
    relay = quiet(world, airflow)
    stop = asyncio.Event()
    draining = asyncio.create_task(relay.drain(30, stop=stop))
    await until(lambda: len(airflow.requests) >= 11)  # five a look
    assert world.status(hint.key) == "hint"
    broken = False
    await until(lambda: world.status(hint.key) == "delivered")
    await asyncio.sleep(0.3)
    stop.set()
    report = await draining
    assert report.api_errors >= 2
    assert airflow.base in (report.last_error or "")
    assert sum("trying on" in line for line in caplog.messages) == 1
    assert sum("works again" in line for line in caplog.messages) == 1


async def test_credentials_that_are_refused_are_told_without_the_password(world: World) -> None:
    """The report names the user and the address, not the password."""
    airflow = world.airflow()
    airflow.trouble = lambda request: Response(status=401, body=b"{}")
    world.hint(run_of("https://portal.example/"), "https://portal.example/")
    report = await drain_until(quiet(world, airflow), lambda: len(airflow.requests) >= 11)
    assert "refuses the credentials of user 'relay'" in (report.last_error or "")
    assert "hush" not in (report.last_error or "")


async def test_a_run_that_may_not_be_read_does_not_hold_up_the_others(world: World) -> None:
    """A 403 for one DAG leaves its hint for later and confirms the rest."""
    receiver, airflow = world.receiver(), world.airflow()

    def secret(request: Request) -> Response | None:
        return Response(status=403) if "/dags/secret/" in request.path else None

    airflow.trouble = secret
    run, hidden = run_of(receiver.url, 1), run_of(receiver.url, 2, dag_id="secret")
    airflow.runs.append(run)
    world.hint(run, receiver.url)
    hint = world.hint(hidden, receiver.url)
    report = await drain_until(quiet(world, airflow), lambda: len(receiver.requests) == 1)
    assert world.status(hint.key) == "hint"
    assert "allowed to read" in (report.last_error or "")


async def test_a_run_that_airflow_cannot_show_does_not_hold_up_the_others(world: World) -> None:
    """A list that asks for it is a server error, and so is the run itself; all the others are reported."""
    receiver, airflow = world.receiver(), world.airflow()
    runs = [run_of(receiver.url, number) for number in range(12)]
    airflow.runs += runs
    broken = airflow._json(500, {"detail": "Internal Server Error"})
    airflow.trouble = lambda request: broken if "ext__7" in request.target else None
    for run in runs:
        world.hint(run, receiver.url)
    await drain_until(quiet(world, airflow), lambda: world.outbox.counts().get("delivered") == 11, seconds=20)
    assert world.status(true_id(runs[7], receiver.url)) == "hint"


async def test_a_server_that_fails_altogether_loses_no_hint(world: World) -> None:
    """As long as Airflow answers every question with an error, nothing is dropped; then everything is reported."""
    receiver, airflow = world.receiver(), world.airflow()
    runs = [run_of(receiver.url, number) for number in range(12)]
    airflow.runs += runs
    broken = airflow._json(500, {"detail": "Internal Server Error"})
    airflow.trouble = lambda request: broken if "dagRuns" in request.path else None
    for run in runs:
        world.hint(run, receiver.url)
    await quiet(world, airflow).drain(1)
    assert world.outbox.counts()["hint"] == 12
    airflow.trouble = lambda request: None
    await drain_until(quiet(world, airflow), lambda: world.outbox.counts().get("delivered") == 12, seconds=20)


async def test_a_relay_that_stops_gives_back_the_hints_that_it_was_asking_about(world: World) -> None:
    """The next relay looks at once, not when the first one would be taken for dead."""
    receiver, airflow = world.receiver(), world.airflow()
    run = run_of(receiver.url)
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url)
    airflow.delay = 5.0
    await drain_until(quiet(world, airflow), lambda: airflow.requests)
    assert world.status(hint.key) == "hint"
    airflow.delay = 0.0
    await drain_until(quiet(world, airflow), lambda: world.status(hint.key) == "delivered")
