"""What the benchmarks run: one task that takes as long as it is told, with and without a line of ours."""

from __future__ import annotations

import time

from airflow.sdk import DAG, Param, task

from ringback_notifier import CompletionNotifier, notify_completion

PARAMS = {"seconds": Param(0, type="number")}
ring_back = CompletionNotifier()


@task
def work(params: dict) -> None:
    time.sleep(params["seconds"])


with DAG("bench_bare", schedule=None, params=PARAMS):
    work()

with DAG("bench_task", schedule=None, params=PARAMS):
    work()
    notify_completion()

with DAG("bench_callback", schedule=None, params=PARAMS, on_success_callback=ring_back, on_failure_callback=ring_back):
    work()
