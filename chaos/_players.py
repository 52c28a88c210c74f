"""Play many runs, a bounded number at a time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaos._calls import Airflow, GaveUp, Stopped
from chaos._endings import ENDINGS
from chaos._scene import PlayedRun, Scene
from chaos._truth import ENDED, Truth

__all__ = ["Players"]

_IN_FLIGHT = 12


class Players:
    """Play runs with random endings.

    :param count: how many.
    :param deadline: by ``time.monotonic``; none is begun after it.
    """

    def __init__(
        self,
        *,
        count: int,
        seed: int,
        deadline: float,
        airflow: Airflow,
        truth: Truth,
        receiver_port: int,
        folder: Path,
        stop: threading.Event,
    ) -> None:
        self._seed = seed
        self._deadline = deadline
        self._airflow = airflow
        self._truth = truth
        self._port = receiver_port
        self._folder = folder
        self._stop = stop
        self._casts = [self._cast(number) for number in range(1, count + 1)]
        self._ended = 0
        self.begun: list[PlayedRun] = []

    def play(self, say: Callable[[int, int], None]) -> None:
        """Play all to the end.

        :param say: told now and then how many have begun and how many are over.
        """
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="player") as pool:
            try:
                waiting = [pool.submit(self._play, run, chance) for run, chance in self._casts]
                while not all(future.done() for future in waiting):
                    say(len(self.begun), self._ended)
                    time.sleep(1)
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for future in waiting:
            future.result()

    def _cast(self, number: int) -> tuple[PlayedRun, random.Random]:
        chance = random.Random(f"{self._seed}/{number}")
        endings = list(ENDINGS.values())
        ending = chance.choices(endings, [each.weight for each in endings])[0]
        run = PlayedRun(
            number=number,
            ending=ending.name,
            dag_id=ending.pick_dag(chance),
            run_id=f"chaos__{number}",
            wanted=frozenset(ENDED if ending.asked else ()),
        )
        return run, chance

    def _play(self, run: PlayedRun, chance: random.Random) -> None:
        if self._stop.is_set() or time.monotonic() > self._deadline:
            return
        run.begun = time.time()
        self.begun.append(run)
        scene = Scene(
            run=run,
            airflow=self._airflow,
            truth=self._truth,
            receiver_port=self._port,
            chance=chance,
            folder=self._folder,
            stop=self._stop,
        )
        try:
            ENDINGS[run.ending].play(scene)
        except GaveUp as error:
            run.remark = str(error)
        except Stopped:
            run.remark = "stopped"
        finally:
            self._ended += 1
