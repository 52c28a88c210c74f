"""The sweep finds every ending that nobody reported."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from relay_servers import FakeRun, Request, Response
from relay_world import World, drain_until, true_id, until

from ringback_notifier.relay._paging import Place
from ringback_notifier.relay._window import Window, read_window, write_window
from ringback_protocol import decode_event

pytestmark = pytest.mark.anyio


def ended(url: str, number: int = 0, *, ago: float = 1.0, **changes: Any) -> FakeRun:
    """Return a run that ended a while ago."""
    at = time.time() - ago
    members: dict[str, Any] = {
        "dag_id": "sales",
        "run_id": f"ext__{number}",
        "conf": {"callback": {"url": url}},
        "start": at - 12,
        "end": at,
        "updated_at": at,
    }
    return FakeRun(**{**members, **changes})


def watermark(world: World) -> float | None:
    window = read_window(world.outbox.duty_value("sweep"))
    return None if window is None else window.watermark


def swept_to(world: World, moment: float) -> None:
    """Have it look as if a sweep had been made up to a moment."""
    world.outbox.take_duty("sweep", "earlier", now=moment, until=moment + 1)
    window = Window(watermark=moment, since=moment - 5)
    world.outbox.set_duty_value("sweep", "earlier", write_window(window))
    world.outbox.leave_duty("sweep", "earlier")


async def test_an_ending_that_nobody_reported_is_found(world: World) -> None:
    """The sweep reports it as the relay."""
    receiver, airflow = world.receiver(), world.airflow()
    run = ended(receiver.url)
    airflow.runs.append(run)
    report = await drain_until(world.relay(airflow), lambda: world.status(true_id(run, receiver.url)) == "delivered")
    event = decode_event(receiver.requests[0].body)
    assert (event.id, event.data.reported_by) == (true_id(run, receiver.url), "relay")
    assert report.enqueued == 1
    assert report.swept >= 1


@pytest.mark.parametrize("conf", [lambda url: {"callback": {"url": url}}, lambda url: {"callback_url": url}])
async def test_both_spellings_of_a_request_are_found(world: World, conf: Any) -> None:
    """One search term finds the long form and the short one."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs.append(ended(receiver.url, conf=conf(receiver.url)))
    await drain_until(world.relay(airflow), lambda: len(receiver.requests) == 1)


@pytest.mark.parametrize("cursors", [True, False])
async def test_all_pages_are_read(world: World, cursors: bool) -> None:
    """Hundreds of endings are found page by page, by cursor or by offset, each delivered once."""
    receiver, airflow = world.receiver(), world.airflow(cursors=cursors)
    airflow.runs += [ended(receiver.url, number, ago=2 - number / 200) for number in range(250)]
    airflow.runs += [ended(receiver.url, number, conf={"region": "APAC"}) for number in range(250, 350)]
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 250, seconds=20)
    assert len(set(receiver.ids)) == len(receiver.ids) == 250


async def test_a_run_that_is_too_large_does_not_hide_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may trigger a DAG with a book as its conf does not keep others from being rung back."""
    monkeypatch.setattr("ringback_notifier.relay._runs.MAX_ANSWER_BYTES", 200_000)
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs += [ended(receiver.url, number, ago=3 - number / 100) for number in range(130)]
    airflow.runs[50].conf = {"callback": {"url": receiver.url}, "book": "x" * 300_000}
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 129, seconds=30)
    assert watermark(world) is not None
    assert true_id(airflow.runs[50], receiver.url) not in receiver.ids


async def test_what_is_known_is_not_sent_again(world: World) -> None:
    """An ending that its own task delivered is left alone, sweep after sweep."""
    receiver, airflow = world.receiver(), world.airflow()
    run, other = ended(receiver.url, 1), ended(receiver.url, 2)
    airflow.runs += [run, other]
    event = world.event(receiver.url, event_id=true_id(run, receiver.url))
    world.outbox.record(event, [], status="delivered", due_at=0.0, now=time.time())
    await drain_until(world.relay(airflow), lambda: receiver.requests and len(airflow.sweeps()) >= 3)
    assert receiver.ids == [true_id(other, receiver.url)]


async def test_what_has_just_ended_is_left_to_its_own_reporters(world: World) -> None:
    """Within the grace nothing is enqueued; the next sweep sees the run again and takes it."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs.append(ended(receiver.url, ago=0.0))
    born = time.time()
    await drain_until(world.relay(airflow, grace=1.5), lambda: receiver.requests)
    assert receiver.requests[0].at - born > 0.4  # the Date header counts in whole seconds


