"""The questions that the page's script asks, and the one order that it gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request

from ringback_notifier.web._airflow import UserDep, base_url
from ringback_notifier.web._answers import Answers
from ringback_notifier.web._order import order_of
from ringback_notifier.web._query import BadQuery

__all__ = ["routes"]


def routes(answers: Answers, ask: Callable[..., Awaitable[Any]]) -> APIRouter:
    """Return them.

    :param ask: calls what blocks, in a thread.
    """
    router = APIRouter(prefix="/api")

    @router.get("/deliveries", response_model=None)
    async def deliveries(request: Request, user: UserDep) -> Any:
        return await ask(answers.deliveries, user, _asked(request))

    @router.get("/deliveries/{event_id}", response_model=None)
    async def delivery(event_id: str, user: UserDep) -> Any:
        return await ask(answers.delivery, user, event_id)

    @router.get("/counts", response_model=None)
    async def counts(request: Request, user: UserDep) -> Any:
        return await ask(answers.counts, user, _asked(request))

    @router.get("/redeliverable", response_model=None)
    async def redeliverable(request: Request, user: UserDep) -> Any:
        return await ask(answers.redeliverable, user, _asked(request))

    @router.post("/redeliver", response_model=None)
    async def redeliver(request: Request, user: UserDep) -> Any:
        order = await order_of(request, base_url=base_url())
        if order.keys() == {"event_ids"}:
            return await ask(answers.redeliver_these, user, order["event_ids"])
        if order.keys() == {"filter", "after"}:
            return await ask(answers.redeliver_matching, user, order["filter"], order["after"])
        raise BadQuery("say event_ids, or filter and after")

    return router


def _asked(request: Request) -> dict[str, str]:
    """Return the query's members.

    :raises BadQuery: if one is there twice.
    """
    pairs = request.query_params.multi_items()
    asked = dict(pairs)
    if len(asked) < len(pairs):
        raise BadQuery("each member may be there once")
    return asked
