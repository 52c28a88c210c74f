"""One DAG, named after its file: tests copy it and take the copies away again."""

from __future__ import annotations

import os
import time
from pathlib import Path

from airflow.sdk import DAG, Param, task

from ringback_notifier import CompletionNotifier, notify_completion

NAME = Path(__file__).stem
OURS = NAME.startswith("ending_")
ring_back = CompletionNotifier() if OURS else None


@task
def work(params: dict) -> None:
    began = Path(params["began"])
    began.write_text(str(os.getpid()), encoding="utf-8")
    patience = time.monotonic() + 60
    while began.exists() and time.monotonic() < patience:
        time.sleep(0.1)


with DAG(
    NAME,
    schedule=None,
    params={"began": Param(None, type=["null", "string"])},
    on_success_callback=ring_back,
    on_failure_callback=ring_back,
):
    work()
    if OURS and not NAME.endswith("_marked"):
        # A pending teardown would keep a marked run open.
        notify_completion()
