"""``GET /ringback/keys/{destination}`` in Airflow's API server: public keys, for everybody.

A bare ASGI application: the plugin is loaded by every component of Airflow, and FastAPI is nothing that a DAG
processor should pay for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from ringback_notifier._key_cache import KEPT, KeyCache, KeysUnknown
from ringback_notifier._public_keys import VALID_FOR, public_keys

__all__ = ["MAX_AGE", "PREFIX", "KeyEndpoint"]

PREFIX = "/ringback"
MAX_AGE = 300
"""Seconds after which whoever has the keys should ask again."""

_PATH = re.compile(rf"(?:.*{PREFIX})?/keys/([A-Za-z0-9_-]{{1,64}})")
_NO_KEYS = (
    "no keys are published for this destination: it must be named in [ringback] publish_keys, and its connection must "
    "be of type ringback and sign with Ed25519 (a whsk_ key)"
)


class KeyEndpoint:
    """The ASGI application, to be mounted under :data:`PREFIX`.

    :param names: of the destinations whose keys are published, to the letter; any other costs no look-up.
    :param look_up: gives a destination's ``whpk_`` keys, or none; it runs in a thread.
    """

    def __init__(self, names: Collection[str], look_up: Callable[[str], tuple[str, ...]] = public_keys) -> None:
        self._names = frozenset(names)
        self._cache = KeyCache(look_up)

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Answer one request; its body is not read."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            return
        status, headers, body = await self._answer(scope)
        if status != 304:  # there, they would speak of the answer that is not sent (RFC 9110, section 8.6)
            headers = {
                "content-type": "application/json",
                "content-length": str(len(body)),
                "x-content-type-options": "nosniff",
                **headers,
            }
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
        path = _PATH.fullmatch(scope["path"])
        if path is None:
            return _error(404, "not_found", f"ask for {PREFIX}/keys/<destination>")
        if scope["method"] != "GET":
            return _error(405, "method_not_allowed", "only GET", allow="GET")
        if scope.get("query_string"):
            return _error(400, "query", "there is nothing to say in a query")
        try:
            keys = await self._cache.get(path[1]) if path[1] in self._names else ()
        except KeysUnknown:
            return _error(503, "unavailable", "connections cannot be read now", **{"retry-after": f"{KEPT:.0f}"})
        if not keys:
            return _error(404, "no_public_keys", _NO_KEYS)
        published = {"destination": path[1], "keys": [{"key": key, "valid_for": VALID_FOR} for key in keys]}
        body = json.dumps(published).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"cache-control": f"public, max-age={MAX_AGE}", "etag": etag}
        return (304, headers, b"") if etag in _known_to_the_client(scope) else (200, headers, body)


def _error(status: int, error: str, detail: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"error": error, "detail": detail}).encode()
    return status, {"cache-control": "no-store", **headers}, body


def _known_to_the_client(scope: Mapping[str, Any]) -> list[str]:
    """Return the entity tags of ``If-None-Match`` (RFC 9110, section 13.1.2)."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"if-none-match"]
    return [tag.strip().removeprefix("W/") for value in values for tag in value.split(",")]
