"""What the plugin registers: an ASGI application that becomes the page when somebody first asks for it.

Every component of Airflow loads the plugin, and only the API server is ever asked: FastAPI, SQLAlchemy and Airflow's
own web modules are nothing that a DAG processor should pay for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

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
        if self._application is None:
            try:
                await asyncio.to_thread(self._become)
            except Exception:
                log.exception("ringback: the page Callbacks cannot be made")
                await _unavailable(send)
                return
        assert self._application is not None
        await self._application(scope, receive, send)

    def _become(self) -> None:
        with self._building:
            if self._application is None:
                self._application = self._build()


def _build() -> Application:
    from ringback_notifier.web._application import application

    return application()


async def _unavailable(send: Callable[[Message], Awaitable[None]]) -> None:
    body = b"The page Callbacks cannot be shown. The API server's log says why."
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
