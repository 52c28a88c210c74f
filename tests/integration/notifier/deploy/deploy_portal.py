"""The document's application as a process, and the ways in which Airflow rings it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from deploy_document import block

from ringback_notifier import _delivery
from ringback_notifier._delivery import Delivery
from ringback_notifier._destination import Destination, parse_destination
from ringback_notifier._policy import Outcome
from ringback_notifier.relay._sender import Sender
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event

__all__ = ["WAYS", "delivery", "destination", "free_port", "listening", "portal", "send"]

KEY = PrivateKey.generate()
SECONDS = 30.0


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def listening(command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a server until the block ends.

    :param folder: it runs there, and leaves its log.
    """
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + SECONDS
        while True:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def portal(command: Sequence[str], port: int, folder: Path, *, callback_url: str) -> Iterator[None]:
    """Run ``portal.py``, or ``callbacks.py``, with one of the document's commands.

    :param command: ``uvicorn portal:app …``, ready to listen on that port of 127.0.0.1.
    """
    (folder / "portal.py").write_text(block("python", "async def ready"), encoding="utf-8")
    (folder / "callbacks.py").write_text(block("python", "receiver.asgi"), encoding="utf-8")
    environment = {
        "CALLBACK_URL": callback_url,
        "RINGBACK_KEYS": str(KEY.public()),
        "RINGBACK_STORE": f"sqlite:///{folder / 'ringback.db'}",
        "AIRFLOW_URL": "http://127.0.0.1:1",
        "AIRFLOW_USERNAME": "portal",
        "AIRFLOW_PASSWORD": "hush",
    }
    with listening([sys.executable, "-m", *command], port, folder, environment):
        yield


def destination(url: str, **files: str) -> Destination:
    """Return the destination that allows a URL of this machine.

    :param files: further members of the connection's extra.
    """
    extra = {"allow": [url], "allow_hosts": ["localhost"], **files}
    parsed = parse_destination("default", conn_type="ringback", password=KEY.reveal(), extra=json.dumps(extra))
    parsed.check_allowed(url)
    return parsed


def delivery(url: str, **files: str) -> Delivery:
    """Return a new event on its way to a URL of this machine."""
    event_id = f"msg_{uuid.uuid4().hex}"
    data = CompletionData(dag_id="sales_report", run_id="ext__1", state="success", reported_by="task")
    event = CompletionEvent.of(
        data,
        id=event_id,
        source="https://airflow.example",
        audience=url,
        correlationid=None,
        time=datetime.now(timezone.utc),
    )
    return Delivery(event_id=event_id, url=url, body=encode_event(event), destination=destination(url, **files))


def send(sent: Delivery) -> Outcome:
    """Make an attempt as the final task and the callback do."""
    return _delivery.send(sent, timeout=SECONDS)


def asend(sent: Delivery) -> Outcome:
    """Make an attempt as the callback does in an event loop."""
    return asyncio.run(_delivery.asend(sent, timeout=SECONDS))


def relay(sent: Delivery) -> Outcome:
    """Make an attempt as a relay does."""

    async def attempt() -> Outcome:
        sender = Sender(timeout=SECONDS)
        try:
            return await sender.send(sent, sent.destination.ssl_context())
        finally:
            await sender.aclose()

    return asyncio.run(attempt())


WAYS: tuple[Callable[[Delivery], Outcome], ...] = (send, asend, relay)
