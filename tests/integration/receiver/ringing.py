"""What the receiver's tests share: events, signatures, an Airflow that only listens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event, event_id, sign
from ringback_receiver import DagRun, Receiver, RunHandle

URL = "https://portal.example/airflow/completions"
SOURCE = "https://airflow.example"
STARTED = datetime(2026, 7, 2, 12, tzinfo=timezone.utc)


def make_event(
    correlation_id: str | None,
    run_id: str,
    *,
    dag_id: str = "sales",
    state: str = "success",
    start_date: datetime = STARTED,
    url: str = URL,
    **data: Any,
) -> CompletionEvent:
    """Return an event as a notifier makes it; another ``start_date`` is another ending."""
    return CompletionEvent.of(
        CompletionData(
            dag_id=dag_id,
            run_id=run_id,
            state=state,  # type: ignore[arg-type]
            start_date=start_date,
            reported_by="task",
            **data,
        ),
        id=event_id(
            source=SOURCE,
            dag_id=dag_id,
            run_id=run_id,
            start_date=start_date,
            state=state,
            callback_url=url,
        ),
        source=SOURCE,
        audience=url,
        correlationid=correlation_id,
        time=STARTED,
    )


def signed(event: CompletionEvent, key: PrivateKey, *, now: float | None = None) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a delivery."""
    body = encode_event(event)
    timestamp = int(time.time() if now is None else now)
    headers = sign(event.id, body, keys=[key], timestamp=timestamp)
    return {"content-type": "application/json", **headers}, body


class FakeAirflow:
    """Takes every trigger, or answers with an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.triggers: list[dict[str, Any]] = []

    async def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
    ) -> DagRun:
        self.triggers.append({"dag_id": dag_id, "conf": conf, "run_id": run_id, "logical_date": logical_date})
        if self.error is not None:
            raise self.error
        return DagRun(dag_id=dag_id, run_id=run_id or "", state="queued")


Ring = Callable[[dict[str, str], bytes], Awaitable[tuple[int, Any]]]


@dataclass(frozen=True, kw_only=True)
class Line:
    """An open receiver, and a way to ring it that answers with a status and what the body says."""

    receiver: Receiver
    airflow: FakeAirflow
    key: PrivateKey
    ring: Ring

    async def trigger(self, **arguments: Any) -> RunHandle:
        return await self.receiver.trigger("sales", **arguments)

    async def deliver(self, event: CompletionEvent) -> tuple[int, Any]:
        return await self.ring(*signed(event, self.key))


def said(body: bytes) -> Any:
    """Return what an answer's body says, or ``None`` if it is silent."""
    return json.loads(body) if body else None


async def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait for something that nobody announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
