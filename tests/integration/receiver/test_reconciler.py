"""Callbacks that never come: Airflow is asked, by one replica, politely."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, make_event, signed, until
from runs_server import RunsServer

from ringback_protocol import PrivateKey
from ringback_receiver import (
    AsyncAirflowClient,
    Completion,
    CompletionTimeout,
    Receiver,
    RequestAbandoned,
    RunHandle,
    TriggerUnconfirmed,
)
from ringback_receiver._store_url import store_from_url

pytestmark = pytest.mark.anyio

HOST = "https://airflow.example"
NewReceiver = Callable[..., Receiver]


@pytest.fixture
def server() -> RunsServer:
    return RunsServer()


@pytest.fixture
async def client(server: RunsServer) -> AsyncIterator[AsyncAirflowClient]:
    """A client of that server, whose triggers get through, too."""
    async with AsyncAirflowClient(HOST, token="t0k3n", transport=server.transport()) as client:
        yield client


in_both = pytest.mark.parametrize("store_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file's, unless a test wants it of both kinds."""
    if getattr(request, "param", "sqlite") == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/ringback.db"


@pytest.fixture
def new_receiver(store_url: str, key: PrivateKey, client: AsyncAirflowClient) -> NewReceiver:
    """Return a way to make replicas: of one store, one URL, one Airflow; they ask after a fifth of a second."""

    def make(**options: Any) -> Receiver:
        return Receiver(
            URL,
            str(key.public()),
            store=store_url,
            **{"airflow": client, "reconcile": (0.2, 0.2), **options},
        )

    return make


async def test_lost_callback_is_made_good(new_receiver: NewReceiver, server: RunsServer, key: PrivateKey) -> None:
    """The waiter and the handler get what Airflow says; the callback that comes after all is a duplicate."""
    handled: list[Completion] = []
    async with new_receiver() as receiver:
        receiver.on_completion(handled.append, name="note")
        run = await receiver.trigger("sales", metadata={"order": 7})
        server.end("failed")
        completion = await run.completion(timeout=10)
        assert (completion.state, completion.reported_by, completion.metadata) == ("failed", "reconciler", {"order": 7})
        assert completion.run_url == f"{HOST}/dags/sales/runs/{run.run_id}"
        await until(lambda: len(handled) == 1)
        started = datetime.fromisoformat("2026-07-02T12:00:00.000001+00:00")
        event = make_event(run.request_id, run.run_id, state="failed", start_date=started)
        answer = await receiver.handle(*signed(event, key))
        assert (answer.status, answer.outcome, event.id) == (204, "duplicate", completion.event_id)
        rerun = make_event(run.request_id, run.run_id)
        assert (await receiver.handle(*signed(rerun, key))).outcome == "revised"
        assert await run.completion(timeout=0) == completion


async def test_run_that_goes_on_stays_pending_and_is_asked_about_seldom(
    new_receiver: NewReceiver, server: RunsServer
) -> None:
    """The pauses are those of the schedule."""
    async with new_receiver(reconcile=(0.1, 0.3, 60)) as receiver:
        run = await receiver.trigger("sales")
        await until(lambda: len(server.lists) >= 2)
        with pytest.raises(CompletionTimeout):
            await run.completion(timeout=1.0)
    assert len(server.lists) == 2


async def test_expected_duration_comes_before_the_schedule(new_receiver: NewReceiver, server: RunsServer) -> None:
    """A run that should take a minute is not asked about after a fifth of a second."""
    async with new_receiver() as receiver:
        await receiver.trigger("sales", expected_duration=60)
        quick = await receiver.trigger("sales", expected_duration=0.1)
        server.end()
        await quick.completion(timeout=10)
        await asyncio.sleep(0.5)
    assert set(server.lists) == {quick.run_id}


async def test_deleted_run_is_said_to_be(new_receiver: NewReceiver, server: RunsServer) -> None:
    """It failed as far as the caller is concerned, and says why."""
    async with new_receiver() as receiver:
        run = await receiver.trigger("sales")
        server.runs.clear()
        completion = await run.completion(timeout=10)
    assert (completion.deleted, completion.failed, completion.reason) == (True, True, "deleted")


async def lost(*_: object, **__: object) -> None:
    raise OSError("the line is dead")