async def test_what_is_hinted_is_left_to_the_hint(world: World) -> None:
    """A hint that waits for the richer report of a callback is not overtaken by the sweep."""
    receiver, airflow = world.receiver(), world.airflow()
    run = ended(receiver.url)
    airflow.runs.append(run)
    hint = world.hint(run, receiver.url, due_at=time.time() + 60)
    await drain_until(world.relay(airflow), lambda: len(airflow.sweeps()) >= 3)
    assert world.status(hint.key) == "hint"


async def test_a_row_that_was_committed_late_is_found(world: World) -> None:
    """A run whose updated_at is older than the last sweep, but which was not visible then, lies in the overlap."""
    receiver, airflow = world.receiver(), world.airflow()
    run = ended(receiver.url, ago=1.0, visible_at=time.time() + 1.0)
    airflow.runs.append(run)
    await drain_until(world.relay(airflow), lambda: receiver.requests)
    assert len([sweep for sweep in airflow.sweeps() if sweep.at < run.visible_at]) >= 2
    assert watermark(world) is not None
    assert run.updated_at < run.visible_at - 1.5


async def test_the_watermark_is_the_servers_clock(world: World) -> None:
    """A server whose clock is an hour behind is swept by that clock."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.clock = lambda: time.time() - 3_600
    run = ended(receiver.url, ago=3_601)
    airflow.runs.append(run)
    await drain_until(world.relay(airflow), lambda: receiver.requests and watermark(world))
    mark = watermark(world)
    assert mark is not None
    assert abs(mark - (time.time() - 3_600)) < 10


async def test_an_outage_amid_a_window_leaves_the_watermark_where_it_was(world: World) -> None:
    """From the second page on nothing answers: what the first held is delivered, and the rest when it can be read."""
    receiver, airflow = world.receiver(), world.airflow()
    before = float(int(time.time())) - 10
    swept_to(world, before)
    airflow.runs += [ended(receiver.url, number, ago=2.0 - number / 200) for number in range(250)]
    broken = True

    def behind_the_first_page(request: Request) -> Response | None:
        first_page = request.query.get("cursor") == [""]
        return Response(status=503) if broken and "dags/~" in request.path and not first_page else None

    airflow.trouble = behind_the_first_page
    relay = world.relay(airflow)
    stop = asyncio.Event()
    draining = asyncio.create_task(relay.drain(30, stop=stop))
    await until(lambda: len(receiver.requests) >= 100 and len(airflow.sweeps()) >= 4)
    assert watermark(world) == before
    assert len(receiver.requests) == 100
    broken = False
    await until(lambda: world.outbox.counts().get("delivered") == 250)
    await until(lambda: (watermark(world) or 0) > before)
    stop.set()
    report = await draining
    assert report.api_errors >= 1
    assert len(set(receiver.ids)) == len(receiver.ids) == 250


@pytest.mark.parametrize("trouble", [Response(status=500), Response(status=504), Response(status=0, then="reset")])
@pytest.mark.parametrize("cursors", [True, False])
async def test_a_run_that_airflow_fails_over_does_not_hide_the_others(
    world: World, trouble: Response, cursors: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Every list with it fails, however; its neighbours are reported, and the log says that one is passed over."""
    receiver, airflow = world.receiver(), world.airflow(cursors=cursors)
    airflow.runs += [ended(receiver.url, number, ago=3 - number / 100) for number in range(130)]
    airflow.poisoned = {57: trouble}
    began = time.time()
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 129, seconds=30)
    assert (watermark(world) or 0) > began - 60
    assert "the sweep passes over this one run" in caplog.text
    assert true_id(airflow.runs[57], receiver.url) not in receiver.ids


