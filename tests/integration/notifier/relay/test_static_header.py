"""A receiver that demands a bearer token gets it on every path, and nobody else ever sees it."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from relay_servers import RESET, Receiver, Request, Response
from relay_world import World
from tenant_paths import PATHS, connection, final_task

from ringback_notifier import _context
from ringback_notifier._exchange import Delivery
from ringback_notifier.errors import NotifierError
from ringback_protocol import PrivateKey

KEY = PrivateKey.generate()
TOKEN = "hush-hush-0123456789"  # no secret of anybody's
HEADERS = {"Authorization": f"Bearer {TOKEN}", "x-api-key": TOKEN}

ANSWERS = {
    "taken": Response(status=204),
    "refused": Response(status=401, body=b"no"),
    "gone": Response(status=410),
    "moved": Response(status=307, headers={"location": "http://127.0.0.1:9/"}),
    "echo": Response(status=401, body=f"I do not know Bearer {TOKEN}, nor {TOKEN}".encode()),
    "broken": Response(status=500, body=b"x" * 10_000),
    "reset": RESET,
}


@pytest.fixture
def receiver(world: World, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    made = world.receiver()
    value = connection([KEY], allow=[f"{made.base}/"], headers=HEADERS)
    monkeypatch.setenv("AIRFLOW_CONN_RINGBACK_DEFAULT", value)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", world.url)
    monkeypatch.setenv("AIRFLOW__RINGBACK__CALLBACK_BUDGET", "1")
    return made


def assert_hidden(world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Check every place in which something might be written down."""
    shown = caplog.text + "".join(capfd.readouterr()) + "".join(map(repr, caplog.records))
    assert "hush-hush" not in shown
    folder = Path(world.url.removeprefix("sqlite:///")).parent
    for file in folder.iterdir():  # the outbox, with its write-ahead log
        assert b"hush-hush" not in file.read_bytes()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_the_token_arrives_and_is_written_down_nowhere(
    world: World,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    path: str,
    answer: str,
) -> None:
    """Whatever the receiver answers, with every library's debugging log switched on."""
    caplog.set_level(logging.DEBUG)
    receiver.script = lambda request: ANSWERS[answer]
    PATHS[path](world, [{"callback_url": f"{receiver.url}?n=1"}])
    assert receiver.requests
    for request in receiver.requests:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["x-api-key"] == TOKEN
    assert caplog.records
    assert_hidden(world, caplog, capfd)


@pytest.mark.parametrize("retries", [0, 4])
@pytest.mark.parametrize("answer", ["refused", "gone", "moved", "broken", "reset"])
def test_no_exception_tells_it(world: World, receiver: Receiver, answer: str, retries: int) -> None:
    """Neither its text, nor those of its causes, nor anything that it carries."""
    receiver.script = lambda request: ANSWERS[answer]
    with pytest.raises((NotifierError, AirflowFailException), match="not delivered") as raised:
        final_task({"callback_url": receiver.url}, 1, retries=retries)
    assert "hush-hush" not in "".join(traceback.format_exception(raised.value))
    assert "hush-hush" not in repr(vars(raised.value))


def test_no_value_shows_it(receiver: Receiver) -> None:
    """A destination and what is on its way to one can be printed."""
    destination = _context.load_destination("default")
    delivery = Delivery(event_id="msg_1", url=receiver.url, body=b"{}", destination=destination)
    assert destination.headers["authorization"] == f"Bearer {TOKEN}"
    assert "hush-hush" not in f"{destination!r} {delivery!r} {destination} {delivery}"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}\r\nx: y"},
        {"authorization": f"Bearer {TOKEN}\u00e4"},
        {"authorization": [TOKEN]},
        {"webhook-id": TOKEN},
        [TOKEN],
        TOKEN,
    ],
)
def test_a_malformed_header_is_an_error_without_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, headers: Any
) -> None:
    """The name is told, never the value."""
    value = connection([KEY], allow=[receiver.base], headers=headers)
    monkeypatch.setenv("AIRFLOW_CONN_RINGBACK_DEFAULT", value)
    with pytest.raises(AirflowFailException, match="headers") as raised:
        final_task({"callback_url": receiver.url}, 1)
    assert "hush-hush" not in "".join(traceback.format_exception(raised.value))
    assert receiver.requests == []


def test_it_goes_to_its_own_destination_only(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another destination's receiver does not get it."""
    other = world.receiver()
    monkeypatch.setenv("AIRFLOW_CONN_RINGBACK_OTHER", connection([KEY], allow=[other.base]))
    seen: list[Request] = other.requests
    for name in ("other", "default"):
        callback = {"url": other.url, "destination": name}
        for path in PATHS.values():
            path(world, [{"callback": callback}])
    assert seen
    assert all("authorization" not in request.headers for request in seen)
