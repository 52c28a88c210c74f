"""What importing the receiver costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ringback_receiver

NEVER = (
    "airflow",
    "fastapi",
    "starlette",
    "sqlalchemy",
    "uvicorn",
    "alembic",
    "asyncpg",
    "psycopg",
    "ringback_notifier",
    "prometheus_client",
    "opentelemetry",
)


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import ringback_receiver", (*NEVER, "httpx", "cryptography", "msgspec")),
        ("from ringback_receiver import Receiver, RunHandle, Completion, ReceiverError", (*NEVER, "httpx")),
        ("from ringback_receiver import AsyncAirflowClient, AirflowClient", NEVER),
        ("from ringback_receiver.testing import MemoryStore", (*NEVER, "httpx", "sqlite3")),
    ],
)
def test_import_stays_light(code: str, forbidden: tuple[str, ...]) -> None:
    """Nobody pays for what he does not use, and the caller's side never needs Airflow."""
    code += f"; import sys; print([name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_core_works_without_fastapi() -> None:
    """An event is taken by ``handle`` where FastAPI cannot be imported."""
    code = """
import asyncio, sys
sys.modules["fastapi"] = sys.modules["starlette"] = None
from ringback_protocol import PrivateKey
from ringback_receiver import Receiver
async def main():
    key = str(PrivateKey.generate().public())
    async with Receiver("https://portal.example/x", key, store="sqlite://") as receiver:
        print((await receiver.handle({}, b"{}")).status)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "400"


def test_public_names_exist_and_are_listed() -> None:
    """Every name in ``__all__`` can be had, and ``dir`` shows just these."""
    for name in ringback_receiver.__all__:
        assert getattr(ringback_receiver, name).__module__.startswith("ringback_receiver")
    assert dir(ringback_receiver) == sorted(ringback_receiver.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ringback_receiver.nonsense
