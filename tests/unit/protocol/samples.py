"""Keys, events and signed requests that the tests of the wire share."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ringback_protocol import (
    CompletionData,
    CompletionEvent,
    FailedTask,
    PrivateKey,
    Secret,
    SigningKey,
    encode_event,
    sign,
)

ROOT = Path(__file__).parents[3]
VECTORS: list[dict[str, str]] = json.loads(
    (ROOT / "tests" / "vectors" / "standard-webhooks.json").read_text(encoding="utf-8")
)["vectors"]

URL = "https://portal.example/airflow/completions"
NOW = 1_782_950_591
MOMENT = datetime(2026, 7, 2, 0, 3, 11, 204_000, tzinfo=timezone.utc)
ID = "msg_" + "a2" * 16


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def private_key(seed: bytes) -> PrivateKey:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return PrivateKey("whsk_" + b64(seed + public))


SECRET = Secret("whsec_" + b64(bytes(range(32))))
OTHER_SECRET = Secret("whsec_" + b64(bytes(range(50, 90))))
PRIVATE = private_key(bytes(range(100, 132)))
OTHER_PRIVATE = private_key(bytes(range(132, 164)))
PUBLIC = PRIVATE.public()
OTHER_PUBLIC = OTHER_PRIVATE.public()


def make_data(**changes: Any) -> CompletionData:
    members: dict[str, Any] = {
        "dag_id": "sales_report",
        "run_id": "ext__5V1nX0",
        "state": "success",
        "reported_by": "task",
        "run_after": MOMENT,
        "start_date": MOMENT,
        "end_date": MOMENT,
        "duration": 12.4,
        "result": {"rows": 4213},
        "run_url": "https://airflow.example/dags/sales_report/runs/ext__5V1nX0",
    }
    return CompletionData(**{**members, **changes})


def make_event(data: CompletionData | None = None, **changes: Any) -> CompletionEvent:
    members: dict[str, Any] = {
        "id": ID,
        "source": "https://airflow.example",
        "audience": URL,
        "correlationid": "req_5V1nX0",
        "time": MOMENT,
    }
    return CompletionEvent.of(data or make_data(), **{**members, **changes})


def failed_tasks(count: int, log_url: str | None = None) -> tuple[FailedTask, ...]:
    return tuple(FailedTask(task_id=f"task_{n}", state="failed", log_url=log_url) for n in range(count))


def as_json(event: CompletionEvent | None = None) -> dict[str, Any]:
    """Return an event as plain JSON values, for a test to damage."""
    decoded: dict[str, Any] = json.loads(encode_event(event or make_event()))
    return decoded


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def signed(
    body: bytes | None = None, *, keys: tuple[SigningKey, ...] = (PRIVATE,), id: str = ID, timestamp: int = NOW
) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a delivery attempt."""
    body = encode_event(make_event()) if body is None else body
    return sign(id, body, keys=keys, timestamp=timestamp), body
