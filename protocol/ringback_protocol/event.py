"""The completion event: a CloudEvent, a Standard Webhooks payload, one frozen value.

Sources: CloudEvents 1.0.2, "Context Attributes" and JSON Event Format 3; Standard Webhooks,
"Payload structure".
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ringback_protocol.errors import EventTooLargeError
from ringback_protocol.signing import ID_FORM

__all__ = [
    "DATASCHEMA",
    "MAX_EVENT_BYTES",
    "MAX_FAILED_TASKS",
    "CompletionData",
    "CompletionEvent",
    "EventType",
    "FailedTask",
    "ReportedBy",
    "ResultOmitted",
    "RunState",
    "TYPE_OF_STATE",
    "decode_event",
    "decode_without_id_form",
    "encode_event",
]

DATASCHEMA: Final = "urn:ringback:completion:1"
MAX_EVENT_BYTES = 20_000
MAX_FAILED_TASKS = 50
_MAX_REASON_CHARS = 1_000
_MAX_RESULT_DEPTH = 100

RunState = Literal["running", "success", "failed"]
EventType = Literal["airflow.dag_run.started", "airflow.dag_run.succeeded", "airflow.dag_run.failed"]
ReportedBy = Literal["task", "callback", "listener", "relay", "reconciler"]

TYPE_OF_STATE: dict[RunState, EventType] = {
    "running": "airflow.dag_run.started",
    "success": "airflow.dag_run.succeeded",
    "failed": "airflow.dag_run.failed",
}

_Instant = Annotated[datetime, Meta(tz=True)]


class FailedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task instance that did not make it; ``map_index`` is -1 unless it was mapped."""

    task_id: str
    map_index: int = -1
    state: str
    log_url: str | None = None


class ResultOmitted(msgspec.Struct, frozen=True, kw_only=True):
    """Why a result is not in the event, and where to fetch it.

    ``reason`` is ``too_large`` (``size``: its bytes as JSON), ``not_json`` or ``unavailable``; ``fetch_url``
    is an address in Airflow's REST API, or null.
    """

    reason: Literal["too_large", "not_json", "unavailable"]
    size: int | None = None
    fetch_url: str | None = None


class CompletionData(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the DAG run.

    ``failed_task_count`` is null where the reporter cannot see task instances, as the relay cannot.
    """

    dag_id: str
    run_id: str
    state: RunState
    reason: str | None = None
    reported_by: ReportedBy
    logical_date: _Instant | None = None
    run_after: _Instant | None = None
    start_date: _Instant | None = None
    end_date: _Instant | None = None
    duration: float | None = None
    failed_tasks: tuple[FailedTask, ...] = ()
    failed_task_count: int | None = 0
    result: Any = None
    result_omitted: ResultOmitted | UnsetType = UNSET
    run_url: str | None = None


class CompletionEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ending of one DAG run, for one callback URL.  Members that it does not know are ignored.

    ``traceparent`` is CloudEvents' extension for distributed tracing: whoever asked for the run.  It is no part of
    the id.
    """

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(extra_json_schema={"pattern": f"^{ID_FORM.pattern}$"})]
    source: str
    type: EventType
    subject: str
    time: _Instant
    timestamp: _Instant
    datacontenttype: Literal["application/json"]
    dataschema: Literal["urn:ringback:completion:1"]
    audience: str
    correlationid: str | None = None
    traceparent: str | None = None
    data: CompletionData

    @classmethod
    def of(
        cls,
        data: CompletionData,
        *,
        id: str,
        source: str,
        audience: str,
        correlationid: str | None,
        time: datetime,
        traceparent: str | None = None,
    ) -> CompletionEvent:
        """Wrap what happened into its envelope.

        :param id: from :func:`ringback_protocol.event_id.event_id`.
        :param source: the Airflow deployment.
        :param audience: the callback URL, byte for byte.
        :param time: when the run ended, as far as the reporter knows; aware.
        :param traceparent: of the callback request.
        """
        return cls(
            specversion="1.0",
            id=id,
            source=source,
            type=TYPE_OF_STATE[data.state],
            subject=f"{data.dag_id}/{data.run_id}",
            time=time,
            timestamp=time,
            datacontenttype="application/json",
            dataschema=DATASCHEMA,
            audience=audience,
            correlationid=correlationid,
            traceparent=traceparent,
            data=data,
        )


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(CompletionEvent)


