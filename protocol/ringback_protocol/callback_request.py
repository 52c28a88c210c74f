"""What a caller asks for in ``dag_run.conf``: parsed once, strictly, naming the member that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ringback_protocol.callback_url import parse_callback_url
from ringback_protocol.errors import CallbackRequestError, CallbackUrlError
from ringback_protocol.event import RunState
from ringback_protocol.trace_context import is_traceparent

__all__ = ["CallbackRequest", "RequestedEvent", "parse_callback_request"]

RequestedEvent = Literal["started", "succeeded", "failed"]
_STATE_OF: dict[RequestedEvent, RunState] = {"started": "running", "succeeded": "success", "failed": "failed"}
_KNOWN = ("url", "correlation_id", "destination", "events", "traceparent")
_DESTINATION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CORRELATION_ID = re.compile(r"[\x21-\x7e]{1,128}")


class CallbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where to report which endings, and as what.

    :param url: byte for byte as the caller wrote it; it becomes the event's ``audience``.
    :param correlation_id: opaque to us, echoed.
    :param destination: which Airflow connection (``ringback_<destination>``) signs and allows.
    :param events: what to report.
    :param traceparent: W3C trace context of whoever asks; the event carries it back.
    """

    url: str
    correlation_id: str | None = None
    destination: str = "default"
    events: tuple[RequestedEvent, ...] = ("succeeded", "failed")
    traceparent: str | None = None

    def wants(self, state: RunState) -> bool:
        """Tell whether the caller asked to hear of this state."""
        return any(_STATE_OF[event] == state for event in self.events)

    def to_conf(self) -> dict[str, Any]:
        """Return the member to put into ``dag_run.conf``; parsing it gives this value again."""
        callback = msgspec.to_builtins(self)
        if self.traceparent is None:
            del callback["traceparent"]  # only who traces says so
        return {"callback": callback}


def parse_callback_request(conf: Mapping[str, Any] | None) -> CallbackRequest | None:
    """Find and check the callback request of a run.

    :param conf: ``dag_run.conf``, which may be anything that JSON can say.
    :returns: the request, or ``None`` if the run asks for no callback.
    :raises CallbackRequestError: naming the member that is wrong and what would be right.
    """
    if not isinstance(conf, Mapping):
        return None
    if "callback_url" in conf:
        if "callback" in conf:
            raise CallbackRequestError("callback_url", "give either callback_url or callback, not both")
        return CallbackRequest(url=_url(conf["callback_url"], "callback_url"))
    if "callback" not in conf:
        return None
    callback = conf["callback"]
    if not isinstance(callback, Mapping):
        raise CallbackRequestError(
            "callback", f'must be an object such as {{"url": "https://…"}}, not {_kind(callback)}'
        )
    for key in callback:
        if key not in _KNOWN:
            raise CallbackRequestError(f"callback.{key}", f"unknown; known are {', '.join(_KNOWN)}")
    if "url" not in callback:
        raise CallbackRequestError("callback.url", "missing; it says where to send the event")
    return CallbackRequest(
        url=_url(callback["url"], "callback.url"),
        correlation_id=_correlation_id(callback.get("correlation_id")),
        destination=_destination(callback.get("destination", "default")),
        events=_events(callback.get("events", ["succeeded", "failed"])),
        traceparent=_traceparent(callback.get("traceparent")),
    )


def _url(value: object, key: str) -> str:
    try:
        parse_callback_url(value)
    except CallbackUrlError as error:
        raise CallbackRequestError(key, error.problem) from None
    return str(value)


def _correlation_id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _CORRELATION_ID.fullmatch(value):
        raise CallbackRequestError("callback.correlation_id", "must be a text of 1 to 128 visible ASCII characters")
    return value


def _destination(value: object) -> str:
    if not isinstance(value, str) or not _DESTINATION.fullmatch(value):
        raise CallbackRequestError("callback.destination", "must be 1 to 64 letters, digits, '_' or '-'")
    return value


def _events(value: object) -> tuple[RequestedEvent, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise CallbackRequestError("callback.events", f"must be a list of some of {', '.join(_STATE_OF)}")
    for event in value:
        if not isinstance(event, str) or event not in _STATE_OF:
            raise CallbackRequestError("callback.events", f"unknown event; known are {', '.join(_STATE_OF)}")
    return tuple(event for event in _STATE_OF if event in value)


def _traceparent(value: object) -> str | None:
    """Return a trace context; a malformed one is none (W3C Trace Context, 3.2.2), and costs nobody his callback."""
    return str(value) if is_traceparent(value) else None


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
