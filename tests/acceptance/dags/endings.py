"""DAGs for every way in which a run can end: ``ending_…`` with both of our lines, ``bare_…`` without any."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowSkipException

from ringback_notifier import CompletionNotifier, notify_completion

ring_back = CompletionNotifier()
CALLBACKS = {"on_success_callback": ring_back, "on_failure_callback": ring_back}
PARAMS = {
    "seconds": Param(0, type="number"),
    "fail": Param(False, type="boolean"),
    "skip": Param(False, type="boolean"),
    "began": Param(None, type=["null", "string"]),
}
DAILY = {"schedule": "@daily", "start_date": pendulum.datetime(2026, 1, 1), "catchup": False}


@task
def work(params: dict) -> None:
    if params["began"]:
        Path(params["began"]).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(params["seconds"])
    if params["skip"]:
        raise AirflowSkipException
    if params["fail"]:
        raise ValueError("on purpose")


@task
def tidy() -> None:
    pass


@task(end_date=pendulum.datetime(2020, 1, 1))
def in_its_time() -> None:
    """Its time is over: Airflow makes no task instance of it, and what is downstream waits for ever."""


def work_and_a_leaf() -> object:
    leaf = tidy.override(task_id="leaf")()
    work() >> leaf
    return leaf


def below_a_finished_task() -> None:
    [in_its_time(), tidy()] >> work()


def below_nothing_that_finished() -> None:
    in_its_time() >> work()


def ending(name: str, build: Callable[[], object] = work, *, teardown: bool = True, **arguments: object) -> None:
    """Make two DAGs of one graph; for the bare one a teardown of the author's own takes our final task's place."""
    arguments = {"schedule": None, "params": PARAMS, **arguments}
    with DAG(f"ending_{name}", **arguments, **CALLBACKS):
        build()
        if teardown:
            notify_completion()
    with DAG(f"bare_{name}", **arguments):
        last = build()
        if teardown and last is not None:
            last >> tidy().as_teardown()


ending("usual")
ending("no_teardown", teardown=False)
ending("leaf", work_and_a_leaf)
ending("timeout", dagrun_timeout=timedelta(seconds=4))
ending("empty", lambda: None, teardown=False)
ending("deadlock", below_a_finished_task)
ending("deadlock_unstarted", below_nothing_that_finished)
ending("queued")
ending("paused")
ending("paused_for_good", teardown=False)
ending("backfill", **DAILY)
ending("backfill_cancelled", **DAILY)