async def test_run_that_was_seen_and_vanished_is_deleted(
    new_receiver: NewReceiver, server: RunsServer, client: AsyncAirflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trigger was never confirmed, but a check was."""
    async with new_receiver() as receiver:
        monkeypatch.setattr(client, "trigger", lost)
        server.add("nightly_7")
        with pytest.raises(TriggerUnconfirmed) as caught:
            await receiver.trigger("sales", run_id="nightly_7")
        await until(lambda: len(server.lists) >= 2)
        server.runs.clear()
        assert (await caught.value.handle.completion(timeout=10)).deleted


async def test_run_that_never_was_is_abandoned(
    new_receiver: NewReceiver, client: AsyncAirflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trigger was lost; whoever waits is told, and is not told that it was deleted."""
    async with new_receiver() as receiver:
        monkeypatch.setattr(client, "trigger", lost)
        with pytest.raises(TriggerUnconfirmed) as caught:
            await receiver.trigger("sales")
        with pytest.raises(RequestAbandoned, match="knows no such run"):
            await caught.value.handle.completion(timeout=10)


@pytest.mark.parametrize("status", [503, 404, 401])
async def test_outage_resolves_nothing_and_is_survived(
    new_receiver: NewReceiver, server: RunsServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is deleted meanwhile, one line is logged, and when Airflow is back the run is found."""
    async with new_receiver() as receiver:
        run = await receiver.trigger("sales")
        server.end()
        server.outage = status
        with pytest.raises(CompletionTimeout):
            await run.completion(timeout=1.0)
        server.outage = None
        assert (await run.completion(timeout=10)).succeeded
    assert caplog.text.count("cannot ask Airflow about 1 runs") == 1


async def test_bad_runs_do_not_hide_the_others(new_receiver: NewReceiver, server: RunsServer) -> None:
    """One that Airflow cannot show, one that cannot be read, one whose conf is a book: the rest is resolved."""
    async with new_receiver() as receiver:
        runs = [await receiver.trigger("sales") for _ in range(10)]
        server.end()
        server.poison = {runs[0].run_id}
        server.add(runs[1].run_id, "success", start_date="yesterday")
        server.add(runs[2].run_id, "success", conf={"book": "x" * 6_000_000})
        completions = await asyncio.gather(*(run.completion(timeout=10) for run in runs[3:]))
        assert len(completions) == 7
        for run in runs[:3]:
            with pytest.raises(CompletionTimeout):
                await run.completion(timeout=0)
        server.poison.clear()
        server.end()
        for run in runs[:3]:
            assert (await run.completion(timeout=10)).succeeded


@dataclass
class Replica:
    """A receiver with a line to Airflow of its own."""

    server: RunsServer
    receiver: Receiver
    close: Callable[[], Awaitable[None]]


@asynccontextmanager
async def three_replicas(new_receiver: NewReceiver) -> AsyncIterator[list[Replica]]:
    """Open receivers that share a store, and Airflow's runs."""
    replicas: list[Replica] = []
    async with AsyncExitStack() as every:
        for _ in range(3):
            stack = await every.enter_async_context(AsyncExitStack())
            server = RunsServer()
            server.runs = replicas[0].server.runs if replicas else server.runs
            client = AsyncAirflowClient(HOST, token="t0k3n", transport=server.transport())
            await stack.enter_async_context(client)
            receiver = await stack.enter_async_context(new_receiver(airflow=client, reconcile=(0.1,)))
            replicas.append(Replica(server, receiver, stack.aclose))
        yield replicas


@in_both
async def test_replicas_do_not_all_ask(new_receiver: NewReceiver) -> None:
    """One does; when it closes another goes on; and whoever waits is woken wherever he is."""
    async with three_replicas(new_receiver) as replicas:
        run = await replicas[0].receiver.trigger("sales")
        await until(lambda: sum(len(replica.server.lists) for replica in replicas) >= 4)
        (asking,) = [replica for replica in replicas if replica.server.lists]
        await asking.close()
        asked = len(asking.server.lists)
        replicas.remove(asking)
        await until(lambda: sum(len(replica.server.lists) for replica in replicas) >= 4)
        (asking,) = [replica for replica in replicas if replica.server.lists]
        replicas.remove(asking)
        elsewhere = await replicas[0].receiver.request(run.request_id)
        asking.server.end()
        assert (await elsewhere.completion(timeout=10)).reported_by == "reconciler"
        assert asked >= 4
        assert replicas[0].server.lists == []


@in_both
async def test_replica_that_was_killed_is_replaced_when_its_lease_ends(
    new_receiver: NewReceiver, server: RunsServer, store_url: str
) -> None:
    """Not before: it may only be slow."""
    store = store_from_url(store_url)
    await store.open()
    now = time.time()
    assert await store.hold_lease(f"reconciler {URL}", holder="dead", now=now, until=now + 1.0)
    async with new_receiver() as receiver:
        run = await receiver.trigger("sales")
        server.end()
        assert (await run.completion(timeout=10)).succeeded
    await store.close()
    assert time.time() >= now + 1.0


async def test_replica_whose_line_is_dead_leaves_it_to_another(new_receiver: NewReceiver) -> None:
    """The trouble may be its own."""
    async with three_replicas(new_receiver) as replicas:
        run = await replicas[2].receiver.trigger("sales")
        for replica in replicas[:2]:
            replica.server.outage = 503
        replicas[2].server.end()
        assert (await run.completion(timeout=10)).succeeded


async def test_receiver_for_another_url_leaves_them_alone(
    new_receiver: NewReceiver, server: RunsServer, tmp_path: Path, key: PrivateKey
) -> None:
    """Two services may share a store, each with an Airflow of its own."""
    stranger = RunsServer()
    async with (
        AsyncAirflowClient("https://other.example", token="t0k3n", transport=stranger.transport()) as client,
        Receiver(
            "https://other.example/ring",
            str(key.public()),
            client,
            f"sqlite:///{tmp_path}/ringback.db",
            reconcile=(0.1,),
        ),
        new_receiver() as receiver,
    ):
        run = await receiver.trigger("sales")
        server.end()
        assert (await run.completion(timeout=10)).succeeded
    assert stranger.lists == stranger.singles == []


async def test_receiver_that_shall_not_reconcile_asks_nobody(new_receiver: NewReceiver, server: RunsServer) -> None:
    """An empty schedule switches it off."""
    async with new_receiver(reconcile=()) as receiver:
        run = await receiver.trigger("sales", expected_duration=0.1)
        server.end()
        with pytest.raises(CompletionTimeout):
            await run.completion(timeout=0.5)
    assert server.lists == []


async def test_deadline_holds_for_the_reconciler_too(new_receiver: NewReceiver, server: RunsServer) -> None:
    """What has expired is not asked about."""
    ahead = 0.0
    async with new_receiver(reconcile=(60,), clock=lambda: time.time() + ahead) as receiver:
        run = await receiver.trigger("sales", deadline=50)
        server.end()
        ahead = 100.0
        with pytest.raises(CompletionTimeout, match="has expired"):
            await run.completion(timeout=10)
        await asyncio.sleep(0.2)
    assert server.lists == []


async def test_airflow_that_calls_itself_otherwise_is_noticed_once(
    new_receiver: NewReceiver, key: PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Its ids would not be ours; with source= they are."""
    event = make_event("req_unknown", "run_1")
    for source, warnings in ((None, 0), ("https://elsewhere.example", 1)):
        caplog.clear()
        async with new_receiver(source=source) as receiver:
            for _ in range(2):
                await receiver.handle(*signed(event, key))
        assert caplog.text.count("give the receiver source='https://airflow.example'") == warnings


async def test_a_thousand_lost_callbacks_are_made_good(new_receiver: NewReceiver, server: RunsServer) -> None:
    """Nobody listens at the callback URL: every request is resolved, by a handful of requests to a real server."""
    count, ahead = 1_000, 0.0
    async with (
        server.on_air() as url,
        AsyncAirflowClient(url, token="t0k3n", trust_env=False) as client,
        new_receiver(airflow=client, reconcile=(60,), clock=lambda: time.time() + ahead) as receiver,
    ):
        begun = asyncio.Semaphore(32)

        async def trigger(number: int) -> RunHandle:
            async with begun:
                return await receiver.trigger("sales" if number % 2 else "stock", metadata=number)

        runs = await asyncio.gather(*(trigger(number) for number in range(count)))
        for number, (dag_id, run_id) in enumerate(list(server.runs)):
            server.add(run_id, "success" if number % 3 else "failed", dag_id=dag_id)
        assert server.lists == []
        ahead = 60.0  # a minute later
        completions = await asyncio.gather(*(run.completion(timeout=60) for run in runs))
        states = {run["dag_run_id"]: run["state"] for run in server.runs.values()}
    assert [completion.metadata for completion in completions] == list(range(count))
    assert all(completion.state == states[completion.run_id] for completion in completions)
    assert {completion.reported_by for completion in completions} == {"reconciler"}
    assert (len(server.lists), server.singles) == (10, [])


async def test_request_that_cannot_be_settled_holds_up_nobody(
    new_receiver: NewReceiver, server: RunsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The store fails over one ending: it is put off and logged, and the other is resolved."""
    from ringback_receiver._opened import Opened

    really, unreadable = Opened.record, set()

    async def record(opened: Opened, event: Any, body: bytes, **options: Any) -> Any:
        if event.data.run_id in unreadable:
            raise ValueError("its metadata cannot be read")
        return await really(opened, event, body, **options)

    monkeypatch.setattr(Opened, "record", record)
    async with new_receiver() as receiver:
        bad, good = await receiver.trigger("sales"), await receiver.trigger("sales")
        unreadable.add(bad.run_id)
        server.end()
        assert (await good.completion(timeout=10)).succeeded
        await until(lambda: sum(bad.run_id in asked for asked in server.lists) >= 2)
    assert f"request {bad.request_id}: ValueError: its metadata cannot be read" in caplog.text


async def test_ending_that_is_known_already_is_not_asked_about_without_end(
    new_receiver: NewReceiver, server: RunsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It resolved another request for the same run: this one is asked about as seldom as any other."""
    from ringback_receiver._matching import Transition
    from ringback_receiver._opened import Opened

    async def record(*_: Any, **__: Any) -> Transition:
        return Transition.DUPLICATE

    monkeypatch.setattr(Opened, "record", record)
    async with new_receiver(reconcile=(0.1, 60)) as receiver:
        await receiver.trigger("sales")
        server.end()
        await asyncio.sleep(1.5)
    assert len(server.lists) == 1
