"""Opening, closing, settings that cannot work, and a store that is away."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, make_event, said, signed

from ringback_protocol import KeyFormatError, PrivateKey
from ringback_receiver import (
    Completion,
    ConfigurationError,
    MissingDependency,
    Receiver,
    ReceiverError,
    ReceiverNotOpen,
    RunHandle,
    StoreError,
)
from ringback_receiver._sqlite import SqliteStore

pytestmark = pytest.mark.anyio


async def test_store_that_is_away_answers_unavailable(
    opened: Receiver, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is acknowledged that is not recorded; the sender comes back."""

    async def fail(*_: object, **__: object) -> None:
        raise StoreError("disk full")

    run = await opened.trigger("sales")
    delivery = signed(make_event(run.request_id, run.run_id), key)
    with monkeypatch.context() as away:
        away.setattr("ringback_receiver._sqlite.SqliteStore.record", fail)
        answer = await opened.handle(*delivery)
    assert (answer.status, said(answer.body)) == (503, {"error": "store_unavailable"})
    assert answer.headers["retry-after"] == "5"
    assert (await opened.handle(*delivery)).status == 204


async def test_log_has_one_line_and_no_content(
    opened: Receiver, key: PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the event and what became of it, never what it says."""
    caplog.set_level(logging.DEBUG, "ringback_receiver")
    run = await opened.trigger("sales")
    event = make_event(run.request_id, run.run_id, result="a secret figure")
    headers, body = signed(event, key)
    await opened.handle(headers, body)
    await opened.handle(headers, body + b" ")
    assert [record.getMessage() for record in caplog.records if record.name == "ringback_receiver"] == [
        f"event {event.id} of run {run.run_id} of DAG sales: resolved",
        f"request refused: bad_signature (event {event.id}, unverified)",
    ]


async def test_closed_receiver_says_so(receiver: Receiver, key: PrivateKey) -> None:
    """Before it is opened and after it is closed, every use is a clear error."""
    with pytest.raises(ReceiverNotOpen, match="async with receiver"):
        await receiver.trigger("sales")
    async with receiver:
        run = await receiver.trigger("sales")
        waiting = asyncio.create_task(run.completion())
        await asyncio.sleep(0.05)
    with pytest.raises(ReceiverNotOpen):
        await waiting
    with pytest.raises(ReceiverNotOpen):
        await receiver.handle(*signed(make_event("req_1", "run_1"), key))
    with pytest.raises(ReceiverNotOpen):
        await receiver.request(run.request_id)
    with pytest.raises(ReceiverNotOpen):
        await receiver.failing_handlers()
    with pytest.raises(ReceiverError):
        await run.completion()


async def test_cancelled_closing_closes_everything(receiver: Receiver, key: PrivateKey) -> None:
    """Whoever is cancelled while handlers finish leaves no waiter, no handler and no store behind."""
    begun, stopped = asyncio.Event(), asyncio.Event()

    @receiver.on_completion(name="endless")
    async def endless(completion: Completion) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    await receiver.__aenter__()
    ended, pending = await receiver.trigger("sales"), await receiver.trigger("sales")
    waiting = asyncio.create_task(pending.completion())
    await receiver.handle(*signed(make_event(ended.request_id, ended.run_id), key))
    await asyncio.wait_for(begun.wait(), 5)
    closing = asyncio.create_task(receiver.__aexit__(None, None, None))
    await asyncio.sleep(0.05)
    assert not closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(ReceiverNotOpen):
        await asyncio.wait_for(waiting, 2)
    assert stopped.is_set()
    with pytest.raises(StoreError, match="closed"):
        await pending.completion()
    async with receiver:
        assert (await receiver.request(pending.request_id)).run_id == pending.run_id


async def test_waiting_begun_while_closing_ends(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes between the end of the waiters and the end of the store is told so, and does not hang."""
    closing = SqliteStore.close
    outcomes: list[BaseException] = []
    run: RunHandle

    async def close(self: SqliteStore) -> None:
        try:
            await asyncio.wait_for(run.completion(), 2)
        except ReceiverError as error:
            outcomes.append(error)
        await closing(self)

    monkeypatch.setattr(SqliteStore, "close", close)
    async with receiver:
        run = await receiver.trigger("sales")
    assert [type(error) for error in outcomes] == [ReceiverNotOpen]


async def test_receiver_may_be_opened_again_but_not_twice(receiver: Receiver) -> None:
    """One after the other is fine, one inside the other is a mistake."""
    async with receiver:
        with pytest.raises(ConfigurationError, match="open already"):
            await receiver.__aenter__()
    async with receiver:
        assert (await receiver.trigger("sales")).dag_id == "sales"


async def test_receiver_without_airflow_only_receives(tmp_path: Path, key: PrivateKey) -> None:
    """Triggering needs a client."""
    async with Receiver(URL, str(key.public()), store=f"sqlite:///{tmp_path}/x.db") as receiver:
        with pytest.raises(ConfigurationError, match="airflow="):
            await receiver.trigger("sales")


@pytest.mark.parametrize(
    ("url", "keys", "store", "error"),
    [
        ("portal.example/x", None, "sqlite://", ConfigurationError),
        ("https://portal.example/#x", None, "sqlite://", ConfigurationError),
        (URL, [], "sqlite://", KeyFormatError),
        (URL, ["whpk_nonsense"], "sqlite://", KeyFormatError),
        (URL, None, "redis://cache", ConfigurationError),
    ],
)
def test_wrong_setting_is_refused_at_once(
    key: PrivateKey, url: str, keys: Any, store: str, error: type[Exception]
) -> None:
    """A receiver that could never work is never made."""
    with pytest.raises(error):
        Receiver(url, [str(key.public())] if keys is None else keys, store=store)


@pytest.mark.parametrize("limit", [{"max_waiting": 0}, {"body_timeout": 0.0}, {"body_timeout": float("nan")}])
def test_limit_that_lets_nothing_through_is_refused(key: PrivateKey, limit: dict[str, Any]) -> None:
    """The error names it."""
    with pytest.raises(ConfigurationError, match=next(iter(limit))):
        Receiver(URL, str(key.public()), store="sqlite://", **limit)


def test_missing_fastapi_says_what_to_install(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The router names the extra; everything else works without."""
    monkeypatch.delitem(sys.modules, "ringback_receiver._router", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingDependency, match=r"airflow-ringback\[receiver\]"):
        _ = receiver.router
