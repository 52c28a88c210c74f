"""A request that changes something: from the page itself, in JSON, and not too long."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from ringback_notifier.web._origin import is_json, is_own_origin
from ringback_notifier.web._query import BadQuery

__all__ = ["NotFromHere", "order_of"]

_LONGEST = 65_536


class NotFromHere(PermissionError):
    """Another page's request, or one that a form may have sent."""


async def order_of(request: Request, *, base_url: str | None) -> dict[str, Any]:
    """Return the JSON object that a request carries.

    :raises NotFromHere: if it may come from another site.
    :raises BadQuery: if it is no JSON object.
    """
    headers = request.headers
    if not is_json(headers.get("content-type")):
        raise NotFromHere("the content-type must be application/json")
    if not is_own_origin(headers.get("origin"), base_url=base_url, scheme=request.url.scheme, host=headers.get("host")):
        raise NotFromHere(
            "this request does not come from Airflow's own page; behind a proxy, [api] base_url must be the address "
            "that the browser shows"
        )
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise BadQuery(f"the body is longer than {_LONGEST} bytes")
    try:
        order = json.loads(body)
    except (ValueError, RecursionError):
        raise BadQuery("the body is no JSON") from None
    if not isinstance(order, dict):
        raise BadQuery("the body must be a JSON object")
    return order
