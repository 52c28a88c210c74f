"""Senders that go on until they are answered, as notifiers do, and remember what was acknowledged."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone

import httpx

from benchmarks.receiver_servers import PATH, URL
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event, event_id, sign
from ringback_protocol.event import RunState

__all__ = ["Crowd"]

_SENDERS = 24
_STARTED = datetime(2026, 7, 2, tzinfo=timezone.utc)


class Crowd:
    """Each request has two endings, which race; each of them is sent until it is acknowledged, and now and then again.

    :param requests: ids of requests that wait.
    """

    def __init__(self, requests: Sequence[str], ports: Sequence[int], key: PrivateKey, chance: random.Random) -> None:
        self.acknowledged: dict[str, str] = {}
        self.statuses: Counter[str] = Counter()
        self._requests: Iterator[str] = iter(requests)
        self._ports = ports
        self._key = key
        self._chance = chance
        self._stop = False

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop = True

    def run(self) -> None:
        """Send until told to stop."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=2 * _SENDERS, max_keepalive_connections=2 * _SENDERS)
        async with httpx.AsyncClient(timeout=10, limits=limits, trust_env=False) as client:
            await asyncio.gather(*(self._send_on(client) for _ in range(_SENDERS)))

    async def _send_on(self, client: httpx.AsyncClient) -> None:
        while not self._stop and (request_id := next(self._requests, None)) is not None:
            endings = [self._ending(request_id, hours) for hours in (0, 1)]
            await asyncio.gather(*(self._deliver(client, request_id, ending) for ending in endings))

    async def _deliver(self, client: httpx.AsyncClient, request_id: str, event: CompletionEvent) -> None:
        body = encode_event(event)
        again = self._chance.random() < 0.2
        while not self._stop:
            headers = sign(event.id, body, keys=[self._key], timestamp=int(time.time()))
            url = f"http://127.0.0.1:{self._chance.choice(self._ports)}{PATH}"
            try:
                answer = await client.post(url, content=body, headers={"content-type": "application/json", **headers})
            except httpx.TransportError as error:
                self.statuses[type(error).__name__] += 1
                await asyncio.sleep(self._chance.uniform(0.01, 0.1))
                continue
            self.statuses[str(answer.status_code)] += 1
            if answer.is_success:
                self.acknowledged[event.id] = request_id
                if not again:
                    return
                again = False
            else:
                await asyncio.sleep(self._chance.uniform(0.01, 0.1))

    def _ending(self, request_id: str, hours: int) -> CompletionEvent:
        started, run_id = _STARTED + timedelta(hours=hours), f"ringback__{request_id}"
        state: RunState = "success" if self._chance.random() < 0.5 else "failed"
        data = CompletionData(
            dag_id="sales_report",
            run_id=run_id,
            state=state,
            reported_by="task",
            start_date=started,
        )
        name = event_id(
            source="chaos", dag_id=data.dag_id, run_id=run_id, start_date=started, state=state, callback_url=URL
        )
        return CompletionEvent.of(
            data, id=name, source="chaos", audience=URL, correlationid=request_id, time=datetime.now(timezone.utc)
        )
