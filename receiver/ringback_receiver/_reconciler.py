"""Ask Airflow about overdue requests: for runs whose callback never came.

One replica at a time does so, whoever holds the lease; what it finds goes the way of any other event.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence

from ringback_protocol import CompletionEvent
from ringback_receiver._airflow import RunFinder
from ringback_receiver._airflow_errors import AirflowError
from ringback_receiver._airflow_runs import RunKey
from ringback_receiver._handlers import describe
from ringback_receiver._matching import PendingRequest, Transition
from ringback_receiver._reconciling import Abandon, Resolve, Verdict, check_again, judge
from ringback_receiver._store import Checked, Store

__all__ = ["Reconciler"]

LOOK_INTERVAL = 5.0
"""Seconds between two looks for overdue requests."""
LONGEST_PAUSE = 300.0
"""Seconds between two attempts while Airflow is away: doubled each time, up to this."""
LEASE = 120.0
"""Seconds after which another replica takes over from one that died."""
AT_ONCE = 100
"""Requests in one look: what one of Airflow's lists holds."""

log = logging.getLogger("ringback_receiver")


_SETTLES = frozenset({Transition.RESOLVE, Transition.REVISE, Transition.LATE})
"""What an ending may make of its request, so that there is nothing more to ask."""


class Reconciler:
    """Look for overdue requests, and resolve them by what Airflow says.

    :param schedule: seconds until the first check and between further ones; not empty.
    :param source: the Airflow deployment, as its own events name it.
    :param clock: Unix seconds.
    :param record: takes an event, with its body, as if it had been rung.
    :param abandon: gives a request up, for a reason.
    """

    def __init__(
        self,
        store: Store,
        airflow: RunFinder,
        *,
        callback_url: str,
        schedule: Sequence[float],
        source: str,
        clock: Callable[[], float],
        record: Callable[[CompletionEvent, bytes], Awaitable[Transition]],
        abandon: Callable[[PendingRequest, str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._airflow = airflow
        self._callback_url = callback_url
        self._schedule = schedule
        self._source = source
        self._clock = clock
        self._record = record
        self._abandon = abandon
        self._interval = min(LOOK_INTERVAL, *schedule)
        self._lease = f"reconciler {callback_url}"
        self._holder = secrets.token_hex(8)
        self._held_until = 0.0
        self._failures = 0

    async def look(self) -> float:
        """Look once; return the seconds until the next look.

        :raises StoreError: the store cannot do its work now.
        """
        # Looked at first: while nothing is due nobody writes.
        if not await self._due(1) or not await self._hold():
            return self._interval
        due = await self._due(AT_ONCE)  # whoever held the lease before may have been at it
        if not due:
            return self._interval
        try:
            verdicts = await self._ask(due)
        except AirflowError as error:
            return await self._put_off(len(due), error)
        self._failures = 0
        outcomes = await asyncio.gather(
            *(self._carry_out(request, verdict) for request, verdict in verdicts), return_exceptions=True
        )
        checks = [outcome for outcome in outcomes if isinstance(outcome, Checked)]
        for (request, _), outcome in zip(verdicts, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                # It is put off like one that cannot be judged yet: it must not hold up the others.
                log.warning("reconciler: request %s: %s", request.request_id, describe(outcome))
                checks.append(check_again(request, self._clock(), self._schedule, exists=False))
        await self._store.note_checks(checks)
        log.info("reconciler: asked Airflow about %d runs, %d go on", len(due), len(checks))
        return 0.0 if len(due) == AT_ONCE and len(checks) < len(due) else self._interval

    async def let_go(self) -> None:
        """Let another replica look.

        :raises StoreError: the store cannot do its work now.
        """
        self._held_until = 0.0
        await self._store.release_lease(self._lease, holder=self._holder)

    async def _due(self, limit: int) -> list[PendingRequest]:
        return await self._store.due_checks(self._callback_url, now=self._clock(), limit=limit)

    async def _hold(self) -> bool:
        """Hold the lease for at least half its time."""
        now = self._clock()
        if self._held_until - now < LEASE / 2:
            until = now + LEASE
            if not await self._store.hold_lease(self._lease, holder=self._holder, now=now, until=until):
                return False
            self._held_until = until
        return True

    async def _ask(self, due: Sequence[PendingRequest]) -> list[tuple[PendingRequest, Verdict]]:
        found = await self._airflow.find_runs([(request.dag_id, request.run_id) for request in due])
        now = self._clock()
        verdicts: list[tuple[PendingRequest, Verdict]] = []
        trouble: dict[RunKey, Exception] = dict(found.unreadable)
        for request in due:
            verdict: Verdict = check_again(request, now, self._schedule, exists=False)
            key = (request.dag_id, request.run_id)
            if key in found.runs or key in found.gone:
                try:
                    run = found.runs.get(key)
                    verdict = judge(request, run, source=self._source, now=now, schedule=self._schedule)
                except ValueError as error:
                    trouble[key] = error
            verdicts.append((request, verdict))
        for (dag_id, run_id), problem in list(trouble.items())[:1]:
            log.warning(
                "reconciler: %d runs cannot be read, and are asked for again later; the first is %r of %r: %s",
                len(trouble),
                run_id,
                dag_id,
                describe(problem),
            )
        return verdicts

    async def _carry_out(self, request: PendingRequest, verdict: Verdict) -> Checked | None:
        """Do what follows, and return when to ask again if that settled nothing."""
        if isinstance(verdict, Resolve):
            if await self._record(verdict.event, verdict.body) not in _SETTLES:
                # As where the ending is known already, and resolved another request for the same run.
                return check_again(request, self._clock(), self._schedule, exists=True)
        elif isinstance(verdict, Abandon):
            await self._abandon(request, verdict.why)
        return verdict if isinstance(verdict, Checked) else None

    async def _put_off(self, count: int, error: AirflowError) -> float:
        """Wait for Airflow to come back; another replica may try meanwhile, for the trouble may be ours."""
        await self.let_go()
        pause = min(LONGEST_PAUSE, self._interval * 2.0 ** min(self._failures, 20))
        self._failures += 1
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        log.log(level, "reconciler: cannot ask Airflow about %d runs, next in %.0f s: %s", count, pause, error)
        return pause
