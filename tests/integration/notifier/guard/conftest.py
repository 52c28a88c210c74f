"""A DNS that says what a test wants, servers that nobody may reach, and an eye on every connection that is dialled."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ringback_notifier import _delivery
from ringback_notifier._delivery import Delivery
from ringback_notifier._policy import Outcome
from ringback_notifier.relay._sender import Sender

_dialled: list[tuple[str, int]] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _dialled is not None:
        address = arguments[1]
        _dialled.append(address[:2] if isinstance(address, tuple) else (str(address), 0))


sys.addaudithook(_watch)  # there is no way to take it away again; it does nothing unless a test listens


@pytest.fixture
def dialled() -> Iterator[list[tuple[str, int]]]:
    """Every address that this process has tried to connect to since the test began."""
    global _dialled
    _dialled = seen = []
    yield seen
    _dialled = None


@dataclass
class Dns:
    """Answers by a script: for each name one list of addresses after the other, the last for ever."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.names:
            # Only addresses, which asyncio and the standard library hand over when they dial.
            return self.real(host, port, *arguments, **{**options, "flags": socket.AI_NUMERICHOST})
        self.asked.append(name)
        script = self.names[name]
        answers = script.pop(0) if len(script) > 1 else script[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))
            for address in answers
        ]

    def __post_init__(self) -> None:
        self.real = socket.getaddrinfo


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    scripted = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", scripted)
    return scripted


Attempt = Callable[[Delivery], Outcome]


def _asend(delivery: Delivery) -> Outcome:
    return asyncio.run(_delivery.asend(delivery, timeout=5))


def _relays(delivery: Delivery) -> Outcome:
    async def attempt() -> Outcome:
        sender = Sender(timeout=5)
        try:
            return await sender.send(delivery, delivery.destination.ssl_context())
        finally:
            await sender.aclose()

    return asyncio.run(attempt())


ATTEMPTS: dict[str, Attempt] = {
    "final task": lambda delivery: _delivery.send(delivery, timeout=5),
    "callback": _asend,
    "relay": _relays,
}


@pytest.fixture(params=ATTEMPTS)
def attempt(request: pytest.FixtureRequest) -> Attempt:
    """One of the three ways in which events leave Airflow."""
    return ATTEMPTS[request.param]
