"""The page's own FastAPI application: how each error is said, and how many may ask at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ringback_notifier._config import outbox_url
from ringback_notifier.errors import NotifierError
from ringback_notifier.web._airflow import access_of, may_run
from ringback_notifier.web._answers import Answers, Forbidden, NotFound
from ringback_notifier.web._assets import assets
from ringback_notifier.web._headers import Application, with_security_headers
from ringback_notifier.web._order import NotFromHere
from ringback_notifier.web._query import BadQuery
from ringback_notifier.web._routes import routes
from ringback_notifier.web._source import Source

__all__ = ["application"]

_THREADS = 4
"""Requests that ask the outbox at a time: Airflow's own threads are left alone, should the outbox hang."""

_PATIENCE = 10.0
"""Seconds that a request waits for its turn."""

_BUSY = "the outbox has been too busy to answer; try again in a moment"
_STATUS: dict[type[Exception], int] = {
    BadQuery: 400,
    Forbidden: 403,
    NotFromHere: 403,
    NotFound: 404,
    NotifierError: 503,
    TimeoutError: 503,
}

log = logging.getLogger(__name__)
T = TypeVar("T")


def application(url: Callable[[], str] = outbox_url) -> Application:
    """Return the application.

    :param url: gives ``[ringback] outbox_url``; it is asked with every question.
    """
    app = FastAPI(title="Ringback's callbacks", openapi_url=None, docs_url=None, redoc_url=None)
    turns = anyio.CapacityLimiter(_THREADS)

    async def ask(question: Callable[..., T], *arguments: Any) -> T:
        with anyio.fail_after(_PATIENCE):
            return await anyio.to_thread.run_sync(question, *arguments, limiter=turns)

    app.include_router(routes(Answers(Source(url), access_of, may_run), ask))
    app.include_router(assets())
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, _refusal(status))
    app.add_exception_handler(Exception, _failed)
    return with_security_headers(_logged(app))


def _refusal(status: int) -> Callable[[Request, Exception], JSONResponse]:
    def refuse(request: Request, error: Exception) -> JSONResponse:
        detail = _BUSY if isinstance(error, TimeoutError) else str(error)
        if isinstance(error, NotifierError):
            log.warning("ringback: the page Callbacks: %s", detail)
        return JSONResponse({"detail": detail}, status)

    return refuse


def _failed(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "something went wrong; the API server's log says what"}, 500)


def _logged(app: Application) -> Application:
    """Put what nobody foresaw into the log; Starlette has answered it by then, and raises it again."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            log.exception("ringback: the page Callbacks failed")

    return wrapped
