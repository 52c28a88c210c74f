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

from ringback_notifier._attempts import Pause, Send, Tried, attempts
from ringback_notifier._exchange import (
    FAILURES,
    MAX_ANSWER_BYTES,
    Delivery,
    answer_of,
    no_answer,
    request_headers,
    settles,
)
from ringback_notifier._network import Deadline
from ringback_notifier._policy import Decision, NoAnswer, Outcome
from ringback_notifier._pools import async_connection_pool, connection_pool, http_url
from ringback_notifier._tracing import delivering
from ringback_protocol import CallbackUrl, parse_callback_url

__all__ = ["Delivery", "asend", "asend_within", "send", "send_once", "send_within"]


def send(delivery: Delivery, *, timeout: float) -> Outcome:
    """Make one attempt.

    :param timeout: seconds for all of it: resolving, connecting, TLS, sending, the answer.
    :raises DestinationError: if the destination's certificates cannot be read.
    """
    destination = delivery.destination
    deadline = Deadline(time.monotonic() + timeout)
    try:
        url = parse_callback_url(delivery.url)
        context = destination.ssl_context() if url.scheme == "https" else None
        with (
            connection_pool(destination, context=context, deadline=deadline) as pool,
            pool.stream(
                "POST", http_url(url), headers=request_headers(delivery, url), content=delivery.body
            ) as response,
        ):
            excerpt = b""
            if not settles(response.status):
                for chunk in response.iter_stream():
                    excerpt += chunk
                    if len(excerpt) >= MAX_ANSWER_BYTES:
                        break
            return answer_of(delivery, response.status, response.headers, excerpt)
    except FAILURES as error:
        return no_answer(error)


async def asend(delivery: Delivery, *, timeout: float, context: ssl.SSLContext | None = None) -> Outcome:
    """Make one attempt; the same as :func:`send`, for an event loop.

    :param context: the destination's TLS settings, if they are at hand.
    """
    deadline = Deadline(time.monotonic() + timeout)
    try:
        url = parse_callback_url(delivery.url)
        if context is None and url.scheme == "https":
            context = delivery.destination.ssl_context()
        return await asyncio.wait_for(_asend(delivery, url, context, deadline), timeout)
    except asyncio.TimeoutError:
        return NoAnswer(error="timeout: the deadline for the whole attempt has passed")
    except FAILURES as error:
        return no_answer(error)


async def _asend(delivery: Delivery, url: CallbackUrl, context: ssl.SSLContext | None, deadline: Deadline) -> Outcome:
    async with (
        async_connection_pool(delivery.destination, context=context, deadline=deadline) as pool,
        pool.stream("POST", http_url(url), headers=request_headers(delivery, url), content=delivery.body) as response,
    ):
        excerpt = b""
        if not settles(response.status):
            async for chunk in response.aiter_stream():
                excerpt += chunk
                if len(excerpt) >= MAX_ANSWER_BYTES:
                    break
        return answer_of(delivery, response.status, response.headers, excerpt)


def send_once(delivery: Delivery, *, timeout: float, tried: list[Tried]) -> Outcome:
    """Make one attempt, and add it to those that were made; otherwise the same as :func:`send`."""
    at, started = time.time(), time.monotonic()
    with delivering(delivery) as (traced, ended):
        outcome = send(traced, timeout=timeout)
        ended(outcome)
    tried.append(Tried(at=at, duration=time.monotonic() - started, outcome=outcome))
    return outcome


async def _asend_once(delivery: Delivery, *, timeout: float, tried: list[Tried]) -> Outcome:
    at, started = time.time(), time.monotonic()
    with delivering(delivery) as (traced, ended):
        outcome = await asend(traced, timeout=timeout)
        ended(outcome)
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
