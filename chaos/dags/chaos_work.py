"""One task that does as its run's conf says, on DAGs with both lines of ours, with one, and with none."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from ringback_notifier import CompletionNotifier, notify_completion

ring_back = CompletionNotifier()
CALLBACKS: dict[str, Any] = {"on_success_callback": ring_back, "on_failure_callback": ring_back}


@task
def work(dag_run: Any = None) -> None:
    asked = dag_run.conf
    if "pid_file" in asked:
        # Complete when it appears: somebody waits for it, to kill this process.
        unfinished = Path(f"{asked['pid_file']}.new")
        unfinished.write_text(str(os.getpid()), encoding="utf-8")
        unfinished.rename(asked["pid_file"])
    time.sleep(asked.get("seconds", 0))
    if asked.get("skip"):
        raise AirflowSkipException
    if asked.get("fail"):
        raise ValueError("on purpose")


with DAG("chaos_both", schedule=None, **CALLBACKS):
    work()
    notify_completion()

with DAG("chaos_task", schedule=None):
    work()
    notify_completion()

with DAG("chaos_callback", schedule=None, **CALLBACKS):
    work()

with DAG("chaos_bare", schedule=None):
    work()

with DAG("chaos_paused", schedule=None, is_paused_upon_creation=True, **CALLBACKS):
    work()
    notify_completion()

with DAG("chaos_timeout_both", schedule=None, dagrun_timeout=timedelta(seconds=8), **CALLBACKS):
    work()
    notify_completion()

with DAG("chaos_timeout_bare", schedule=None, dagrun_timeout=timedelta(seconds=8)):
    work()
