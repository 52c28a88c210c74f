"""The endpoint for FastAPI: the only file that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver._answer import Answer
from ringback_receiver.errors import MissingDependency

try:
    from fastapi import APIRouter, Request, Response
    from starlette.requests import ClientDisconnect
except ModuleNotFoundError as error:
    raise MissingDependency(
        "the router needs FastAPI: pip install 'airflow-ringback[receiver]'; "
        "Receiver.handle(headers, body) serves any other framework"
    ) from error

if TYPE_CHECKING:
    from ringback_receiver._receiver import Receiver

__all__ = ["make_router"]

CONTENT_TYPES = ("application/json", "application/cloudevents+json")


def make_router(receiver: Receiver, path: str | None) -> APIRouter:
    """Return a router with one endpoint.

    :param path: by default that of the receiver's callback URL.
    """
    router = APIRouter(tags=["ringback"])
    if path is None:
        path = unquote(urlsplit(receiver.callback_url).path) or "/"

    @router.post(
        path,
        status_code=204,
        response_class=Response,
        summary="Take a completion event from Airflow",
        responses=_RESPONSES,
        openapi_extra={"requestBody": _REQUEST_BODY, "parameters": _PARAMETERS},
    )
    async def take_completion_event(request: Request) -> Response:
        """Verify a signed completion event (Standard Webhooks) and record it before answering."""
        answer = await _take(receiver, request)
        return Response(answer.body, answer.status, headers=dict(answer.headers))

    return router


async def _take(receiver: Receiver, request: Request) -> Answer:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in CONTENT_TYPES:
        return receiver.refuse(415, "unsupported_media_type")
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        return receiver.refuse(400, "malformed_header")
    # The digits are counted first: Python refuses to convert thousands of them.
    digits = length.lstrip("0") or "0"
    if len(digits) > len(str(MAX_EVENT_BYTES)) or int(digits) > MAX_EVENT_BYTES:
        return receiver.refuse(413, "too_large")
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > MAX_EVENT_BYTES:
                return receiver.refuse(413, "too_large")
            body += chunk
    except ClientDisconnect:
        return receiver.refuse(400, "incomplete")
    return await receiver.handle(request.headers.raw, bytes(body))


def _described(description: str, member: str, example: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {member: {"type": "string"}}, "required": [member]}
    return {
        "description": description,
        "content": {"application/json": {"schema": schema, "example": {member: example}}},
    }


_RESPONSES: dict[int | str, dict[str, Any]] = {
    204: {"description": "Recorded"},
    202: _described("Recorded; no request matches it yet", "outcome", "parked"),
    400: _described("Malformed", "error", "malformed_event"),
    401: _described("Not signed by a trusted key, or not just now", "error", "bad_signature"),
    403: _described("Addressed to another URL", "error", "wrong_audience"),
    410: _described("Recorded; its request was cancelled, so do not send it again", "outcome", "cancelled"),
    413: _described(f"Larger than {MAX_EVENT_BYTES} bytes", "error", "too_large"),
    415: _described("Neither JSON nor a structured CloudEvent", "error", "unsupported_media_type"),
    503: _described("Not recorded; come back after Retry-After", "error", "store_unavailable"),
}

_EVENT = {
    "type": "object",
    "title": "CompletionEvent",
    "description": "A CloudEvent 1.0 with dataschema urn:ringback:completion:1",
    "required": ["specversion", "id", "source", "type", "time", "dataschema", "audience", "data"],
    "properties": {"id": {"type": "string"}, "type": {"type": "string"}, "data": {"type": "object"}},
}

_REQUEST_BODY = {"required": True, "content": {kind: {"schema": _EVENT} for kind in CONTENT_TYPES}}

_PARAMETERS = [
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
]
