"""What Airflow tells of runs that start and end, on the scheduler's main thread and in the API server.

Airflow calls these before it commits (``airflow/models/dagrun.py``, ``update_state``), so what they see is a hint
and no event.  They read what is loaded, put it into a queue and return; :mod:`ringback_notifier._hint_writer` has a
thread for the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from ringback_notifier._hint_writer import hint_writer
from ringback_notifier._hints import Seen, Seldom

if TYPE_CHECKING:
    from ringback_protocol.event import RunState

__all__ = ["on_dag_run_failed", "on_dag_run_running", "on_dag_run_success"]

log = logging.getLogger(__name__)

_ASKING = ("callback", "callback_url")
_SCHEDULER_SAYS = frozenset({"success", "task_failure", "timed_out", "all_tasks_deadlocked"})
"""The messages of the scheduler, which goes on to call the DAG's own callbacks; the API server says something else."""

_trouble = Seldom(seconds=60.0)


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """Note that a run starts, for those who asked to hear of it."""
    _note(dag_run, "running", called_back=False)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Note that a run succeeds."""
    _note(dag_run, "success", called_back=msg in _SCHEDULER_SAYS)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Note that a run fails."""
    _note(dag_run, "failed", called_back=msg in _SCHEDULER_SAYS)


def _note(dag_run: Any, state: RunState, *, called_back: bool) -> None:
    """Queue what is known of a run that asks for a callback; never raise and never wait.

    :param called_back: whether Airflow will call the callbacks that the DAG may have.
    """
    try:
        # Looking an attribute up may load it from the database; what is loaded is in the instance's dictionary.
        loaded = vars(dag_run)
        conf = loaded["conf"]
        if not isinstance(conf, Mapping) or not any(key in conf for key in _ASKING):
            return
        hint_writer().put(
            Seen(
                dag_id=loaded["dag_id"],
                run_id=loaded["run_id"],
                start_date=loaded["start_date"],
                conf={key: conf[key] for key in _ASKING if key in conf},
                state=state,
                at=time.time(),
                has_callback=called_back and _has_callback(loaded.get("dag"), state),
            )
        )
    except Exception as error:
        if _trouble.again(time.monotonic()):
            log.warning(
                "ringback: a run's change to %s was not noted: %s: %s; the relay's sweep finds it",
                state,
                type(error).__name__,
                error,
            )
        log.debug("ringback: not noted", exc_info=True)


def _has_callback(dag: Any, state: RunState) -> bool:
    """Tell whether the serialized DAG says that it has a callback of its own for this outcome."""
    name = "has_on_success_callback" if state == "success" else "has_on_failure_callback"
    return bool(getattr(dag, name, False))
