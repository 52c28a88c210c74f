"""A receiver that asks Airflow for the keys: the plugin's endpoint and hostile ones, on real servers."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from demo.local_airflow import free_port
from demo.serving import serving_app
from ringback_notifier import _key_cache, _key_endpoint
from ringback_notifier._key_endpoint import KeyEndpoint
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event, event_id, sign
from ringback_receiver import AirflowUsageError, Answer, ConfigurationError, Discover, Receiver

pytestmark = pytest.mark.anyio

URL = "https://portal.example/airflow/completions"
OLD, NEW = PrivateKey.generate(), PrivateKey.generate()
STARTED = datetime(2026, 7, 2, 12, tzinfo=timezone.utc)
KNOWN = 202
"""The answer to an event that is believed, and that nobody waits for."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Airflow:
    """An API server with the plugin's endpoint, or with whatever else a test puts there."""

    port: int = field(default_factory=free_port)
    keys: list[PrivateKey] = field(default_factory=lambda: [OLD])
    requests: int = 0
    script: Callable[[Any], Awaitable[None]] | None = None
    names: list[str] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    """What came as ``If-None-Match``."""
    elsewhere: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def look_up(self, name: str) -> tuple[str, ...]:
        self.names.append(name)
        return tuple(str(key.public()) for key in self.keys)

    def _placing(self, send: Any) -> Any:
        """Put the address of another server into a redirect."""

        async def placing(message: Any) -> None:
            headers = message.get("headers", [])
            place = self.elsewhere.encode()
            await send(
                {**message, "headers": [(name, value.replace(b"{elsewhere}", place)) for name, value in headers]}
            )

        return placing

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        published = KeyEndpoint(["default", "portal", "other"], self.look_up)
        endpoint = Starlette(routes=[Mount(_key_endpoint.PREFIX, published)])

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.requests += 1
                self.heard.append(dict(scope["headers"]).get(b"if-none-match", b""))
                if self.script is not None:
                    await self.script(self._placing(send))
                    return
            await endpoint(scope, receive, send)

        async with serving_app(counted, self.port):
            yield


@pytest.fixture
async def airflow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Airflow]:
    """A running one, whose answers are old at once."""
    monkeypatch.setattr(_key_endpoint, "MAX_AGE", 0)
    monkeypatch.setattr(_key_cache, "KEPT", 0.0)
    made = Airflow()
    async with made.up():
        yield made


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


Opener = Callable[..., Awaitable[Receiver]]


@pytest.fixture
def open_receiver(stack: AsyncExitStack, tmp_path: Path) -> Opener:
    async def opener(keys: Discover, **settings: Any) -> Receiver:
        receiver = Receiver(URL, keys, store=f"sqlite:///{tmp_path}/ringback.db", **settings)
        return await stack.enter_async_context(receiver)

    return opener


async def ring(receiver: Receiver, *keys: PrivateKey, run_id: str = "run_1", **changes: Any) -> Answer:
    """Hand over an event that these keys signed."""
    id_ = event_id(source="s", dag_id="sales", run_id=run_id, start_date=STARTED, state="success", callback_url=URL)
    data = CompletionData(dag_id="sales", run_id=run_id, state="success", start_date=STARTED, reported_by="task")
    body = encode_event(CompletionEvent.of(data, id=id_, source="s", audience=URL, correlationid=None, time=STARTED))
    headers = sign(id_, body, keys=keys, timestamp=changes.get("timestamp", int(time.time())))
    return await receiver.handle(headers, body)


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.02)


