"""What the final task and the callback do alike, short of sending: from a request and an ending to a delivery."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ringback_notifier._context import member
from ringback_notifier._delivery import Delivery
from ringback_notifier._destination import Destination
from ringback_notifier._report import Ending, Site, event_of
from ringback_notifier.outbox import OutboxEvent
from ringback_protocol import CallbackRequest, encode_event, parse_callback_request
from ringback_protocol.event import ReportedBy
from ringback_protocol.trace_context import traceparent_of

__all__ = ["delivery_of", "event_for", "requested"]


def requested(dag_run: Any) -> CallbackRequest | None:
    """Return what the run's conf asks for, or ``None``.

    :raises CallbackRequestError: naming the member that is wrong.
    """
    return parse_callback_request(member(dag_run, "conf"))


def event_for(ending: Ending, request: CallbackRequest, *, site: Site, reported_by: ReportedBy) -> OutboxEvent:
    """Build the event and encode it.

    :raises EventTooLargeError: if it cannot be made to fit.
    """
    event = event_of(ending, request, site=site, reported_by=reported_by, now=datetime.now(timezone.utc))
    return OutboxEvent(
        event_id=event.id,
        dag_id=ending.dag_id,
        run_id=ending.run_id,
        state=ending.state,
        destination=request.destination,
        url=request.url,
        body=encode_event(event, fetch_url=ending.result.fetch_url),
        reported_by=reported_by,
        ended_at=None if ending.end_date is None else ending.end_date.timestamp(),
    )


def delivery_of(event: OutboxEvent, destination: Destination) -> Delivery:
    """Return what is to be sent, if the destination allows its URL.

    :raises NotAllowedError: if it does not.
    """
    destination.check_allowed(event.url)
    return Delivery(
        event_id=event.event_id,
        url=event.url,
        body=event.body,
        destination=destination,
        traceparent=traceparent_of(event.body),
    )
