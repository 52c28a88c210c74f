"""The outbox as its users see it: one short transaction per method, whichever the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ringback_notifier.outbox import (
    _counting,
    _depths,
    _duties,
    _enqueueing,
    _hints,
    _leasing,
    _maintenance,
    _page,
    _queries,
    _recording,
    _redelivering,
    _settling,
)
from ringback_notifier.outbox._database import Database
from ringback_notifier.outbox._filter import EVERYTHING, EventFilter
from ringback_notifier.outbox._migrate import ensure_current
from ringback_notifier.outbox._page import COUNTING, LOOKS
from ringback_notifier.outbox._rows import (
    Attempt,
    Depths,
    Duty,
    Hint,
    HintRow,
    Leased,
    OutboxEvent,
    Recorded,
    Settlement,
    Status,
)
from ringback_notifier.outbox._shown import Count, Cursor, EventRow, Page, Redelivered
from ringback_notifier.outbox._url import parse_url
from ringback_notifier.outbox._watch import Watch, watch

__all__ = ["Outbox"]


class Outbox:
    """Everything that is to be delivered, that was, and that somebody saw but nobody confirmed yet.

    Any number of processes may share one.  Threads may share an object; a process forked from the one that opened it
    may not, and calls :meth:`forget`.  Times are Unix seconds.

    Every method raises :class:`~ringback_notifier.errors.OutboxUnavailable` when the database cannot be reached, is
    locked, or takes longer than ``wait``, and :class:`~ringback_notifier.errors.OutboxError` when it cannot work.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<Outbox {self._database.place}>"

    @classmethod
    def open(cls, url: str, *, wait: float) -> Outbox:
        """Connect, and see to it that the schema is this release's.

        A SQLite file is created and migrated when need be; PostgreSQL is migrated by ``ringback outbox migrate`` only.

        :param url: ``sqlite:////absolute/path`` or ``postgresql://user:password@host/database``.
        :param wait: seconds that any method may wait for a lock or for the server.
        :raises OutboxError: for a URL, file or schema that cannot be used.
        """
        database = Database(parse_url(url), wait=wait)
        try:
            ensure_current(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def forget(self) -> None:
        """Leave the connections to the process that this one was forked from; what is called next opens new ones."""
        self._database.forget()

    # --- hints

    def add_hints(self, hints: Sequence[Hint], *, now: float) -> int:
        """Write hints in one transaction and return how many are new; what is known already is left alone."""
        with self._database.writing() as connection:
            return _hints.add(connection, hints, now=now)

    def take_hints(self, *, now: float, limit: int, again_at: float) -> list[HintRow]:
        """Return hints that are due, the longest due first; nobody gets them again before ``again_at``."""
        with self._database.writing() as connection:
            return _hints.take(connection, now=now, limit=limit, again_at=again_at)

    def postpone_hints(self, keys: Mapping[str, float]) -> None:
        """Look at each hint again at the time given, and not before."""
        with self._database.writing() as connection:
            _hints.postpone(connection, keys)

    def drop_hints(self, keys: Iterable[str]) -> None:
        """Delete hints; what has become more than a hint stays."""
        with self._database.writing() as connection:
            _hints.drop(connection, keys)

    def hinted(self, event_ids: Iterable[str]) -> set[str]:
        """Return those of the ids that are there as a hint."""
        with self._database.reading() as connection:
            return _queries.hinted(connection, event_ids)

    # --- the fast paths

    def status_of(self, event_id: str) -> Status | None:
        """Return an event's status, or ``None`` if it is unknown."""
        with self._database.reading() as connection:
            return _queries.status_of(connection, event_id)

    def record(
        self, event: OutboxEvent, attempts: Sequence[Attempt], *, status: Recorded, due_at: float, now: float
    ) -> None:
        """Write down what a task or a callback did, and what is left to do.

        ``delivered`` and ``gone`` stay, and win over all else; a hint becomes what is recorded; any other status
        stays, but its body is replaced by this one if a listener or a relay built it, who know no result.

        :param due_at: when a relay is to try; only ``due`` uses it.
        """
        with self._database.writing() as connection:
            _recording.record(connection, event, attempts, status=status, due_at=due_at, now=now)

    # --- the relay: what is to be delivered

    def known(self, event_ids: Iterable[str]) -> set[str]:
        """Return those of the ids that are there as more than a hint."""
        with self._database.reading() as connection:
            return _queries.known(connection, event_ids)

    def enqueue(self, events: Sequence[OutboxEvent], *, now: float, drop: Sequence[str] = ()) -> set[str]:
        """Make events due now unless they are there as more than a hint, and return the ids of those that became due.

        :param drop: keys of hints that this answers; they are deleted in the same transaction.
        """
        with self._database.writing() as connection:
            return _enqueueing.enqueue(connection, events, now=now, drop=drop)

    def refuse(self, event: OutboxEvent, why: str, *, now: float) -> bool:
        """Write an event down as refused, with the reason, unless it is there as more than a hint.

        :returns: whether it was written.
        """
        with self._database.writing() as connection:
            return _enqueueing.refuse(connection, event, why, now=now)

    # --- the relay: delivering

    def lease(
        self, *, owner: str, now: float, until: float, limit: int, not_hosts: Collection[str] = ()
    ) -> list[Leased]:
        """Take events that are due, the longest due first, for one owner alone; an expired lease counts as due.

        :param until: when the lease ends.
        :param not_hosts: ``host:port`` that nothing may be sent to now.
        """
        with self._database.writing() as connection:
            return _leasing.lease(connection, owner=owner, now=now, until=until, limit=limit, not_hosts=not_hosts)

    def settle(self, owner: str, settlements: Sequence[Settlement], *, now: float) -> None:
        """Write down what became of leased events, with their attempts, in one transaction.

        ``delivered`` and ``gone`` count whoever holds the lease by now; the rest only if this owner still does.
        The attempts are kept in any case.
        """
        with self._database.writing() as connection:
            _settling.settle(connection, owner, settlements, now=now)

    def release(self, owner: str, *, event_ids: Sequence[str] | None, due_at: float) -> int:
        """Give leased events back, to be sent from ``due_at`` on, and return how many; no attempt is counted.

        :param event_ids: ``None`` for all of this owner.
        """
        with self._database.writing() as connection:
            return _leasing.release(connection, owner, event_ids, due_at=due_at)

    def expire(self, host: str, *, before: float, now: float) -> int:
        """Give up what has waited for a host since before a moment, and return how many events that is.

        What no relay has tried in its present schedule is not given up.
        """
        with self._database.writing() as connection:
            return _settling.expire(connection, host, before=before, now=now)

    def next_due(self, *, now: float, not_hosts: Collection[str] = ()) -> float | None:
        """Return when the next hint or event is due, ``now`` if one is already, ``None`` if there is nothing."""
        with self._database.reading() as connection:
            return _queries.next_due(connection, now=now, not_hosts=not_hosts)

    # --- duties

    def take_duty(self, name: str, holder: str, *, now: float, until: float) -> bool:
        """Take a duty that is free, left or expired, or prolong one's own, and return whether it is held now."""
        with self._database.writing() as connection:
            return _duties.take(connection, name, holder, now=now, until=until)

    def duty_value(self, name: str) -> str | None:
        """Return what the last holder wrote down, or ``None``."""
        with self._database.reading() as connection:
            return _duties.value(connection, name)

    def set_duty_value(self, name: str, holder: str, value: str) -> bool:
        """Write something down for the next holder; return ``False``, and change nothing, if another holds it."""
        with self._database.writing() as connection:
            return _duties.set_value(connection, name, holder, value)

    def leave_duty(self, name: str, holder: str) -> None:
        """Let others take a duty at once; what was written down for them stays."""
        with self._database.writing() as connection:
            _duties.leave(connection, name, holder)

    def duties(self, prefix: str) -> list[Duty]:
        """Return the duties whose name begins so, also those that ended."""
        with self._database.reading() as connection:
            return _duties.listed(connection, prefix)

    def forget_duties(self, prefix: str, *, before: float) -> int:
        """Delete the duties whose name begins so and that ended before a moment; return how many."""
        with self._database.writing() as connection:
            return _duties.forget(connection, prefix, before=before)

    # --- people and housekeeping

    def page(self, asked: EventFilter, *, after: Cursor | None = None, limit: int = 50, looks: int = LOOKS) -> Page:
        """Return rows without their bodies, the newest first by creation and id.

        :param after: where to begin: the ``next`` of the page before.
        :param looks: rows to look at.  Where no index leads to what is asked for, a page may end before it is full; it
            then says how far the search came, and the next one goes on from there.
        """
        with self._database.reading() as connection:
            return _page.page(connection, asked, after=after, limit=limit, looks=looks)

    def count(self, asked: EventFilter, *, cap: int = 10_000, looks: int = COUNTING) -> dict[Status, Count]:
        """Return how many rows there are of each status, or how many at least.

        :param cap: the most that is counted of each.
        :param looks: rows to look at.
        """
        with self._database.reading() as connection:
            return _counting.count(connection, asked, cap=cap, looks=looks)

    def event(self, event_id: str) -> EventRow | None:
        """Return a whole row, or ``None`` if there is none."""
        with self._database.reading() as connection:
            return _page.event(connection, event_id)

    def redeliver(
        self,
        asked: EventFilter = EVERYTHING,
        *,
        event_ids: Collection[str] | None = None,
        after: Cursor | None = None,
        limit: int = 500,
        now: float,
    ) -> Redelivered:
        """Make settled events due now, with a new schedule, the newest first.  The attempts on record stay.

        It is one short step: go on with ``after`` set to the answer's ``next`` until that is ``None``.

        :param asked: what events; of statuses, by default ``dead``, ``gone`` and ``refused``, and ``delivered`` too
            among ``event_ids``.
        :param event_ids: of these only, all in one step.
        :param limit: events in this step.
        :raises ValueError: for ``delivered`` without ``event_ids`` and ``since``, and for ``hint`` and ``leased``.
        """
        if event_ids is not None:
            with self._database.writing() as connection:
                return Redelivered(_redelivering.make_due(connection, asked, event_ids, named=True, now=now), None)
        # Others may write while this searches; making due looks at each row once more.
        with self._database.reading() as connection:
            found, place = _redelivering.redeliverable(connection, asked, after=after, limit=limit, looks=LOOKS)
        if not found:
            return Redelivered(0, place)
        with self._database.writing() as connection:
            return Redelivered(_redelivering.make_due(connection, asked, found, named=False, now=now), place)

    def count_redeliverable(
        self,
        asked: EventFilter = EVERYTHING,
        *,
        event_ids: Collection[str] | None = None,
        cap: int = 10_000,
        looks: int = COUNTING,
    ) -> Count:
        """Return how many events :meth:`redeliver` would make due, step by step, or how many at least.

        :raises ValueError: as there.
        """
        with self._database.reading() as connection:
            if event_ids is not None:
                return _redelivering.count_these(connection, asked, event_ids)
            return _redelivering.count_redeliverable(connection, asked, cap=cap, looks=looks)

    def count_purgeable(self, *, before: float, cap: int = 100_000) -> Count:
        """Return how many rows :meth:`purge` would delete, or how many at least."""
        with self._database.reading() as connection:
            return _maintenance.count_purgeable(connection, before=before, cap=cap)

    def purge(self, *, before: float, limit: int = 1000) -> int:
        """Delete what was settled, and hints that were created, before a moment; call it until it returns 0."""
        with self._database.writing() as connection:
            return _maintenance.purge(connection, before=before, limit=limit)

    def counts(self) -> dict[Status, int]:
        """Return how many rows have each status."""
        with self._database.reading() as connection:
            return _queries.counts(connection)

    def depths(self, *, now: float, most: int) -> Depths:
        """Return how much waits, is a hint, or was given up or refused, and since when the longest due event is due.

        :param most: how far anything is counted; what is counted so far may be more.
        """
        with self._database.reading() as connection:
            return _depths.depths(connection, now=now, most=most)

    def find(
        self,
        *,
        event_ids: Collection[str] | None = None,
        statuses: Collection[Status] | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        destination: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[EventRow]:
        """Return rows, the newest first.

        :param since: created then or later.
        :param until: created before.
        """
        with self._database.reading() as connection:
            return _queries.find(
                connection,
                event_ids=event_ids,
                statuses=statuses,
                dag_id=dag_id,
                run_id=run_id,
                destination=destination,
                since=since,
                until=until,
                limit=limit,
            )

    def attempts_of(self, event_id: str) -> list[Attempt]:
        """Return an event's attempts, the oldest first."""
        with self._database.reading() as connection:
            return _queries.attempts_of(connection, event_id)

    def watch(self) -> Watch:
        """Return something to wait on for changes, on a connection of its own."""
        return watch(self._database)
