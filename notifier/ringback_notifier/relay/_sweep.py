"""Finding endings that nobody reported, in Airflow's own table of runs: that is what makes the promise hold."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from ringback_notifier._report import Site
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._judging import Refuse, Report, judge_ending
from ringback_notifier.relay._refusals import refuse
from ringback_notifier.relay._run import Run
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._settings import HINTS_WORK, RelaySettings
from ringback_notifier.relay._tally import Tally
from ringback_notifier.relay._window import Window, read_window, write_window

__all__ = ["DUTY", "Sweep"]

log = logging.getLogger(__name__)

DUTY = "sweep"
_DUTY_HELD = 60.0


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
        window = read_window(await self._database.call(Outbox.duty_value, DUTY))
        if window is None:
            now = await self._runs.server_time()
            window = Window.first(now - self._settings.sweep_lookback, overlap=self._settings.sweep_overlap)
            # At once: made anew after a failure, it would be later.
            await self._remember(window)
        while True:
            async for page in self._runs.changed(since=window.since, until=window.until, place=window.place):
                await self._take_in(page.runs, at=page.at)
                window = window.read(page.place, at=page.at)
                # Each time, so that a drain that has to stop amid a window is no reason to read it again from the
                # start.  Without the duty this took so long that another relay does it.
                if not await self._take_duty() or not await self._remember(window):
                    return
            following = window.following(overlap=self._settings.sweep_overlap)
            if not await self._remember(following) or window.is_last:
                return
            window = following
            log.info(
                "ringback relay: swept up to %s", datetime.fromtimestamp(window.watermark, timezone.utc).isoformat()
            )

    async def _remember(self, window: Window) -> bool:
        return await self._database.call(Outbox.set_duty_value, DUTY, self._owner, write_window(window))

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
            if isinstance(each, Report) and run.end_date and at - run.end_date.timestamp() < HINTS_WORK
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
