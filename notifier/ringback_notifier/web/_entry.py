"""What the plugin registers: an ASGI application that becomes the page when somebody first asks for it.

Every component of Airflow loads the plugin, and only the API server is ever asked: FastAPI, SQLAlchemy and Airflow's
own web modules are nothing that a DAG processor should pay for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ringback_notifier.web._headers import SECURITY

__all__ = ["EXTERNAL_VIEWS", "PREFIX", "CallbacksPage"]

PREFIX = "/ringback/callbacks"

# Relative: Airflow's UI resolves them against its own base, so they hold under a path prefix, too.
_HREF = PREFIX.removeprefix("/") + "/"
EXTERNAL_VIEWS: tuple[dict[str, str], ...] = (
    {"name": "Callbacks", "href": _HREF, "destination": "nav", "category": "browse", "url_route": "callbacks"},
    {
        "name": "Callbacks",
        "href": _HREF + "?dag_id={DAG_ID}&run_id={RUN_ID}",
        "destination": "dag_run",
        "url_route": "run-callbacks",
    },
)
"""What Airflow's UI shows: an entry in the navigation, and a tab on each DAG run."""

_AGAIN = 60.0
"""Seconds until it is tried again to make what could not be made: anybody may ask, and importing is dear."""

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class CallbacksPage:
    """The ASGI application, to be mounted under :data:`PREFIX`.

    :param build: makes the real application; it runs in a thread, for its imports take a while.
    """

    def __init__(self, build: Callable[[], Application] | None = None) -> None:
        self._build = build or _build
        self._application: Application | None = None
        self._building = threading.Lock()
        self._not_before = 0.0

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            return
        application = self._application or await asyncio.to_thread(self._become)
        if application is None:
            await _unavailable(send)
        else:
            await application(scope, receive, send)

    def _become(self) -> Application | None:
        with self._building:
            if self._application is None and time.monotonic() >= self._not_before:
                try:
                    self._application = self._build()
                except Exception:
                    log.exception("ringback: the page Callbacks cannot be made")
                    self._not_before = time.monotonic() + _AGAIN
            return self._application


def _build() -> Application:
    from ringback_notifier.web._application import application

    return application()


async def _unavailable(send: Callable[[Message], Awaitable[None]]) -> None:
    body = b"The page Callbacks cannot be shown. The API server's log says why."
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        *((name.encode("ascii"), value.encode("ascii")) for name, value in SECURITY.items()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
