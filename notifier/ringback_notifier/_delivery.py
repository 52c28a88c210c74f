"""Delivering one event: sign now, send once, within one deadline; and again while a budget lasts.

What to send, how to read the answer and when to try again is pure and shared; the synchronous and the
asynchronous functions only send and sleep.  Nothing below the signing ever retries, because a retry
needs a fresh timestamp.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Generator
from typing import Any

import httpx

from ringback_notifier._attempts import Pause, Send, Tried, attempts
from ringback_notifier._exchange import (
    MAX_ANSWER_BYTES,
    Delivery,
    answer_of,
    no_answer,
    request_headers,
    settles,
)
from ringback_notifier._network import DeadlineTransport
from ringback_notifier._policy import Decision, NoAnswer, Outcome

__all__ = ["Delivery", "asend", "asend_within", "send", "send_once", "send_within"]


def send(delivery: Delivery, *, timeout: float) -> Outcome:
    """Make one attempt.

    :param timeout: seconds for all of it: resolving, connecting, TLS, sending, the answer.
    :raises DestinationError: if the destination's certificates cannot be read.
    """
    context = delivery.destination.ssl_context()
    transport = DeadlineTransport(ssl_context=context, deadline=time.monotonic() + timeout)
    try:
        with (
            httpx.Client(transport=transport, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", delivery.url, content=delivery.body, headers=request_headers(delivery)) as response,
        ):
            excerpt = b""
            if not settles(response.status_code):
                for chunk in response.iter_raw():
                    excerpt += chunk
                    if len(excerpt) >= MAX_ANSWER_BYTES:
                        break
            return answer_of(response.status_code, response.headers, excerpt)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return no_answer(error)


async def asend(delivery: Delivery, *, timeout: float) -> Outcome:
    """Make one attempt; the same as :func:`send`, for an event loop."""
    context = delivery.destination.ssl_context()
    try:
        return await asyncio.wait_for(_asend(delivery, context), timeout)
    except asyncio.TimeoutError:
        return NoAnswer(error="timeout: the deadline for the whole attempt has passed")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # OSError: httpcore lets an ssl.SSLError through, such as TLS 1.3's late refusal of a client.
        return no_answer(error)


async def _asend(delivery: Delivery, context: ssl.SSLContext) -> Outcome:
    opened: list[Any] = []

    async def remember(event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            opened.append(info["return_value"])

    try:
        async with (
            httpx.AsyncClient(verify=context, follow_redirects=False, trust_env=False, timeout=None) as client,  # noqa: S113
            client.stream(
                "POST",
                delivery.url,
                content=delivery.body,
                headers=request_headers(delivery),
                extensions={"trace": remember},
            ) as response,
        ):
            excerpt = b""
            if not settles(response.status_code):
                async for chunk in response.aiter_raw():
                    excerpt += chunk
                    if len(excerpt) >= MAX_ANSWER_BYTES:
                        break
            return answer_of(response.status_code, response.headers, excerpt)
    finally:
        # httpcore forgets a connection that is cancelled in its TLS handshake; the event loop would keep it open.
        for stream in opened:
            await stream.aclose()


def send_once(delivery: Delivery, *, timeout: float, tried: list[Tried]) -> Outcome:
    """Make one attempt, and add it to those that were made; otherwise the same as :func:`send`."""
    at, started = time.time(), time.monotonic()
    outcome = send(delivery, timeout=timeout)
    tried.append(Tried(at=at, duration=time.monotonic() - started, outcome=outcome))
    return outcome


async def _asend_once(delivery: Delivery, *, timeout: float, tried: list[Tried]) -> Outcome:
    at, started = time.time(), time.monotonic()
    outcome = await asend(delivery, timeout=timeout)
    tried.append(Tried(at=at, duration=time.monotonic() - started, outcome=outcome))
    return outcome


def send_within(delivery: Delivery, *, budget: float, timeout: float, tried: list[Tried] | None = None) -> Decision:
    """Attempt again and again while the budget lasts.

    :param budget: seconds for everything.
    :param timeout: seconds for one attempt.
    :param tried: where every attempt is added, as soon as it is made.
    :returns: the decision after the last attempt.
    :raises DestinationError: if the destination's certificates cannot be read.
    """
    tried = [] if tried is None else tried
    steps = _steps(budget, timeout)
    outcome: Outcome | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as last:
            return _decision(last)
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        else:
            outcome = send_once(delivery, timeout=step.timeout, tried=tried)


async def asend_within(
    delivery: Delivery, *, budget: float, timeout: float, tried: list[Tried] | None = None
) -> Decision:
    """Attempt again and again while the budget lasts; the same as :func:`send_within`, for an event loop."""
    tried = [] if tried is None else tried
    steps = _steps(budget, timeout)
    outcome: Outcome | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as last:
            return _decision(last)
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            outcome = await _asend_once(delivery, timeout=step.timeout, tried=tried)


def _steps(budget: float, timeout: float) -> Generator[Send | Pause, Outcome | None, Decision]:
    return attempts(budget=budget, timeout=timeout, clock=time.monotonic, jitter=random.random)


def _decision(last: StopIteration) -> Decision:
    decision: Decision = last.value
    return decision
