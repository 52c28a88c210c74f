"""Turning hints into events: what somebody saw is asked of Airflow before it is told to anybody."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from ringback_notifier._report import Site
from ringback_notifier.outbox import Outbox
from ringback_notifier.outbox._rows import HintRow, OutboxEvent
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._errors import RelayApiError
from ringback_notifier.relay._judging import (
    Judgement,
    NotYet,
    Refuse,
    Report,
    Reporter,
    Seen,
    judge_ending,
    judge_start,
)
from ringback_notifier.relay._loop import Wake, note
from ringback_notifier.relay._outage import Outage
from ringback_notifier.relay._pacing import next_look
from ringback_notifier.relay._refusals import refuse
from ringback_notifier.relay._run import Run
from ringback_notifier.relay._runs import Found, RunsApi
from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._tally import Tally

__all__ = ["Confirm"]

_TAKEN_FOR = 30.0
"""Seconds after which another relay looks at a hint that this one took and then died."""
_CLOCKS_DIFFER = 600.0
_SHORTEST_WAIT = 0.005


class Confirm:
    """Looks at due hints, batch by batch.

    :param enqueued: called when there is something new to deliver.
    """

    def __init__(
        self,
        *,
        database: Database,
        runs: RunsApi,
        site: Site,
        settings: RelaySettings,
        tally: Tally,
        enqueued: Callable[[], None],
    ) -> None:
        self._database = database
        self._runs = runs
        self._site = site
        self._settings = settings
        self._tally = tally
        self._enqueued = enqueued
        self._outage = Outage("confirming hints")
        self._denied = Outage("confirming some of the hints")
        self._taken: list[HintRow] = []
        self.wake = Wake()

    async def step(self) -> None:
        """Look at the hints that are due, or wait for some; while Airflow does not answer they stay.

        :raises OutboxError: if the outbox does not answer.
        """
        now = time.time()
        hints = await self._database.call(self._take, now=now)
        if not hints:
            await self.wake.wait(await self._idle(now))
            return
        try:
            # A run that was seen to end changes at that moment, whatever the clocks of two machines make of it.
            since = min(hint.created_at for hint in hints) - _CLOCKS_DIFFER
            found = await self._runs.find(((hint.dag_id, hint.run_id) for hint in hints), since=since)
        except RelayApiError as error:
            note(error, self._tally)
            # Not all at the same time, or they would be asked for together for ever.
            now, pause = time.time(), self._outage.failed(error)
            again = {hint.key: now + pause * (1 + random.random()) for hint in hints}  # noqa: S311
            await self._database.call(Outbox.postpone_hints, again)
        else:
            self._outage.over()
            await self._answer(hints, found)
        self._taken = []

    async def leave(self) -> None:
        """Give back what was taken and is not answered yet; only once no step is under way.

        :raises OutboxError: if the outbox does not answer.
        """
        await self._database.call(self._give_back)

    # These two run in the outbox's thread, one after the other: also what was taken by a call whose step was
    # cancelled before it returned is given back.

    def _take(self, outbox: Outbox, *, now: float) -> list[HintRow]:
        limit = self._settings.confirm_batch
        self._taken = outbox.take_hints(now=now, limit=limit, again_at=now + _TAKEN_FOR)
        return self._taken

    def _give_back(self, outbox: Outbox) -> None:
        outbox.postpone_hints(dict.fromkeys((hint.key for hint in self._taken), time.time()))

    async def _answer(self, hints: Sequence[HintRow], found: Found) -> None:
        self._note_denied(found)
        moment = datetime.now(timezone.utc)
        now = moment.timestamp()
        events: dict[str, OutboxEvent] = {}
        refusals: list[Refuse] = []
        drop: list[str] = []
        postpone: dict[str, float] = {}
        for hint in hints:
            key = (hint.dag_id, hint.run_id)
            run = found.runs.get(key)
            judgement = _judge(hint, run, site=self._site, now=moment) if run is not None else None
            if isinstance(judgement, Report):
                events[judgement.event.event_id] = judgement.event
                if judgement.event.event_id != hint.key:
                    drop.append(hint.key)
            elif isinstance(judgement, NotYet) or key in found.failed:
                pause = next_look(hint.looks, age=now - hint.created_at)
                if pause is None:
                    drop.append(hint.key)
                else:
                    postpone[hint.key] = now + pause
            else:
                drop.append(hint.key)
                if isinstance(judgement, Refuse):
                    refusals.append(judgement)
        await self._write(list(events.values()), refusals, drop, postpone, now=now)

    async def _write(
        self,
        events: list[OutboxEvent],
        refusals: list[Refuse],
        drop: list[str],
        postpone: dict[str, float],
        *,
        now: float,
    ) -> None:
        if events:
            new = await self._database.call(Outbox.enqueue, events, now=now, drop=drop)
            self._tally.confirmed += len(new)
            self._enqueued()
        elif drop:
            await self._database.call(Outbox.drop_hints, drop)
        if postpone:
            await self._database.call(Outbox.postpone_hints, postpone)
        for refusal in refusals:
            await refuse(refusal, database=self._database, tally=self._tally, now=now)

    def _note_denied(self, found: Found) -> None:
        for error in found.failed.values():
            note(error, self._tally)
            self._denied.failed(error)
        if found.runs and not found.failed:
            self._denied.over()

    async def _idle(self, now: float) -> float:
        due = await self._database.call(Outbox.next_due, now=now)
        if due is None:
            return self._settings.poll
        # Something due that is no hint, or that another relay has just taken, is no reason to spin.
        return min(max(due - time.time(), _SHORTEST_WAIT), self._settings.poll) if due > now else self._settings.poll


def _judge(hint: HintRow, run: Run, *, site: Site, now: datetime) -> Judgement:
    reported_by: Reporter = "listener" if hint.seen_by == "listener" else "relay"
    if hint.state == "running":
        return judge_start(run, expected=hint.event_id, site=site, reported_by=reported_by, now=now)
    seen = Seen(state=hint.state, age=now.timestamp() - hint.created_at)
    return judge_ending(run, site=site, reported_by=reported_by, now=now, seen=seen)
