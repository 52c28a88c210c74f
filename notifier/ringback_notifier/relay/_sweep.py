"""Finding endings that nobody reported, in Airflow's own table of runs: that is what makes the promise hold."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from ringback_notifier._report import Site
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._judging import Refuse, Report, judge_ending
from ringback_notifier.relay._refusals import refuse
from ringback_notifier.relay._run import Run
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._tally import Tally

__all__ = ["DUTY", "Sweep", "Window", "read_watermark", "window_after", "write_watermark"]

log = logging.getLogger(__name__)

DUTY = "sweep"
LONGEST_WINDOW = 300.0
"""Seconds; a relay that has to stop amid a window begins it again, so it is short."""

_HINTS_WORK = 60.0
"""Seconds after a run's end in which a hint is trusted to lead to a report."""
_DUTY_HELD = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A piece of time to sweep, in Unix seconds by the server's clock."""

    since: float
    until: float

    def watermark(self, at: float) -> float:
        """Return up to when everything is known once this window is read, ``at`` being the time of its first answer."""
        return min(at, self.until)


def window_after(watermark: float, *, overlap: float) -> Window:
    """Return the window that follows what is known up to ``watermark``.

    A row may become visible minutes after the time in its ``updated_at``, hence the overlap.  After a long pause
    the window ends in the past, and more of them follow.

    :param overlap: seconds.
    """
    return Window(since=watermark - overlap, until=watermark + LONGEST_WINDOW)


def read_watermark(value: str | None) -> float | None:
    """Read what :func:`write_watermark` wrote; anything else is no watermark."""
    try:
        watermark = json.loads(value or "null")["watermark"]
    except (ValueError, TypeError, KeyError):
        return None
    return float(watermark) if isinstance(watermark, int | float) else None


def write_watermark(watermark: float) -> str:
    """Return the value to keep with the duty."""
    return json.dumps({"watermark": watermark})


class Sweep:
    """Sweeps now and then, if no other relay does.

    :param owner: the name of this relay.
    :param enqueued: called when there is something new to deliver.
    """

    def __init__(
        self,
        *,
        database: Database,
        runs: RunsApi,
        site: Site,
        settings: RelaySettings,
        owner: str,
        tally: Tally,
        enqueued: Callable[[], None],
    ) -> None:
        self._database = database
        self._runs = runs
        self._site = site
        self._settings = settings
        self._owner = owner
        self._tally = tally
        self._enqueued = enqueued

    async def step(self) -> None:
        """Sweep if that is this relay's duty.

        :raises RelayApiError: if Airflow does not answer; the next sweep begins where this one did.
        :raises OutboxError: if the outbox does not.
        """
        if await self._take_duty():
            await self._sweep()

    async def rest(self) -> None:
        """Wait for the next time."""
        await asyncio.sleep(self._settings.sweep_interval)

    async def _take_duty(self) -> bool:
        now = time.time()
        held = max(_DUTY_HELD, 2 * self._settings.sweep_interval)
        return await self._database.call(Outbox.take_duty, DUTY, self._owner, now=now, until=now + held)

    async def _sweep(self) -> None:
        watermark = read_watermark(await self._database.call(Outbox.duty_value, DUTY))
        if watermark is None:
            watermark = await self._runs.server_time() - self._settings.sweep_lookback + self._settings.sweep_overlap
            # At once: made anew after a failure, it would be later.
            await self._database.call(Outbox.set_duty_value, DUTY, self._owner, write_watermark(watermark))
        while True:
            window = window_after(watermark, overlap=self._settings.sweep_overlap)
            started: float | None = None
            async for page in self._runs.changed(since=window.since, until=window.until):
                started = page.at if started is None else started
                await self._take_in(page.runs, at=page.at)
                if not await self._take_duty():
                    return  # this took so long that another relay does it
            if started is None:
                return
            watermark = window.watermark(started)
            if not await self._database.call(Outbox.set_duty_value, DUTY, self._owner, write_watermark(watermark)):
                return
            if started <= window.until:
                return
            log.info("ringback relay: swept up to %s", datetime.fromtimestamp(watermark, timezone.utc).isoformat())

    async def _take_in(self, runs: Sequence[Run], *, at: float) -> None:
        """Enqueue what is not in the outbox.

        :param at: now, by the server's clock.
        """
        self._tally.swept += len(runs)
        moment = datetime.now(timezone.utc)
        now = moment.timestamp()
        settled = [run for run in runs if run.end_date is None or at - run.end_date.timestamp() >= self._settings.grace]
        judged = [judge_ending(run, site=self._site, reported_by="relay", now=moment) for run in settled]
        wanted = {found.event.event_id: found for found in judged if isinstance(found, Report | Refuse)}
        if not wanted:
            return
        known = await self._database.call(Outbox.known, wanted)
        missing = [event_id for event_id in wanted if event_id not in known]
        if not missing:
            return
        young = [
            each.event.event_id
            for run, each in zip(settled, judged, strict=True)
            if isinstance(each, Report) and run.end_date and at - run.end_date.timestamp() < _HINTS_WORK
        ]
        hinted = await self._database.call(Outbox.hinted, young) if young else set()
        found = [wanted[event_id] for event_id in missing if event_id not in hinted]
        events = [each.event for each in found if isinstance(each, Report)]
        if events:
            new = await self._database.call(Outbox.enqueue, events, now=now)
            self._tally.enqueued += len(new)
            self._enqueued()
        for each in found:
            if isinstance(each, Refuse):
                await refuse(each, database=self._database, tally=self._tally, now=now)
