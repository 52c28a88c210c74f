"""One run of the proof, and what can be done to it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from chaos._calls import Airflow, GaveUp, Stopped, ask_receiver
from chaos._truth import ENDED, Truth

__all__ = ["PlayedRun", "Scene"]

_LONGEST = 900.0
"""Seconds that a run is given to get on: kills may cost it minutes."""

_LOOK_SECONDS = 0.4


@dataclass(kw_only=True)
class PlayedRun:
    """What is known about a run of the proof.

    :param wanted: the states that its caller asked to be told of; none if it asked for no callback.
    :param request_id: of the receiver's pending request, once it answered.
    :param marks: the states that were set through the API.
    :param cleared: whether it was cleared.
    :param begun: Unix seconds.
    :param remark: where it did not go as its ending says.
    """

    number: int
    ending: str
    dag_id: str
    run_id: str
    wanted: frozenset[str]
    request_id: str | None = None
    marks: tuple[str, ...] = ()
    cleared: bool = False
    begun: float = 0.0
    remark: str = ""


@dataclass(kw_only=True)
class Scene:
    """A run in progress.

    :param chance: of this run alone, so that the threads' pace does not matter.
    :param folder: for files between its task and us.
    """

    run: PlayedRun
    airflow: Airflow
    truth: Truth
    receiver_port: int
    chance: random.Random
    folder: Path
    stop: threading.Event

    @property
    def path(self) -> str:
        """The run in the API."""
        return f"/api/v2/dags/{self.run.dag_id}/dagRuns/{self.run.run_id}"

    def trigger(self, *, logical_date: bool = False, **conf: Any) -> None:
        """Trigger it, through the receiver unless nobody wants to be told."""
        # Airflow allows a DAG one run at a logical date.
        day = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=self.run.number)
        date = day.isoformat() if logical_date else None
        run = {"dag_id": self.run.dag_id, "run_id": self.run.run_id, "conf": conf, "logical_date": date}
        if self.run.wanted:
            names = {"success": "succeeded", "failed": "failed"}
            events = [names[state] for state in sorted(self.run.wanted)] if len(self.run.wanted) < len(ENDED) else None
            self.run.request_id = ask_receiver(self.receiver_port, {**run, "events": events}, self.stop)
        else:
            body = {"dag_run_id": self.run.run_id, "logical_date": date, "conf": conf}
            self.airflow.call("POST", f"/api/v2/dags/{self.run.dag_id}/dagRuns", json=body, fine=(409,))
        self.until(lambda: self.truth.run(self.run.run_id) is not None)

    def has_ended(self) -> bool:
        """Tell whether it has."""
        run = self.truth.run(self.run.run_id)
        return run is not None and run.ended

    def ended(self) -> str:
        """Wait for the end and return the state."""
        self.until(self.has_ended)
        run = self.truth.run(self.run.run_id)
        assert run is not None
        return run.state

    def ended_as(self, state: str) -> None:
        """Wait until it has ended in that state."""
        self.until(lambda: (run := self.truth.run(self.run.run_id)) is not None and run.state == state)

    def running(self) -> bool:
        """Wait until its task runs; ``False`` if it ended before that was seen."""
        self.until(lambda: "work" in self.truth.running_tasks(self.run.run_id) or self.has_ended())
        if self.has_ended():
            self.run.remark = "it ended before anything could be done to it"
            return False
        return True

    def mark(self, state: str) -> None:
        """Set the run's state through the API."""
        self.run.marks += (state,)
        self.airflow.call("PATCH", self.path, json={"state": state})

    def clear(self) -> None:
        """Clear the run, and wait until it is under way again."""
        before = self.truth.run(self.run.run_id)
        assert before is not None
        self.run.cleared = True
        self.airflow.call("POST", f"{self.path}/clear", json={"dry_run": False})
        self.until(lambda: self.truth.run(self.run.run_id) != before)

    def delete(self) -> None:
        """Delete the run."""
        self.airflow.call("DELETE", self.path, fine=(404,))
        self.until(lambda: self.truth.run(self.run.run_id) is None)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        if self.stop.wait(seconds):
            raise Stopped

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait for something about the run.

        :raises GaveUp: if it never comes true.
        """
        deadline = time.monotonic() + _LONGEST
        while not condition():
            if time.monotonic() > deadline:
                raise GaveUp("it did not get on")
            self.pause(_LOOK_SECONDS)
        return True
