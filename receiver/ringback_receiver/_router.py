"""The endpoint for FastAPI: the only file that knows it."""

from __future__ import annotations

from typing import Any

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver._endpoint import Endpoint
from ringback_receiver._preconditions import CONTENT_TYPES
from ringback_receiver.errors import MissingDependency

try:
    from fastapi import APIRouter, Request, Response
    from fastapi.routing import APIRoute
except ModuleNotFoundError as error:
    raise MissingDependency(
        "the router needs FastAPI: pip install 'airflow-ringback[receiver]'; "
        "Receiver.handle(headers, body) serves any other framework"
    ) from error

__all__ = ["make_router"]


def make_router(endpoint: Endpoint, path: str) -> APIRouter:
    """Return a router with one endpoint."""

    class Direct(APIRoute):
        """A route that is documented as FastAPI's are, and served without what FastAPI does around an endpoint."""

        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            if not self.dependencies:  # what somebody wants to be asked first is asked
                self.app = endpoint

    router = APIRouter(tags=["ringback"], route_class=Direct)

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
        answer, headers = await endpoint.answer(request.scope, request.receive)
        return Response(answer.body, answer.status, headers=headers)

    return router


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
    408: _described("The body did not arrive in time", "error", "too_slow"),
    413: _described(f"Larger than {MAX_EVENT_BYTES} bytes", "error", "too_large"),
    415: _described("Neither JSON nor a structured CloudEvent, or compressed", "error", "unsupported_media_type"),
    431: _described("More headers than a notifier and its proxies send", "error", "headers_too_large"),
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