def answering(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Callable[[Any], Awaitable[None]]:
    """Return a script that gives one answer."""

    async def script(send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return script


# --- the plugin's endpoint ------------------------------------------------------------------------


async def test_an_event_is_believed_without_any_key_in_the_settings(airflow: Airflow, open_receiver: Opener) -> None:
    """The first one waits for the keys, if they are not there yet; a stranger's is refused."""
    receiver = await open_receiver(Discover(airflow.url))
    assert (await ring(receiver, OLD)).status == KNOWN
    assert (await ring(receiver, NEW)).outcome == "bad_signature"
    assert set(airflow.names) == {"default"}


@pytest.mark.parametrize(("own", "receivers", "asked"), [(None, "portal", "portal"), ("other", "portal", "other")])
async def test_the_receivers_own_destination_is_asked_for(
    airflow: Airflow, open_receiver: Opener, own: str | None, receivers: str, asked: str
) -> None:
    """Unless another is named."""
    receiver = await open_receiver(Discover(airflow.url, own), destination=receivers)
    assert (await ring(receiver, OLD)).status == KNOWN
    assert set(airflow.names) == {asked}


async def test_a_known_key_costs_no_request(airflow: Airflow, open_receiver: Opener) -> None:
    """Nor does an event that is wrong in another way."""
    receiver = await open_receiver(Discover(airflow.url, interval=3_600))
    await ring(receiver, OLD)
    for number in range(50):
        assert (await ring(receiver, OLD, run_id=f"run_{number}")).status in (KNOWN, 204)
        assert (await ring(receiver, NEW, timestamp=1)).outcome == "timestamp_too_old"
    assert airflow.requests == 1


async def test_a_new_key_is_found_by_its_first_event(
    airflow: Airflow, open_receiver: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many such events at once are one request, and none of them is refused."""
    monkeypatch.setattr(_key_endpoint, "MAX_AGE", 300)
    receiver = await open_receiver(Discover(airflow.url, interval=0.2))
    await ring(receiver, OLD, run_id="run_before")
    await asyncio.sleep(0.25)
    airflow.keys = [NEW, OLD]
    before = airflow.requests
    answers = await asyncio.gather(*(ring(receiver, NEW, run_id=f"run_{number}") for number in range(30)))
    assert [answer.status for answer in answers] == [KNOWN] * 30
    assert airflow.requests - before == 1


async def test_strangers_cannot_make_the_receiver_ask_often(airflow: Airflow, open_receiver: Opener) -> None:
    """However many bad signatures come in, the interval holds."""
    receiver = await open_receiver(Discover(airflow.url, interval=0.5))
    await ring(receiver, OLD)
    started, before = time.monotonic(), airflow.requests
    while time.monotonic() - started < 2.0:
        assert (await ring(receiver, NEW)).outcome == "bad_signature"
        await asyncio.sleep(0.005)
    assert 1 <= airflow.requests - before <= (time.monotonic() - started) / 0.5 + 1


@asynccontextmanager
async def silence(airflow: Airflow) -> AsyncIterator[None]:
    """Have Airflow say nothing for a while."""
    over = asyncio.Event()

    async def silent(send: Any) -> None:
        await over.wait()

    airflow.script = silent
    try:
        yield
    finally:
        airflow.script = None
        over.set()


async def test_strangers_cannot_have_more_held_than_may_wait(airflow: Airflow, open_receiver: Opener) -> None:
    """While Airflow is silent, so many wait for its answer; the others are judged by the keys that are known."""
    receiver = await open_receiver(Discover(airflow.url, interval=0.05, timeout=30), max_waiting=5)
    await ring(receiver, OLD)
    async with silence(airflow):
        await asyncio.sleep(0.1)
        flood = [asyncio.create_task(ring(receiver, NEW, run_id=f"run_{number}")) for number in range(100)]
        done, held = await asyncio.wait(flood, timeout=0.5)
        assert {task.result().outcome for task in done} == {"bad_signature"}
        assert len(held) == 5
        assert (await ring(receiver, OLD, run_id="run_known")).status == KNOWN
        for task in list(held)[:2]:  # who hangs up leaves his place
            task.cancel()
        more = [asyncio.create_task(ring(receiver, NEW, run_id=f"run_more_{number}")) for number in range(10)]
        done, still = await asyncio.wait(more, timeout=0.5)
        assert (len(done), len(still)) == (8, 2)
    await asyncio.gather(*held, *still, return_exceptions=True)


async def test_without_keys_too_many_are_told_to_come_again(airflow: Airflow, open_receiver: Opener) -> None:
    """They may be right: nobody can tell yet."""
    async with silence(airflow):
        receiver = await open_receiver(Discover(airflow.url, timeout=30), max_waiting=3)
        flood = [asyncio.create_task(ring(receiver, OLD, run_id=f"run_{number}")) for number in range(20)]
        done, held = await asyncio.wait(flood, timeout=0.5)
        assert {(task.result().status, task.result().outcome) for task in done} == {(503, "keys_unavailable")}
        assert len(held) == 3
    await asyncio.gather(*held)


async def test_a_withdrawn_key_is_forgotten_without_any_event(airflow: Airflow, open_receiver: Opener) -> None:
    """The keys are asked for again when they are old, so a stolen key that was removed opens nothing."""
    airflow.keys = [NEW, OLD]
    receiver = await open_receiver(Discover(airflow.url, interval=0.05))
    assert (await ring(receiver, OLD)).status == KNOWN
    airflow.keys = [NEW]

    async def refused() -> bool:
        return (await ring(receiver, OLD)).outcome == "bad_signature"

    await eventually(refused)
    assert (await ring(receiver, NEW, run_id="run_2")).status == KNOWN
    airflow.keys = []  # the connection is deleted

    async def closed() -> bool:
        return (await ring(receiver, NEW, run_id="run_3")).outcome == "keys_unavailable"

    await eventually(closed)


async def test_keys_that_did_not_change_are_not_sent_again(airflow: Airflow, open_receiver: Opener) -> None:
    """The endpoint says 304, and what is known goes on being trusted."""
    receiver = await open_receiver(Discover(airflow.url, interval=0.05))

    async def asked_often() -> bool:
        return airflow.requests > 5

    await eventually(asked_often)
    assert (await ring(receiver, OLD)).status == KNOWN


ETAGS = {
    '"1"': True,
    'W/"1"': True,
    '""': True,
    '"\xe9"': False,
    '"a b"': False,
    "1": False,
    '"': False,
    '"a", "b"': False,
}


@pytest.mark.parametrize("etag", ETAGS)
async def test_only_a_proper_entity_tag_is_repeated(airflow: Airflow, open_receiver: Opener, etag: str) -> None:
    """Anything else is left out, and the next question is asked all the same."""
    asked: list[bytes] = []
    body = json.dumps({"destination": "default", "keys": [{"key": str(OLD.public()), "valid_for": 60}]}).encode()
    headers = [(b"cache-control", b"max-age=0"), (b"etag", etag.encode("latin-1"))]
    airflow.script = answering(200, body, *headers)
    airflow.heard = asked
    receiver = await open_receiver(Discover(airflow.url, interval=0.05))

    async def asked_often() -> bool:
        return len(asked) > 3

    await eventually(asked_often, within=5)
    assert asked[0] == b""
    assert set(asked[1:]) == {etag.encode("latin-1") if ETAGS[etag] else b""}
    assert (await ring(receiver, OLD)).status == KNOWN


async def test_airflow_is_asked_again_when_it_says(airflow: Airflow, open_receiver: Opener) -> None:
    """Not ever more rarely, as after other failures: a receiver that starts during an outage has no time for that."""
    airflow.script = answering(503, b'{"error": "unavailable"}', (b"retry-after", b"0"))
    await open_receiver(Discover(airflow.url, interval=0.05))

    async def asked_often() -> bool:
        return airflow.requests > 10

    await eventually(asked_often, within=5.0)


@pytest.mark.parametrize(("says", "is_obeyed"), [(b"3600", True), (b"Fri, 31 Dec 2099 23:59:59 GMT", False)])
async def test_airflow_is_left_alone_when_it_says(
    airflow: Airflow, open_receiver: Opener, says: bytes, is_obeyed: bool
) -> None:
    """Whatever events by unknown keys come in; a date says nothing to whoever has another clock."""
    airflow.script = answering(503, b'{"error": "unavailable"}', (b"retry-after", says))
    receiver = await open_receiver(Discover(airflow.url, interval=0.05))
    started = time.monotonic()
    while time.monotonic() - started < 0.5:
        assert (await ring(receiver, OLD)).outcome == "keys_unavailable"
        await asyncio.sleep(0.01)
    assert (airflow.requests == 1) is is_obeyed


# --- trouble --------------------------------------------------------------------------------------


async def test_a_start_without_airflow_makes_the_sender_wait(open_receiver: Opener) -> None:
    """The receiver opens at once, answers 503 with Retry-After, and believes as soon as the keys are there."""
    airflow = Airflow()
    started = time.monotonic()
    receiver = await open_receiver(Discover(airflow.url, interval=0.1))
    assert time.monotonic() - started < 2.0
    answer = await ring(receiver, OLD)
    assert (answer.status, answer.outcome, answer.headers["retry-after"]) == (503, "keys_unavailable", "5")
    async with airflow.up():

        async def believed() -> bool:
            return (await ring(receiver, OLD)).status == KNOWN

        await eventually(believed)


def evil(*keys: str, **changes: Any) -> bytes:
    """Return an answer that is right, but for what a test puts into it."""
    answer = {"destination": "default", "keys": [{"key": key, "valid_for": 60} for key in keys], **changes}
    return json.dumps(answer).encode()


async def _silent(send: Any) -> None:
    await asyncio.sleep(1)


async def _dribbling(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(10):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.1)


NEWS = str(NEW.public())
HOSTILE = {
    "broken": answering(500, b"oops"),
    "unavailable": answering(503, b'{"error": "unavailable"}'),
    "no such page": answering(404, b"<html>no such page</html>"),
    "no such path": answering(404, b'{"error": "not_found"}'),
    "a page": answering(200, b"<!doctype html><title>Airflow</title>"),
    "nothing": answering(200, b""),
    "nested": answering(200, b"[" * 30_000),
    "huge": answering(200, evil(NEWS) + b" " * 200_000),
    "compressed": answering(200, gzip.compress(evil(NEWS)), (b"content-encoding", b"gzip")),
    "no keys": answering(200, evil()),
    "too many keys": answering(200, evil(*[NEWS] * 17)),
    "another destination's": answering(200, evil(NEWS, destination="other")),
    "a malformed key among them": answering(200, evil(NEWS, "whpk_short")),
    "a key of small order": answering(200, evil("whpk_" + "A" * 43 + "=")),
    "a shared secret": answering(200, evil("whsec_" + "A" * 32)),
    "a private key": answering(200, evil(NEW.reveal())),
    "trusted for no time": answering(
        200, json.dumps({"destination": "default", "keys": [{"key": NEWS, "valid_for": 0}]}).encode()
    ),
    "redirect": answering(302, evil(NEWS), (b"location", b"{elsewhere}")),
    "permanent redirect": answering(308, evil(NEWS), (b"location", b"{elsewhere}")),
    "silence": _silent,
    "a byte now and then": _dribbling,
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_what_is_not_right_is_not_believed(
    airflow: Airflow, open_receiver: Opener, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """The known keys stay in use, nobody else's are taken, and the log says so once."""
    elsewhere = Airflow(keys=[NEW])
    async with elsewhere.up():
        receiver = await open_receiver(Discover(airflow.url, interval=0.05, timeout=0.3))
        assert (await ring(receiver, OLD)).status == KNOWN
        before = airflow.requests
        airflow.script, airflow.elsewhere = HOSTILE[what], f"{elsewhere.url}/ringback/keys/default"

        async def asked() -> bool:
            return airflow.requests >= before + 3

        await eventually(asked)
        assert {(await ring(receiver, NEW)).outcome for _ in range(3)} == {"bad_signature"}
        assert (await ring(receiver, OLD, run_id="run_2")).status == KNOWN
        lines = [line for line in caplog.messages if line.startswith("keys cannot be had")]
        assert len(lines) == 1
        assert "going on with the 1 known" in lines[0]
        assert elsewhere.requests == 0
        airflow.script, airflow.keys = None, [NEW]

        async def better() -> bool:
            return (await ring(receiver, NEW, run_id="run_3")).status == KNOWN

        await eventually(better)


async def test_not_changed_says_nothing_to_whoever_knows_nothing(airflow: Airflow, open_receiver: Opener) -> None:
    """A 304 that nobody asked for is no answer."""
    airflow.script = answering(304, b"")
    receiver = await open_receiver(Discover(airflow.url))
    assert (await ring(receiver, OLD)).outcome == "keys_unavailable"


async def test_the_log_speaks_once_per_outage(open_receiver: Opener, caplog: pytest.LogCaptureFixture) -> None:
    """However long it is; and once when it is over."""
    caplog.set_level(logging.INFO, "ringback_receiver")
    airflow = Airflow()
    receiver = await open_receiver(Discover(airflow.url, interval=0.05))
    await ring(receiver, OLD)
    await asyncio.sleep(0.5)
    async with airflow.up():

        async def believed() -> bool:
            return (await ring(receiver, OLD)).status == KNOWN

        await eventually(believed)
    said = [record.levelname for record in caplog.records if record.getMessage().startswith("keys ")]
    assert said == ["WARNING", "INFO"]


async def test_the_log_says_that_there_are_no_keys(
    airflow: Airflow, open_receiver: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    """A destination that has none, from the start: as an error, once."""
    airflow.keys = []
    receiver = await open_receiver(Discover(airflow.url, interval=0.05))

    async def asked_often() -> bool:
        return (await ring(receiver, OLD)).outcome == "keys_unavailable" and airflow.requests > 3

    await eventually(asked_often)
    said = [record for record in caplog.records if record.getMessage().startswith("keys ")]
    assert [(record.levelname, "publishes none" in record.getMessage()) for record in said] == [("ERROR", True)]


async def test_proxies_of_the_environment_are_ignored(
    airflow: Airflow, open_receiver: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets a variable does not decide whom the receiver trusts."""
    evil_proxy = Airflow(keys=[NEW])
    async with evil_proxy.up():
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, evil_proxy.url)
        receiver = await open_receiver(Discover(airflow.url))
        assert (await ring(receiver, OLD)).status == KNOWN
        assert evil_proxy.requests == 0


async def test_closing_ends_what_is_under_way(airflow: Airflow, tmp_path: Path) -> None:
    """A receiver that closes while Airflow is silent does not wait for it, and can be opened again."""
    airflow.script = _silent
    receiver = Receiver(URL, Discover(airflow.url, timeout=30), store=f"sqlite:///{tmp_path}/ringback.db")
    started = time.monotonic()
    async with receiver:
        await asyncio.sleep(0.05)
    assert time.monotonic() - started < 2.0
    airflow.script = None
    await asyncio.sleep(0)
    async with receiver:
        await asyncio.sleep(0.05)
    assert all("ringback-keys" not in task.get_name() for task in asyncio.all_tasks())


async def test_one_discover_serves_one_receiver(airflow: Airflow, open_receiver: Opener) -> None:
    """Two would share its tasks and its destination."""
    keys = Discover(airflow.url)
    await open_receiver(keys)
    with pytest.raises(ConfigurationError, match="make another"):
        await open_receiver(keys)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"base_url": "http://airflow.example"}, ConfigurationError, "https"),
        ({"base_url": "http://127.0.0.1.example"}, ConfigurationError, "https"),
        ({"base_url": "ftp://airflow.example"}, ConfigurationError, "base_url"),
        ({"base_url": "https://user:hush@airflow.example"}, ConfigurationError, "credentials"),
        ({"base_url": "https://airflow.example?x=1"}, ConfigurationError, "query"),
        ({"base_url": "https://airflow.example", "destination": "../x"}, ConfigurationError, "destination"),
        ({"base_url": "https://airflow.example", "interval": 0}, ConfigurationError, "interval"),
        ({"base_url": "https://airflow.example", "timeout": float("nan")}, ConfigurationError, "timeout"),
        ({"base_url": "https://airflow.example", "verify": False}, AirflowUsageError, "verify=False"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """At once, and without repeating a password."""
    with pytest.raises(error, match=message) as raised:
        Discover(**arguments)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["https://airflow.example/prefix/", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"]
)
def test_settings_that_are_right_are_taken(url: str) -> None:
    """A path prefix, and any loopback over plain http; anything else over http has to be asked for."""
    Discover(url)
    Discover("http://airflow.internal", allow_http=True)
