"""A DAG that knows nothing of Ringback: the listener and the relay report its runs all the same.

Also those that no task and no callback can see: here, a run that takes longer than ``dagrun_timeout``.
"""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.sdk import DAG, Param, task

with DAG(
    "legacy_job",
    schedule=None,
    dagrun_timeout=timedelta(seconds=15),
    params={"seconds": Param(1, type="number", description="how long the work takes")},
):

    @task
    def work(params: dict) -> None:
        time.sleep(params["seconds"])

    work()
