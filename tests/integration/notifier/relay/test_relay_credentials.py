"""The account that a relay reads Airflow with, while it changes under a relay that runs for months."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from relay_servers import FakeAirflow, FakeRun
from relay_world import World, until

from ringback_notifier.relay._credentials import Credentials, Renewal
from ringback_notifier.relay._errors import RunsDenied
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._wiring import opened_relay

pytestmark = pytest.mark.anyio

KEY = ("sales", "ext__1")
OLD = Credentials(username="relay", password="hush")
NEW = Credentials(username="relay", password="changed")


class Connection:
    """Looks up the credentials that are true by now, and counts how often."""

    def __init__(self, now: Credentials | Exception) -> None:
        self.now = now
        self.look_ups = 0

    async def __call__(self) -> Credentials:
        self.look_ups += 1
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


def reading(airflow: FakeAirflow, credentials: Credentials, connection: Connection, **options: Any) -> RunsApi:
    airflow.runs.append(FakeRun(*KEY))
    return RunsApi(
        airflow.base,
        username=credentials.username,
        password=credentials.password,
        token=credentials.token,
        renew=Renewal(connection, **options),
    )


async def found(runs: RunsApi) -> bool:
    return KEY in (await runs.find([KEY], since=0.0)).runs


async def test_a_password_that_was_changed_is_looked_up_again(world: World) -> None:
    """In Airflow and in the connection: the relay goes on without a restart, and asks once."""
    airflow, connection = world.airflow(), Connection(OLD)
    runs = reading(airflow, OLD, connection)
    assert await found(runs)
    assert connection.look_ups == 0
    airflow.password, connection.now = "changed", NEW
    airflow.expire_tokens()
    assert await found(runs)
    assert await found(runs)
    assert connection.look_ups == 1
    await runs.aclose()


async def test_a_token_that_expired_is_looked_up_again(world: World) -> None:
    """Whoever gives a token and no login replaces it now and then."""
    airflow, connection = world.airflow(), Connection(Credentials(token="token7"))
    runs = reading(airflow, Credentials(token="token1"), connection)
    assert await found(runs)
    airflow.valid = 7
    assert await found(runs)
    assert connection.look_ups == 1
    await runs.aclose()


async def test_all_who_are_refused_at_the_same_time_share_one_look_up(world: World) -> None:
    """Each is asked again with what it found."""
    airflow, connection = world.airflow(), Connection(NEW)
    airflow.password = "changed"
    runs = reading(airflow, OLD, connection)
    assert await asyncio.gather(*(found(runs) for _ in range(8))) == [True] * 8
    assert connection.look_ups == 1
    await runs.aclose()


async def test_an_account_that_stays_refused_is_looked_up_now_and_then_only(world: World) -> None:
    """Every half minute, however often the relay tries; what it says holds no secret."""
    airflow, connection, clock = world.airflow(), Connection(OLD), [100.0]
    airflow.password = "changed"
    runs = reading(airflow, OLD, connection, clock=lambda: clock[0])
    for moment, look_ups in ((100.0, 1), (110.0, 1), (129.9, 1), (130.1, 2), (131.0, 2)):
        clock[0] = moment
        with pytest.raises(RunsDenied, match="refuses the credentials of user 'relay'") as caught:
            await found(runs)
        assert "hush" not in str(caught.value)
        assert connection.look_ups == look_ups
    connection.now, clock[0] = NEW, 200.0
    assert await found(runs)
    await runs.aclose()


@pytest.mark.parametrize("failure", [RuntimeError("postgres://ringback:s3cret@db"), asyncio.TimeoutError()])
async def test_a_look_up_that_fails_leaves_the_refusal_as_it_was(
    world: World, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    """The log says once that it failed, and repeats nothing that might be a secret."""
    airflow, connection, clock = world.airflow(), Connection(failure), [0.0]
    airflow.password = "changed"
    runs = reading(airflow, OLD, connection, clock=lambda: clock[0])
    for _ in range(3):
        clock[0] += 60
        with pytest.raises(RunsDenied, match="refuses the credentials"):
            await found(runs)
    assert connection.look_ups == 3
    assert sum("cannot be looked up" in line for line in caplog.messages) == 1
    assert "s3cret" not in caplog.text
    await runs.aclose()


def test_credentials_are_not_shown() -> None:
    """Neither password nor token is in a repr that a traceback may print."""
    shown = repr(Credentials(username="relay", password="hush")) + repr(Credentials(token="hush"))
    assert "relay" in shown
    assert "hush" not in shown


@pytest.fixture
def configured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", world.url)
    monkeypatch.setenv("AIRFLOW__RINGBACK__SWEEP_INTERVAL", "0.2")
    monkeypatch.setenv("AIRFLOW__RINGBACK__CALLBACK_GRACE", "0")


def connection_to(address: str, password: str) -> Any:
    return SimpleNamespace(host=address, schema=None, port=None, login="relay", password=password, extra=None)


@pytest.mark.usefixtures("configured")
async def test_a_relay_goes_on_when_its_accounts_password_is_changed(world: World) -> None:
    """What ends after the change is reported by the relay that started before it."""
    receiver, airflow = world.receiver(), world.airflow()
    now = connection_to(airflow.base, "hush")

    async def connection(conn_id: str) -> Any:
        return now

    stop = asyncio.Event()
    async with opened_relay("process", connection=connection, destination=world.destination) as relay:
        draining = asyncio.create_task(relay.drain(60, stop=stop))
        await until(lambda: airflow.sweeps())
        airflow.password, now = "changed", connection_to(airflow.base, "changed")
        airflow.expire_tokens()
        conf, moment = {"callback": {"url": receiver.url}}, time.time()
        airflow.runs.append(FakeRun(*KEY, conf=conf, start=moment, end=moment, updated_at=moment))
        await until(lambda: receiver.requests, seconds=20)
        stop.set()
        await draining


@pytest.mark.usefixtures("configured")
async def test_a_new_password_is_not_sent_to_an_old_address(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that names another server by now is for a relay that is started anew; the log says so."""
    airflow, elsewhere = world.airflow(), world.airflow()
    airflow.password = "nobody knows"
    now = connection_to(airflow.base, "hush")

    async def connection(conn_id: str) -> Any:
        return now

    stop = asyncio.Event()
    async with opened_relay("process", connection=connection, destination=world.destination) as relay:
        now = connection_to(elsewhere.base, "s3cret")
        draining = asyncio.create_task(relay.drain(60, stop=stop))
        await until(lambda: any("restart the relay" in line for line in caplog.messages), seconds=20)
        stop.set()
        await draining
    assert all(b"s3cret" not in request.body for request in airflow.requests)
    assert elsewhere.requests == []
