"""What a relay tells of its deliveries: lines in the log, Airflow's metrics, and the caller's trace."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from relay_servers import Request, Response
from relay_world import KEY, World, destination, drain_until

from demo.local_statsd import LocalStatsd
from ringback_notifier._metric_names import GAUGES, HEARTBEAT
from ringback_notifier.errors import DestinationError
from ringback_notifier.outbox import Outbox
from ringback_protocol.log_fields import LOG_FIELDS

pytestmark = pytest.mark.anyio

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRETS = ("hush-token", "hush-user", "hush-password", "hush-query", "hush-result", KEY.reveal(), KEY.reveal()[5:25])
BODY = json.dumps({"data": {"result": "hush-result" * 10}}).encode()


def answered(status: int, *, echo: bool = False) -> Any:
    """Return a receiver's script that may repeat what it was sent, as debugging pages do."""

    def answer(request: Request) -> Response:
        said = f"{request.headers} ".encode() + request.body if echo else b""
        return Response(status=status, body=said)

    return answer


def about(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """Return the fields of the lines that have them."""
    records = [record for record in caplog.records if hasattr(record, "outcome")]
    return [{name: getattr(record, name) for name in LOG_FIELDS} for record in records]


async def test_each_attempt_is_a_line_with_fields_and_no_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Delivered, failed, not wanted, refused, unknown: the line says which event of which run, and nothing of it."""
    caplog.set_level(logging.DEBUG)
    world.destinations["default"] = destination(headers={"authorization": "Bearer hush-token"})
    world.destinations["nowhere"] = DestinationError("there is no connection ringback_nowhere")
    good, down, gone = (world.receiver(answered(status, echo=True)) for status in (204, 500, 410))
    query = "?token=hush-query"
    refused = good.url.replace("/completions", "/forbidden").replace("http://", "http://hush-user:hush-password@")
    places = [good.url, down.url, gone.url, refused, good.url]
    names = ["default"] * 4 + ["nowhere"]
    events = [
        world.event(url + query, number, body=BODY, destination=name, run_id=f"r{number}\nERROR forged")
        for number, (url, name) in enumerate(zip(places, names, strict=True))
    ]
    world.enqueue(*events)
    await drain_until(world.relay(), lambda: len(about(caplog)) >= 5)
    told = {fields["event_id"]: fields for fields in about(caplog)}
    outcomes = ["delivered", "failed", "gone", "refused", "failed"]
    for number, (outcome, name) in enumerate(zip(outcomes, names, strict=True)):
        assert told[f"msg_{number:06d}"] == {
            "event_id": f"msg_{number:06d}",
            "dag_id": "sales",
            "run_id": rf"r{number}\nERROR forged",
            "destination": name,
            "outcome": outcome,
        }
    assert not any("\n" in record.getMessage() for record in caplog.records)
    everything = "\n".join(
        f"{record.getMessage()} {record.args!r} {record.__dict__!r} {record.exc_text}" for record in caplog.records
    )
    assert [secret for secret in SECRETS if secret in everything] == []


async def test_what_a_server_says_makes_no_second_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither its answer nor the error of a library that quotes it."""
    caplog.set_level(logging.DEBUG)
    receiver = world.receiver(lambda request: Response(status=500, body=b"no\nERROR forged\x1b[0m"))
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(), lambda: about(caplog))
    told = [record.getMessage() for record in caplog.records if hasattr(record, "outcome")]
    assert all(line.isprintable() for line in told)
    assert "ERROR forged" in told[0]


async def test_the_callers_trace_is_passed_on(world: World) -> None:
    """Where Airflow traces nothing, the header is what the signed event carries; a malformed one is not sent."""
    receiver = world.receiver()
    bodies = [TRACE, TRACE.upper(), f"{TRACE}\r\nx-evil: 1", None]
    world.enqueue(
        *(
            world.event(receiver.url, number, body=json.dumps({"traceparent": value}).encode())
            for number, value in enumerate(bodies)
        )
    )
    await drain_until(world.relay(), lambda: len(receiver.requests) == 4)
    sent = {request.headers["webhook-id"]: request.headers.get("traceparent") for request in receiver.requests}
    assert sent == {f"msg_{number:06d}": TRACE if number == 0 else None for number in range(4)}
    assert not any("x-evil" in request.headers for request in receiver.requests)


async def test_a_relay_of_its_own_tells_airflows_metrics(world: World, tmp_path: Path) -> None:
    """``ringback relay`` is no component of Airflow's, and its metrics go where Airflow's configuration says."""
    receiver, down, airflow = world.receiver(), world.receiver(answered(500)), world.airflow()
    ended = time.time() - 5
    world.enqueue(world.event(receiver.url, 0, ended_at=ended), world.event(down.url, 1))
    world.enqueue(world.event(receiver.url, 2, destination="made_up_by_a_caller"))
    connection = {"conn_type": "ringback", "password": KEY.reveal()}
    connection["extra"] = {"allow": [f"{receiver.base}/", f"{down.base}/"]}  # type: ignore[assignment]
    reader = {"conn_type": "http", "host": airflow.base, "login": "relay", "password": "hush"}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'none.db'}",
        "AIRFLOW__RINGBACK__OUTBOX_URL": world.url,
        "AIRFLOW_CONN_RINGBACK_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_RINGBACK_AIRFLOW": json.dumps(reader),
    }
    with LocalStatsd() as statsd:
        program = [sys.executable, "-m", "ringback_cli", "relay", "--for", "3"]
        process = await asyncio.create_subprocess_exec(*program, env={**environment, **statsd.settings})
        try:
            assert await asyncio.wait_for(process.wait(), 90) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert statsd.of("ringback.delivered,destination=default,sender=relay:1|c")
        assert statsd.of("ringback.failed,destination=default,sender=relay:")
        assert statsd.of("ringback.failed,destination=unknown,sender=relay:")
        assert not any("made_up" in line for line in statsd.lines)
        assert statsd.of(f"{HEARTBEAT}:")
        for name in GAUGES:
            assert statsd.of(f"{name}:"), name
        (latency,) = statsd.of("ringback.latency,destination=default,sender=relay:")
        assert 5_000 <= float(latency.partition(":")[2].removesuffix("|ms")) < 95_000
    assert Outbox.status_of(world.outbox, "msg_000000") == "delivered"


async def test_the_depth_of_the_outbox_is_counted_by_status(world: World) -> None:
    """Each status up to a bound, and since when something is due."""
    world.enqueue(*(world.event("http://127.0.0.1:1/x", number) for number in range(5)), now=100.0)
    world.outbox.refuse(world.event("", 9, body=b""), "malformed", now=100.0)
    world.outbox.lease(owner="me", now=120.0, until=180.0, limit=1)
    depths = world.outbox.depths(now=150.0, most=100)
    assert (depths.rows, depths.oldest_due) == ({"hint": 0, "waiting": 5, "dead": 0, "refused": 1}, 100.0)
    assert world.outbox.depths(now=150.0, most=3).rows["waiting"] == 3
    assert world.outbox.depths(now=50.0, most=3).oldest_due is None
