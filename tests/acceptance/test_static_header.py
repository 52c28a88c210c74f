"""A token that a receiver demands, in a real Airflow: it arrives, and is in none of its logs."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from conftest import LONG, eventually

from demo.local_airflow import LocalAirflow
from demo.serving import serving_app
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient

pytestmark = pytest.mark.anyio

TOKEN = "hush-hush-0123456789"  # no secret of anybody's


@pytest.mark.parametrize("dag_id", ["sales_report", "callback_only"])
async def test_a_token_arrives_and_is_in_no_log(
    airflow: LocalAirflow, client: AsyncAirflowClient, receiver_port: int, dag_id: str
) -> None:
    """Kept in a connection in Airflow's database; the receiver says that nobody waits, so the failure is logged."""
    seen: list[str] = []

    async def gone(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(dict(scope["headers"])[b"authorization"].decode())
        await send({"type": "http.response.start", "status": 410, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    name, run_id = f"token_{uuid.uuid4().hex[:8]}", f"token-{uuid.uuid4()}"
    url = f"http://127.0.0.1:{receiver_port}/hook"
    connection = {
        "connection_id": f"ringback_{name}",
        "conn_type": "ringback",
        "password": PrivateKey.generate().reveal(),
        "extra": json.dumps({"allow": [url], "headers": {"authorization": f"Bearer {TOKEN}"}}),
    }
    with airflow.api() as api:
        assert api.post("/api/v2/connections", json=connection).status_code == 201
        try:
            async with serving_app(gone, receiver_port):
                conf = {"region": "APAC", "callback": {"url": url, "destination": name}}
                run = await client.trigger_and_wait(dag_id, conf=conf, run_id=run_id, timeout=LONG)

                async def rung() -> bool:
                    return bool(seen)

                await eventually(rung)
        finally:
            api.delete(f"/api/v2/connections/ringback_{name}")
    assert run.state == "success"
    assert set(seen) == {f"Bearer {TOKEN}"}
    files = [path for path in airflow.home.rglob("*.log") if path.is_file()]
    assert files
    told = [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert told == []
    logs = b"".join(path.read_bytes() for path in files)
    assert b"the caller no longer waits" in logs
