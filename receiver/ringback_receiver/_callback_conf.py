"""Put the request for a callback into a run's conf."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ringback_protocol import CallbackRequestError, parse_callback_request
from ringback_protocol.trace_context import TRACEPARENT, is_traceparent
from ringback_receiver.errors import ConfigurationError

__all__ = ["check_callback", "conf_with_callback", "traceparent_in", "untraced"]


def conf_with_callback(
    conf: Mapping[str, Any] | None,
    *,
    url: str,
    correlation_id: str,
    destination: str | None = None,
    events: Iterable[str] | None = None,
    traceparent: str | None = None,
) -> dict[str, Any]:
    """Return a copy of ``conf`` that asks for a callback.

    :param traceparent: of whoever asks.
    :raises ValueError: if it asks for one already.
    :raises ringback_protocol.CallbackRequestError: naming the member that is wrong.
    """
    merged = dict(conf or {})
    for name in ("callback", "callback_url"):
        if name in merged:
            raise ValueError(f"conf already has {name!r}, which is the receiver's to set")
    callback: dict[str, Any] = {"url": url, "correlation_id": correlation_id}
    if destination is not None:
        callback["destination"] = destination
    if events is not None:
        callback["events"] = [events] if isinstance(events, str) else list(events)
    if traceparent is not None:
        callback[TRACEPARENT] = traceparent
    merged["callback"] = callback
    parse_callback_request(merged)  # what the notifier would refuse is refused here
    return merged


def untraced(conf: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a run's conf without its trace: asked for again, it is the same run in another trace."""
    plain = dict(conf or {})
    if isinstance(callback := plain.get("callback"), Mapping):
        plain["callback"] = {name: value for name, value in callback.items() if name != TRACEPARENT}
    return plain


def traceparent_in(conf: Mapping[str, Any] | None) -> str | None:
    """Return the trace that a run was asked for in, if there is one."""
    callback = (conf or {}).get("callback")
    found = callback.get(TRACEPARENT) if isinstance(callback, Mapping) else None
    return found if is_traceparent(found) else None


def check_callback(url: str, destination: str | None) -> None:
    """Check what every request will say.

    :raises ConfigurationError: naming the receiver's argument that is wrong.
    """
    try:
        conf_with_callback(None, url=url, correlation_id="x", destination=destination)
    except CallbackRequestError as error:
        argument = "callback_url" if error.key == "callback.url" else "destination"
        raise ConfigurationError(f"{argument}: {error.problem}") from error
