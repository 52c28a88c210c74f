"""Every scene of the matrix, played on one stage: some at once, the awkward ones last; what was seen is plain data."""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
from conftest import Exchange, Line, make_receiver, recording
from ending_scenes import CASES, Expected, Scene
from fastapi import FastAPI

from demo.local_airflow import LocalAirflow
from demo.serving import serving_app
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient, Completion, CompletionTimeout

__all__ = ["Act", "Stage", "play_all"]

AT_ONCE = 5
SILENCE = 6.0
"""Seconds after which nobody reports any more: the slowest callback seen took four."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A set of DAGs on an Airflow, and which paths are there to report their runs.

    :param kind: ``ending`` for DAGs with both of our lines, ``bare`` for the same without any.
    :param paths: each of these must report what the matrix says it reports.
    :param relay: one is there, so that every ending is reported by somebody.
    """

    airflow: LocalAirflow
    kind: str
    paths: frozenset[str]
    relay: bool


@dataclass
class Act:
    """What one scene showed."""

    failure: str = ""
    state: str | None = None
    ended_at: float = 0.0
    news: list[Exchange] = field(default_factory=list)
    asked: bool = False
    """The run was triggered by the receiver, which waits for it."""
    rang_before: bool = False
    """The same run ended, and was reported, once before."""
    completion: Completion | None = None
    """What the caller who waited was given."""
    completions: list[Completion] = field(default_factory=list)
    """What the receiver's handlers were given, each event once."""

    @property
    def reporters(self) -> set[str]:
        return {exchange.reporter for exchange in self.news}

    def delay(self, reporter: str) -> float:
        """Seconds from the run's end to the first report of one path."""
        return min(exchange.received_at for exchange in self.news if exchange.reporter == reporter) - self.ended_at


def play_all(stages: Sequence[Stage], key: PrivateKey, port: int, folder: Path) -> list[dict[str, Act]]:
    """Play every scene on each stage, wait until all is silent, and return what was seen, by title.

    :param stages: of one Airflow.
    :param port: of the receiver that all runs ring.
    """
    return asyncio.run(_play_all(stages, key, port, folder))


async def _play_all(stages: Sequence[Stage], key: PrivateKey, port: int, folder: Path) -> list[dict[str, Act]]:
    airflow = stages[0].airflow
    async with (
        AsyncAirflowClient(
            airflow.url, username=airflow.username, password=airflow.password, timeout=60, trust_env=False
        ) as client,
        _api(airflow) as api,
    ):
        receiver = make_receiver(client, key, port, folder)
        line = Line(receiver)
        handled: dict[str, Completion] = {}

        @receiver.on_completion(name="matrix")
        async def note(completion: Completion) -> None:
            handled[completion.event_id] = completion

        app = FastAPI(lifespan=receiver.lifespan)
        app.include_router(receiver.router)
        few = asyncio.Semaphore(AT_ONCE)
        played = [_Played(stage, line, api, folder, few) for stage in stages]
        async with serving_app(recording(app, line.exchanges), port):
            slow = asyncio.gather(*(each.slow() for each in played))
            for each in played:
                await each.warm_up()
            await asyncio.gather(slow, *(each.together() for each in played))
            for each in played:
                await each.apart()
            await asyncio.sleep(SILENCE)
            return [await each.close(handled) for each in played]


class _Played:
    """The scenes of one stage."""

    def __init__(self, stage: Stage, line: Line, api: httpx.AsyncClient, folder: Path, few: asyncio.Semaphore) -> None:
        self.stage, self.line, self.api, self.folder, self.few = stage, line, api, folder, few
        self.scenes = {title: self.scene() for title in CASES}
        self.acts = {title: Act() for title in CASES}

    def scene(self) -> Scene:
        usual = CASES["all tasks succeed"].reporters
        return Scene(self.line, self.stage.airflow, self.api, self.stage.kind, self.folder, usual & self.stage.paths)

    async def warm_up(self) -> None:
        """Take the first callback out of the figures: the DAG processor loads its API for it."""
        act = Act()
        await self.one(CASES["all tasks succeed"], act, self.scene())
        assert not act.failure, act.failure

    async def slow(self) -> None:
        await self._several(lambda expected: expected.slow)

    async def together(self) -> None:
        await self._several(lambda expected: not expected.slow and not expected.apart)

    async def apart(self) -> None:
        for title in CASES:
            if CASES[title].apart:
                await self.one(CASES[title], self.acts[title], self.scenes[title])

    async def _several(self, chosen: Callable[[Expected], bool]) -> None:
        titles = [title for title in CASES if chosen(CASES[title])]
        await asyncio.gather(*(self.one(CASES[title], self.acts[title], self.scenes[title]) for title in titles))

    async def one(self, expected: Expected, act: Act, scene: Scene) -> None:
        """Play one scene until its run has ended and is reported; what goes wrong is kept for its test."""
        try:
            async with contextlib.nullcontext() if expected.slow else self.few:
                await expected.play(scene)
                act.state = await scene.ended() if expected.state else None
            if expected.state:
                ended: str | None = (await scene.run())["end_date"]
                # A backfill that is cancelled leaves its runs without one.
                act.ended_at = (
                    datetime.fromisoformat(ended.replace("Z", "+00:00")).timestamp() if ended else time.time()
                )
                await scene.reported(expected.reporters & self.stage.paths)
                if self.stage.relay:
                    await scene.reported_at_all()
        except Exception:
            act.failure = traceback.format_exc()

    async def close(self, handled: dict[str, Completion]) -> dict[str, Act]:
        for title, scene in self.scenes.items():
            act = self.acts[title]
            act.news = scene.news()
            act.rang_before = bool(scene.known)
            ids = {exchange.body["id"] for exchange in scene.exchanges()}
            act.completions = [handled[event_id] for event_id in ids if event_id in handled]
            if scene.handle is not None:
                act.asked = True
                with contextlib.suppress(CompletionTimeout):
                    act.completion = await scene.handle.completion(timeout=0)
        return self.acts


def _api(airflow: LocalAirflow) -> httpx.AsyncClient:
    with airflow.api() as signed_in:
        headers = {"authorization": signed_in.headers["authorization"]}
    return httpx.AsyncClient(base_url=airflow.url, headers=headers, timeout=60, trust_env=False)
