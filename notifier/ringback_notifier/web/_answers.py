"""The page's questions to the outbox, and its orders, each within one thread's call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from ringback_notifier.outbox import EventFilter, Outbox
from ringback_notifier.web import _presenting
from ringback_notifier.web._access import Access
from ringback_notifier.web._query import BadQuery, cursor_of, cursor_text, filter_of, is_event_id, limit_of
from ringback_notifier.web._source import NoOutbox, Source

__all__ = ["Answers", "Forbidden", "NotFound"]

_RELAYS = "relay/"
_CAP = 10_000
_STEP = 200
_MOST_IDS = 100
_NOT_FOUND = "there is no such delivery, or its DAG is none that you may read"

log = logging.getLogger(__name__)


class NotFound(LookupError):
    """There is no such event, or the user may not see it, which is the same to him."""


class Forbidden(PermissionError):
    """The user may see it, and not send it again."""


class Answers:
    """What the routes answer with.  Its methods block.

    :param access_of: tells what a user may; ``None`` for nothing at all.
    :param may_run: tells whether a user may ``GET`` or ``PUT`` the runs of one DAG.
    """

    def __init__(
        self,
        source: Source,
        access_of: Callable[[Any], Access | None],
        may_run: Callable[[Any, str, str], bool],
    ) -> None:
        self._source = source
        self._access_of = access_of
        self._may_run = may_run

    def deliveries(self, user: Any, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of the list.

        :raises BadQuery: naming the member that is wrong.
        """
        access = self._access(user)
        wanted = dict(asked)
        after, limit = cursor_of(wanted.pop("after", None)), limit_of(wanted.pop("limit", None))
        wanted_rows = filter_of(wanted, dag_ids=access.readable)
        now = time.time()

        def question(outbox: Outbox) -> dict[str, Any]:
            found = outbox.page(wanted_rows, after=after, limit=limit)
            return {
                **_presenting.page(found, access),
                "relays": _presenting.relays(outbox.duties(_RELAYS), now=now),
            }

        answer = {"now": now, "may_edit": access.both is None or bool(access.both)}
        try:
            return {**answer, **self._source.ask(question)}
        except NoOutbox as error:
            return {**answer, "rows": [], "next": None, "searched_to": None, "relays": None, "no_outbox": str(error)}

    def counts(self, user: Any, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return how many deliveries there are of each status, whatever status is asked for."""
        access = self._access(user)
        wanted = filter_of({**asked, "status": ""}, dag_ids=access.readable)
        try:
            return {"counts": _presenting.counts(self._source.ask(lambda outbox: outbox.count(wanted, cap=_CAP)))}
        except NoOutbox:
            return {"counts": {}}

    def delivery(self, user: Any, event_id: str) -> dict[str, Any]:
        """Return one delivery with its attempts.

        :raises NotFound: if the user does not see one of that id.
        """
        access = self._access(user)

        def question(outbox: Outbox) -> dict[str, Any]:
            row = outbox.event(event_id) if is_event_id(event_id) else None
            if row is None or not access.reads(row.dag_id) or not self._may_run(user, "GET", row.dag_id):
                raise NotFound(_NOT_FOUND)
            return _presenting.detail(row, outbox.attempts_of(event_id), access)

        return self._source.ask(question)

    def redeliverable(self, user: Any, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return how many deliveries :meth:`redeliver_matching` would send again."""
        wanted = self._matching(self._access(user), asked)
        if wanted is None:
            return {"number": 0, "or_more": False}
        found = self._source.ask(lambda outbox: outbox.count_redeliverable(wanted, cap=_CAP))
        return {"number": found.number, "or_more": found.or_more}

    def redeliver_these(self, user: Any, event_ids: Any) -> dict[str, Any]:
        """Send deliveries again at once, and return how many that is.

        :raises Forbidden: if one is of a DAG that the user may not edit.
        """
        access = self._access(user)
        if not isinstance(event_ids, list) or not 1 <= len(event_ids) <= _MOST_IDS:
            raise BadQuery(f"event_ids must be a list of 1 to {_MOST_IDS} ids")
        if not all(isinstance(event_id, str) and is_event_id(event_id) for event_id in event_ids):
            raise BadQuery("event_ids must hold the ids of events")

        def order(outbox: Outbox) -> int:
            rows = [outbox.event(event_id) for event_id in event_ids]
            dag_ids = {row.dag_id for row in rows if row is not None}
            seen = {dag_id for dag_id in dag_ids if access.reads(dag_id) and self._may_run(user, "GET", dag_id)}
            if None in rows or seen != dag_ids:
                raise NotFound(_NOT_FOUND)
            for dag_id in sorted(dag_ids):
                if not access.edits(dag_id) or not self._may_run(user, "PUT", dag_id):
                    raise Forbidden(f"you may see the runs of DAG {dag_id}, and not edit them")
            of_these = EventFilter(dag_ids=access.both, statuses=_presenting.AGAIN_BY_ID)
            return outbox.redeliver(of_these, event_ids=event_ids, now=time.time()).number

        count = self._source.ask(order)
        log.info("ringback: %r had %d deliveries sent again: %s", access.user, count, " ".join(map(repr, event_ids)))
        return {"count": count, "next": None}

    def redeliver_matching(self, user: Any, asked: Any, after: Any) -> dict[str, Any]:
        """Send again, in one step, some of what matches and was given up, and say where the next step begins.

        :raises Forbidden: if there is no DAG that the user may edit.
        """
        access = self._access(user)
        if not isinstance(asked, dict):
            raise BadQuery("filter must be an object")
        if asked.get("until") in (None, ""):
            raise BadQuery("until must be given: what comes meanwhile is not meant")
        wanted, place = self._matching(access, asked), cursor_of(after)
        if access.both is not None and not access.both:
            raise Forbidden("there is no DAG whose runs you may edit")
        if wanted is None:
            return {"count": 0, "next": None}
        done = self._source.ask(lambda outbox: outbox.redeliver(wanted, after=place, limit=_STEP, now=time.time()))
        log.info("ringback: %r had %d deliveries sent again that match %r", access.user, done.number, _said(wanted))
        return {"count": done.number, "next": cursor_text(done.next)}

    def _access(self, user: Any) -> Access:
        access = self._access_of(user)
        if access is None:
            raise Forbidden("you may read no DAG runs")
        return access

    @staticmethod
    def _matching(access: Access, asked: Mapping[str, Any]) -> EventFilter | None:
        """Return the filter of what is to be sent again: what was given up, and of DAGs that the user may edit."""
        wanted = filter_of(asked, dag_ids=access.both)
        statuses = _presenting.AGAIN if wanted.statuses is None else _presenting.AGAIN & set(wanted.statuses)
        return replace(wanted, statuses=statuses) if statuses else None


def _said(wanted: EventFilter) -> dict[str, Any]:
    """Return what was asked for, for the log: without the DAGs that the user may edit, which may be thousands."""
    said = {name: value for name, value in asdict(wanted).items() if value is not None and name != "dag_ids"}
    return {**said, "statuses": sorted(said["statuses"])}