def decode_event(body: bytes) -> CompletionEvent:
    """Decode one event.

    :raises msgspec.ValidationError: if it is JSON, but not such an event.
    :raises Exception: msgspec's other errors, ``RecursionError`` and ``ValueError`` if it is not JSON, or
        nested or numbered absurdly.
    """
    event = _DECODER.decode(body)
    if not ID_FORM.fullmatch(event.id):
        raise msgspec.ValidationError("Expected an id of letters, digits, '_' and '-' - at `$.id`")
    return event


def decode_without_id_form(body: bytes) -> CompletionEvent:
    """Decode one event as :func:`decode_event` does, for whoever compares its id with one that has the form."""
    return _DECODER.decode(body)


def encode_event(event: CompletionEvent, *, fetch_url: str | None = None) -> bytes:
    """Encode one event, making it fit into :data:`MAX_EVENT_BYTES`.

    A result that is too large or not JSON gives way to ``result_omitted``; then the list of failed
    tasks is cut (``failed_task_count`` keeps the number).

    :param fetch_url: where the result can be fetched if it does not fit.
    :raises EventTooLargeError: if even that is too large, which takes absurd ids.
    :raises ValueError: if a time has no time zone: no receiver would read it.
    """
    data = event.data
    for moment in (
        event.time,
        event.timestamp,
        data.logical_date,
        data.run_after,
        data.start_date,
        data.end_date,
    ):
        if moment is not None and moment.utcoffset() is None:
            raise ValueError("every time of an event must be aware")
    data = _with_tasks(data, MAX_FAILED_TASKS)
    data = msgspec.structs.replace(data, reason=data.reason[:_MAX_REASON_CHARS] if data.reason else data.reason)
    result = _encode_result(data.result)
    if result is None:
        data = _without_result(data, ResultOmitted(reason="not_json", fetch_url=fetch_url))
    else:
        data = msgspec.structs.replace(data, result=msgspec.Raw(result))
    body = _encode(event, data)
    if len(body) > MAX_EVENT_BYTES and result is not None and len(result) > len("null"):
        data = _without_result(data, ResultOmitted(reason="too_large", size=len(result), fetch_url=fetch_url))
        body = _encode(event, data)
    failed = len(data.failed_tasks)
    while len(body) > MAX_EVENT_BYTES and failed:
        failed //= 2
        data = _with_tasks(data, failed)
        body = _encode(event, data)
    if len(body) > MAX_EVENT_BYTES:
        raise EventTooLargeError(f"the event has {len(body)} bytes; at most {MAX_EVENT_BYTES} are allowed")
    return body


def _encode(event: CompletionEvent, data: CompletionData) -> bytes:
    return _ENCODER.encode(msgspec.structs.replace(event, data=data))


def _with_tasks(data: CompletionData, most: int) -> CompletionData:
    """Keep the first failed tasks, and the number of all."""
    if len(data.failed_tasks) <= most:
        return data
    count = max(data.failed_task_count or 0, len(data.failed_tasks))
    return msgspec.structs.replace(data, failed_tasks=data.failed_tasks[:most], failed_task_count=count)


def _without_result(data: CompletionData, why: ResultOmitted) -> CompletionData:
    return msgspec.structs.replace(data, result=None, result_omitted=why)


def _encode_result(result: object) -> bytes | None:
    """Return the result as JSON, or ``None`` if it has no JSON form that a receiver would read back."""
    try:
        encoded = _ENCODER.encode(result)
        plain = msgspec.json.decode(encoded)
    except Exception:  # an exotic result's own code may run here, and fail in any way
        return None
    return None if _deeper_than(_MAX_RESULT_DEPTH, plain) else encoded


def _deeper_than(depth: int, value: object) -> bool:
    """Tell whether a value is nested so deep that a decoder further down a stack may give up on it."""
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and (depth == 0 or any(_deeper_than(depth - 1, item) for item in value))
