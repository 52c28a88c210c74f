"""The page itself: a document, a style sheet and plain modules, as they lie in ``assets``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from fastapi import APIRouter, Depends, Response

from ringback_notifier.web._airflow import get_user

__all__ = ["SCRIPTS", "assets"]

SCRIPTS = (
    "api.js",
    "callbacks.js",
    "detail.js",
    "dialog.js",
    "dom.js",
    "empty.js",
    "filters.js",
    "list.js",
    "texts.js",
    "theme.js",
)

_FILES = {
    "": ("callbacks.html", "text/html"),
    "callbacks.css": ("callbacks.css", "text/css"),
    **{name: (name, "text/javascript") for name in SCRIPTS},
}


def assets() -> APIRouter:
    """Return routes for them; they hold no data, and yet are for those who are signed in."""
    router = APIRouter(dependencies=[Depends(get_user)])
    folder = resources.files("ringback_notifier.web") / "assets"
    for path, (file, kind) in _FILES.items():
        router.add_api_route(f"/{path}", _serve((folder / file).read_bytes(), kind), response_model=None)
    return router


def _serve(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def serve() -> Response:
        return Response(content, media_type=kind)  # with charset=utf-8, for all are text

    return serve
