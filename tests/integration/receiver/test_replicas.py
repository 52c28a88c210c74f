"""Several receivers in processes of their own, on one PostgreSQL, under load."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from receiver_process import ReceiverProcess
from ringing import URL, make_event, signed

from ringback_protocol import CompletionEvent, PrivateKey
from ringback_receiver._matching import PendingRequest
from ringback_receiver._postgres import PostgresStore
from ringback_receiver._postgres_url import parse_place

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

REQUESTS = 300
PATH = "/airflow/completions"


@pytest.fixture
def replicas(postgres_url: str, key: PrivateKey) -> Iterator[list[str]]:
    """The addresses of two that serve."""
    processes = [ReceiverProcess(postgres_url, str(key.public()), "serve") for _ in range(2)]
    yield [process.says()["url"] for process in processes]
    for process in processes:
        process.kill()


async def register(url: str) -> None:
    store = PostgresStore(parse_place(url))
    await store.open()
    await asyncio.gather(
        *(
            store.register(
                PendingRequest(
                    request_id=f"req_{number}",
                    dag_id="sales",
                    run_id=f"run_{number}",
                    callback_url=URL,
                    created_at=1.0,
                    metadata={"number": number},
                ),
                handlers=[],
            )
            for number in range(REQUESTS)
        )
    )
    await store.close()


async def test_replicas_share_a_load_and_wake_whoever_waits_elsewhere(
    postgres_url: str, replicas: list[str], key: PrivateKey
) -> None:
    """Every event goes to both at once; each request is resolved once, and a third process has its completion."""
    await register(postgres_url)
    waiting = ReceiverProcess(postgres_url, str(key.public()), "wait", "req_299")
    assert waiting.says() == {"waiting": "run_299"}
    statuses: Counter[int] = Counter()
    turns = asyncio.Semaphore(64)

    async def post(client: httpx.AsyncClient, url: str, event: CompletionEvent) -> None:
        headers, body = signed(event, key)
        async with turns:
            answer = await client.post(url + PATH, headers=headers, content=body)
        statuses[answer.status_code] += 1

    events = [make_event(f"req_{number}" if number % 3 else None, f"run_{number}") for number in range(REQUESTS)]
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=64)) as client:
        await asyncio.gather(*(post(client, url, event) for event in events for url in replicas))
    said = waiting.says()
    waiting.kill()
    assert said == {"state": "success", "result": None, "metadata": {"number": 299}}
    assert statuses == {204: 2 * REQUESTS}
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "SELECT e.transition, r.state, count(*) FROM ringback.requests r "
            "JOIN ringback.events e ON e.event_id = r.event_id AND e.request_id = r.request_id GROUP BY 1, 2"
        ).fetchall()
    assert rows == [("resolved", "resolved", REQUESTS)]
