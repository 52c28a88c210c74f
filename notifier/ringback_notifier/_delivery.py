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
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import httpx

from ringback_notifier._attempts import Pause, Send, attempts
from ringback_notifier._destination import Destination
from ringback_notifier._network import DeadlineTransport
from ringback_notifier._policy import Answer, Decision, NoAnswer, Outcome, retry_after_seconds
from ringback_notifier._version import VERSION
from ringback_protocol import sign

__all__ = ["Delivery", "asend", "asend_within", "send", "send_within"]

_MAX_ANSWER_BYTES = 4_096
_EXCERPT_CHARS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An encoded event on its way.

    :param url: the callback URL, allowed by the destination.
    :param body: the raw bytes that are signed and sent.
    """

    event_id: str
    url: str
    body: bytes
    destination: Destination


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
            client.stream("POST", delivery.url, content=delivery.body, headers=_headers(delivery)) as response,
        ):
            excerpt = b""
            if not _settles(response):
                for chunk in response.iter_raw():
                    excerpt += chunk
                    if len(excerpt) >= _MAX_ANSWER_BYTES:
                        break
            return _answer(response, excerpt)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _no_answer(error)


async def asend(delivery: Delivery, *, timeout: float) -> Outcome:
    """Make one attempt; the same as :func:`send`, for an event loop."""
    context = delivery.destination.ssl_context()
    try:
        return await asyncio.wait_for(_asend(delivery, context), timeout)
    except asyncio.TimeoutError:
        return NoAnswer(error="timeout: the deadline for the whole attempt has passed")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # OSError: httpcore lets an ssl.SSLError through, such as TLS 1.3's late refusal of a client.
        return _no_answer(error)


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
                headers=_headers(delivery),
                extensions={"trace": remember},
            ) as response,
        ):
            excerpt = b""
            if not _settles(response):
                async for chunk in response.aiter_raw():
                    excerpt += chunk
                    if len(excerpt) >= _MAX_ANSWER_BYTES:
                        break
            return _answer(response, excerpt)
    finally:
        # httpcore forgets a connection that is cancelled in its TLS handshake; the event loop would keep it open.
        for stream in opened:
            await stream.aclose()


def send_within(delivery: Delivery, *, budget: float, timeout: float) -> Decision:
    """Attempt again and again while the budget lasts.

    :param budget: seconds for everything.
    :param timeout: seconds for one attempt.
    :returns: the decision after the last attempt.
    :raises DestinationError: if the destination's certificates cannot be read.
    """
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
            outcome = send(delivery, timeout=step.timeout)


async def asend_within(delivery: Delivery, *, budget: float, timeout: float) -> Decision:
    """Attempt again and again while the budget lasts; the same as :func:`send_within`, for an event loop."""
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
            outcome = await asend(delivery, timeout=step.timeout)


def _steps(budget: float, timeout: float) -> Generator[Send | Pause, Outcome | None, Decision]:
    return attempts(budget=budget, timeout=timeout, clock=time.monotonic, jitter=random.random)


def _decision(last: StopIteration) -> Decision:
    decision: Decision = last.value
    return decision


def _headers(delivery: Delivery) -> dict[str, str]:
    destination = delivery.destination
    return {
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"ringback/{VERSION}",
        **destination.headers,
        "content-type": destination.content_type,
        **sign(delivery.event_id, delivery.body, keys=destination.keys, timestamp=int(time.time())),
    }


def _settles(response: httpx.Response) -> bool:
    """Tell whether the status says it all, so that a body that never comes cannot turn a delivery into a failure."""
    return response.is_success or response.status_code == httpx.codes.GONE


def _answer(response: httpx.Response, body: bytes) -> Answer:
    text = body[:_EXCERPT_CHARS].decode("utf-8", "replace")
    return Answer(
        status=response.status_code,
        retry_after=retry_after_seconds(response.headers.get("retry-after"), now=datetime.now(timezone.utc)),
        excerpt="".join(char if char.isprintable() else "·" for char in text),
    )


def _no_answer(error: httpx.HTTPError | httpx.InvalidURL | OSError) -> NoAnswer:
    kind = (
        "timeout"
        if isinstance(error, httpx.TimeoutException)
        else "connect"
        if isinstance(error, httpx.NetworkError | OSError)
        else "protocol"
    )
    return NoAnswer(error=f"{kind}: {error}")
