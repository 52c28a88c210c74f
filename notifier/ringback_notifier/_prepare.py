"""What the final task and the callback do alike, short of sending: from a request and an ending to a delivery."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ringback_notifier._context import member
from ringback_notifier._delivery import Delivery
from ringback_notifier._destination import Destination
from ringback_notifier._report import Ending, Site, event_of
from ringback_protocol import CallbackRequest, encode_event, parse_callback_request
from ringback_protocol.event import ReportedBy

__all__ = ["delivery_of", "requested"]


def requested(dag_run: Any) -> CallbackRequest | None:
    """Return what the run's conf asks for, or ``None``.

    :raises CallbackRequestError: naming the member that is wrong.
    """
    return parse_callback_request(member(dag_run, "conf"))


def delivery_of(
    ending: Ending, request: CallbackRequest, destination: Destination, *, site: Site, reported_by: ReportedBy
) -> Delivery:
    """Build the event and encode it, once the destination allows its URL.

    :raises NotAllowedError: if it does not.
    """
    destination.check_allowed(request.url)
    event = event_of(ending, request, site=site, reported_by=reported_by, now=datetime.now(timezone.utc))
    return Delivery(
        event_id=event.id,
        url=request.url,
        body=encode_event(event, fetch_url=ending.result.fetch_url),
        destination=destination,
    )
