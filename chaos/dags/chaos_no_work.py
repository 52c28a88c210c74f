"""DAGs whose runs end without their last task: there is none, or it waits for one that never gets an instance."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, task

from ringback_notifier import CompletionNotifier, notify_completion

ring_back = CompletionNotifier()
CALLBACKS: dict[str, Any] = {"on_success_callback": ring_back, "on_failure_callback": ring_back}
LONG_AGO = pendulum.datetime(2020, 1, 1)


@task
def work() -> None:
    pass


@task
def stuck() -> None:
    pass


def deadlocked() -> None:
    # Airflow makes no task instance after a task's end date, and so its downstream waits for ever.
    [work.override(task_id="never", end_date=LONG_AGO)(), work()] >> stuck()


with DAG("chaos_empty_callback", schedule=None, **CALLBACKS):
    pass

with DAG("chaos_empty_bare", schedule=None):
    pass

with DAG("chaos_deadlock_both", schedule=None, **CALLBACKS):
    deadlocked()
    notify_completion()

with DAG("chaos_deadlock_bare", schedule=None):
    deadlocked()
