"""A signed test event, built and sent by the notifier's own code."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from ringback_notifier._addresses import AddressRules
from ringback_notifier._allow import parse_pattern
from ringback_notifier._delivery import Delivery
from ringback_notifier._destination import Destination
from ringback_notifier._exchange import request_headers
from ringback_notifier._policy import Answer, Decision, Delivered, GiveUp, NoAnswer, Outcome
from ringback_notifier._prediction import TaskInstance
from ringback_notifier._report import Ending, Result, Site, event_of
from ringback_protocol import CompletionEvent, SigningKey, encode_event, parse_callback_request, parse_callback_url
from ringback_protocol.event import RunState

__all__ = ["Sample", "curl_command", "delivery_of", "event_for", "outcome_said", "signed_headers", "what_next"]

_ANYWHERE = AddressRules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
"""The person who types a URL means it, whatever its address; metadata services stay out of reach."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the event is to say."""

    url: str
    state: RunState
    dag_id: str
    run_id: str
    correlation_id: str | None = None
    reason: str | None = None
    result: Any = None
    source: str = "https://airflow.example"


def event_for(sample: Sample, *, now: datetime) -> CompletionEvent:
    """Build the event as the final task does.

    :param now: aware; the run has just ended, or is about to.
    :raises ringback_protocol.CallbackRequestError: naming the member that cannot be right.
    """
    callback = {"url": sample.url} | ({"correlation_id": sample.correlation_id} if sample.correlation_id else {})
    request = parse_callback_request({"callback": callback})
    assert request is not None
    failed = (TaskInstance(task_id="sample_task", state="failed"),) if sample.state == "failed" else ()
    started = now if sample.state == "running" else now - timedelta(seconds=12)
    ending = Ending(
        dag_id=sample.dag_id,
        run_id=sample.run_id,
        state=sample.state,
        reason=sample.reason,
        run_after=started,
        start_date=started,
        end_date=None if sample.state == "running" else now,
        task_instances=failed,
        result=Result(value=sample.result),
    )
    site = Site(source=sample.source, base_url=sample.source.rstrip("/"))
    return event_of(ending, request, site=site, reported_by="task", now=now)


def delivery_of(event: CompletionEvent, url: str, keys: Sequence[SigningKey], *, ca_bundle: str | None) -> Delivery:
    """Make an event ready to be sent.

    :param ca_bundle: path of a PEM file with the only CAs to trust, or ``None``.
    :raises ringback_protocol.EventTooLargeError: it does not fit.
    :raises NotifierError: nothing may be sent to that URL.
    """
    destination = Destination(
        name="test",
        keys=tuple(keys),
        allow=(parse_pattern(f"{parse_callback_url(url).origin}/"),),
        addresses=_ANYWHERE,
        ca_bundle=ca_bundle,
    )
    destination.check_allowed(url)
    return Delivery(event_id=event.id, url=url, body=encode_event(event), destination=destination)


def signed_headers(delivery: Delivery) -> list[tuple[str, str]]:
    """Return the request's headers, signed now."""
    return [
        (name.decode(), value.decode()) for name, value in request_headers(delivery, parse_callback_url(delivery.url))
    ]


def curl_command(delivery: Delivery, headers: Sequence[tuple[str, str]]) -> str:
    """Return the request as a command for a shell."""
    shown = [
        f"  -H {shlex.quote(f'{name}: {value}')} \\"
        for name, value in headers
        if name not in ("host", "content-length")
    ]
    body = shlex.quote(delivery.body.decode())
    return "\n".join((f"curl -i -X POST {shlex.quote(delivery.url)} \\", *shown, f"  --data-raw {body}"))


def outcome_said(outcome: Outcome) -> str:
    """Say what came back."""
    if isinstance(outcome, NoAnswer):
        return f"no answer: {outcome.error}"
    return f"answer: {outcome.status}" + (f" {outcome.excerpt}" if outcome.excerpt else "")


def what_next(outcome: Outcome, decision: Decision) -> tuple[str, str]:
    """Return in one word, and in a sentence, what the notifier does about it."""
    if isinstance(decision, Delivered):
        parked = isinstance(outcome, Answer) and outcome.status == 202
        return "delivered", "delivered" + (", though no request waits for it (202)" if parked else "")
    if isinstance(decision, GiveUp):
        return "stop", "it would never send this event again: nobody waits for it"
    wait = "" if decision.not_before is None else f", not before {decision.not_before:.0f} s"
    return "retry", f"it would try again{wait}: {decision.why}"
