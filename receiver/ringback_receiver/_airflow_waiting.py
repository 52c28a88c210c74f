"""Airflow's ``/wait``: one answer that goes on until the run has ended.  Pure.

``GET /api/v2/dags/{dag_id}/dagRuns/{run_id}/wait?interval=s`` answers a line of JSON per interval, and with the last
one what the DAG declares as its result.  It is there from Airflow 3.1 on, and experimental: where it is not, or is
not what it was, runs are polled.  A run that is deleted meanwhile ends the answer without a word
(airflow/api_fastapi/core_api/services/public/dag_run.py, ``DagRunWaiter``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from ringback_receiver._airflow_answers import error_of
from ringback_receiver._airflow_errors import AirflowProtocolError, AirflowUnreachable, RunNotFound
from ringback_receiver._airflow_wire import Follow, Operation, Request, Response, Sleep, path
from ringback_receiver._dag_run import TERMINAL_STATES

__all__ = ["Call", "Tell", "follow_run"]

Tell = Callable[[str], None]
"""Is told a run's state whenever Airflow was asked for it."""

GROWTH = 1.5
LONGEST_PAUSE = 30.0


class Call(Protocol):
    """Sends a request with a token, wrapped as it is told."""

    def __call__(self, request: Request, wrap: Callable[[Request], Request | Follow]) -> Operation[Response]:
        """Return the answer."""


class _Line(msgspec.Struct):
    state: str
    results: dict[str, Any] = {}


class _Seen:
    """What the lines of one answer have said."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.ended = False
        self.result: Any = None

    def line(self, text: bytes) -> bool:
        """Read a line, and return whether it was the last that is of interest.

        :raises AirflowProtocolError: it is not what Airflow writes.
        """
        try:
            line = msgspec.json.decode(text, type=_Line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise AirflowProtocolError("Airflow's /wait does not answer as it used to") from None
        self._tell(line.state)
        self.ended = line.state in TERMINAL_STATES
        if self.ended:
            values = list(line.results.values())
            # As notify_completion() has it: one declaring task gives its value, several an object by task id.
            self.result = values[0] if len(values) == 1 else (line.results or None)
        return self.ended


def follow_run(
    call: Call, dag_id: str, run_id: str, *, interval: float, left: Callable[[], float], tell: Tell
) -> Operation[Any]:
    """Follow a run until it has ended, and return the DAG's result.

    ``None`` if it has none, or if ``/wait`` is of no use here, or the time is up: whoever asks for the run then
    knows which.

    :param interval: seconds between two looks of Airflow's at the run.
    :param left: seconds until the time is up.
    :raises RunNotFound: there is no such run, or it was deleted meanwhile.
    """
    request = Request(
        method="GET",
        path=path("/api/v2/dags/{dag_id}/dagRuns/{run_id}/wait", dag_id=dag_id, run_id=run_id),
        params={"interval": str(interval)},
    )
    pause = interval
    while (within := left()) > 0:
        seen = _Seen(tell)
        try:
            response = yield from call(request, partial(Follow, each=seen.line, pause=interval, within=within))
        except AirflowUnreachable:
            pass  # it may be back by the time it is asked again
        except AirflowProtocolError:
            return None
        else:
            if response.status != 200:
                error = error_of(request, response, not_found=RunNotFound, names=run_id)
                if isinstance(error, RunNotFound):
                    raise error
                if not isinstance(error, AirflowUnreachable):
                    return None
        if seen.ended:
            return seen.result
        yield Sleep(max(0.0, min(left(), pause)))
        pause = min(pause * GROWTH, LONGEST_PAUSE)
    return None