async def test_a_run_that_takes_airflow_too_long_does_not_hide_the_others(world: World) -> None:
    """A conf of a hundred megabytes keeps Airflow busy for longer than the relay waits."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs += [ended(receiver.url, number, ago=3 - number / 100) for number in range(30)]
    airflow.poisoned = {11: Response(status=0, then="hang")}
    relay = world.relay(airflow)
    assert relay._runs is not None
    relay._runs._timeout = 0.4
    await drain_until(relay, lambda: world.outbox.counts().get("delivered") == 29, seconds=30)


async def test_a_server_that_fails_over_every_run_is_down(world: World) -> None:
    """An empty list can be had, and that proves nothing: no run is passed over, and all are found once it is well."""
    receiver, airflow = world.receiver(), world.airflow()
    before = float(int(time.time())) - 100
    swept_to(world, before)
    airflow.runs += [ended(receiver.url, number, ago=50 - number) for number in range(20)]
    airflow.poisoned = {number: Response(status=500) for number in range(20)}
    report = await world.relay(airflow).drain(2)
    assert watermark(world) == before
    assert report.stuck == ("sweeping",)
    assert len(airflow.requests) < 40
    airflow.poisoned = {}
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 20)


async def test_however_many_runs_cannot_be_shown_the_sweep_gets_past_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rests after some, and goes on from there: whoever makes many of them only delays the others."""
    monkeypatch.setattr("ringback_notifier.relay._runs._MOST_PASSED_OVER", 3)
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs += [ended(receiver.url, number, ago=3 - number / 100) for number in range(12)]
    airflow.poisoned = {number: Response(status=500) for number in range(1, 11)}
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 2, seconds=30)


async def test_a_cursor_that_is_refused_is_left_alone(world: World) -> None:
    """After an upgrade of Airflow a kept cursor may mean nothing: the window is read from its start, by offset."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs += [ended(receiver.url, number, ago=3 - number / 100) for number in range(130)]
    now = time.time()
    window = Window(watermark=now - 10, since=now - 60, began=now - 9, place=Place(cursor="stale", offset=100))
    world.outbox.take_duty("sweep", "earlier", now=now, until=now + 1)
    world.outbox.set_duty_value("sweep", "earlier", write_window(window))
    world.outbox.leave_duty("sweep", "earlier")
    airflow.stale_cursors = {"stale"}
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 130)


@pytest.mark.parametrize("cursors", [True, False])
async def test_a_server_that_gives_fewer_rows_is_read_to_the_end(world: World, cursors: bool) -> None:
    """``[api] maximum_page_limit`` is the operator's: a short page is not the last."""
    receiver, airflow = world.receiver(), world.airflow(cursors=cursors)
    airflow.most = 20
    airflow.runs += [ended(receiver.url, number, ago=2 - number / 200) for number in range(130)]
    airflow.poisoned = {33: Response(status=500)}
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 129, seconds=30)


async def test_what_one_drain_has_read_the_next_does_not_read_again(world: World) -> None:
    """Drains that are too short for a window get through it all the same, one after the other."""
    receiver, airflow = world.receiver(), world.airflow()
    start = float(int(time.time())) - 10
    swept_to(world, start)
    airflow.runs += [ended(receiver.url, number, ago=8 - number / 100) for number in range(450)]
    airflow.delay = 0.5
    drains = 0
    while world.outbox.counts().get("delivered", 0) < 450:
        drains += 1
        assert drains < 12
        await world.relay(airflow, sweep_overlap=180.0).drain(1.6)
    assert drains > 1
    cursors = [sweep.query["cursor"][0] for sweep in airflow.sweeps() if "cursor" in sweep.query]
    assert cursors.count("") <= 3  # the window, and what followed it; not one for each drain


async def test_a_request_as_large_as_a_book_is_refused_and_the_rest_is_reported(world: World) -> None:
    """It is not even taken apart, so that it costs neither memory nor time."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs += [ended(receiver.url, number) for number in range(3)]
    airflow.runs[1].conf = {"callback": {"url": receiver.url, "events": [[]] * 100_000}, "book": [[]] * 100_000}
    report = await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 2)
    assert report.refused == 1
    (row,) = world.rows("refused")
    assert "bytes, which is more than any request has" in (world.attempts(row.event_id)[0].error or "")


async def test_after_days_the_sweep_goes_hour_by_hour(world: World) -> None:
    """A relay that was down for five hours reads windows of an hour, and stores how far it came."""
    receiver, airflow = world.receiver(), world.airflow()
    swept_to(world, time.time() - 5 * 3_600)
    runs = [ended(receiver.url, number, ago=number * 1_800 + 60) for number in range(10)]
    airflow.runs += runs

    def all_is_read() -> bool:
        # The last window's events may be delivered before the window is stored.
        return world.outbox.counts().get("delivered") == 10 and time.time() - (watermark(world) or 0) < 10

    await drain_until(world.relay(airflow), all_is_read)
    windows = [sweep.query for sweep in airflow.sweeps()]
    assert len(windows) >= 5
    starts = [query["updated_at_gte"][0] for query in windows[:5]]
    assert starts == sorted(starts)


async def test_the_first_sweep_looks_back_a_while(world: World) -> None:
    """What ended before the outbox existed is reported, within the look-back."""
    receiver, airflow = world.receiver(), world.airflow()
    young, old = ended(receiver.url, 1, ago=50), ended(receiver.url, 2, ago=200)
    airflow.runs += [young, old]
    await drain_until(world.relay(airflow, sweep_lookback=100.0), lambda: watermark(world) and receiver.requests)
    await asyncio.sleep(0.1)
    assert receiver.ids == [true_id(young, receiver.url)]


async def test_one_relay_sweeps_for_all(world: World) -> None:
    """While one holds the duty the other leaves Airflow alone; when it leaves, the other takes over."""
    receiver, first, second = world.receiver(), world.airflow(), world.airflow()
    stop_first, stop_second = asyncio.Event(), asyncio.Event()
    one = asyncio.create_task(world.relay(first).drain(30, stop=stop_first))
    await until(lambda: len(first.sweeps()) >= 2)
    two = asyncio.create_task(world.relay(second).drain(30, stop=stop_second))
    await asyncio.sleep(0.6)
    assert second.sweeps() == []
    stop_first.set()
    await one
    await until(lambda: second.sweeps())
    stop_second.set()
    await two
    assert receiver.requests == []


async def test_a_malformed_request_is_refused_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """However often the sweep sees it, it is logged and kept once, and the runs beside it are reported."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs += [ended(receiver.url, 1, conf={"callback": ["https://portal.example/"]}), ended(receiver.url, 2)]
    report = await drain_until(world.relay(airflow), lambda: receiver.requests and len(airflow.sweeps()) >= 4)
    assert report.refused == 1
    assert sum("run ext__1 of DAG" in line and "callback" in line for line in caplog.messages) == 1
    assert world.outbox.counts()["refused"] == 1


async def test_a_rerun_after_clearing_rings_again(world: World) -> None:
    """A new start_date makes another event."""
    receiver, airflow = world.receiver(), world.airflow()
    run = ended(receiver.url)
    airflow.runs.append(run)
    stop = asyncio.Event()
    draining = asyncio.create_task(world.relay(airflow).drain(30, stop=stop))
    await until(lambda: len(receiver.requests) == 1)
    run.start, run.end, run.updated_at = time.time() - 0.5, time.time() - 0.1, time.time()
    await until(lambda: len(receiver.requests) == 2)
    stop.set()
    await draining
    assert len(set(receiver.ids)) == 2


async def test_a_slow_api_delays_the_sweep_only(world: World) -> None:
    """Delivering goes on while Airflow takes its time."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.delay = 2.0
    world.enqueue(world.event(receiver.url))
    started = time.monotonic()
    await drain_until(world.relay(airflow), lambda: world.status(0) == "delivered")
    assert time.monotonic() - started < 4


async def test_an_answer_without_a_clock_is_no_sweep(world: World) -> None:
    """Without a Date header nothing is stored: a watermark that is too late would lose endings."""
    airflow = world.airflow()
    airflow._json = lambda status, value: Response(  # type: ignore[method-assign]
        status=status, headers={"content-type": "application/json"}, body=json.dumps(value).encode()
    )
    report = await drain_until(world.relay(airflow), lambda: len(airflow.requests) >= 3)
    assert watermark(world) is None
    assert "Date" in (report.last_error or "")


async def test_a_list_that_fails_altogether_keeps_the_watermark(world: World) -> None:
    """An outage is no reason to pass over anybody; and the first sweep looks back from when it was first tried."""
    receiver, airflow = world.receiver(), world.airflow()
    airflow.runs += [ended(receiver.url, number) for number in range(5)]
    broken = airflow._json(500, {"detail": "Internal Server Error"})
    airflow.trouble = lambda request: broken if "dags/~" in request.path else None
    report = await world.relay(airflow).drain(2)
    first = watermark(world)
    assert report.stuck == ("sweeping",)
    await world.relay(airflow).drain(1)
    assert watermark(world) == first
    airflow.trouble = lambda request: None
    await drain_until(world.relay(airflow), lambda: world.outbox.counts().get("delivered") == 5)


async def test_a_hint_that_leads_nowhere_is_not_waited_for(world: World) -> None:
    """Once a run has been over for a minute, the sweep reports it whether there is a hint or not."""
    receiver, airflow = world.receiver(), world.airflow()
    run = ended(receiver.url, ago=90.0, updated_at=time.time() - 1)
    airflow.runs.append(run)
    world.hint(run, receiver.url, due_at=time.time() + 3_600)
    await drain_until(world.relay(airflow), lambda: world.status(true_id(run, receiver.url)) == "delivered")
