"""Two paths report the same ending, and a rerun after clearing is another one."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowSkipException

from ringback_notifier import CompletionNotifier, notify_completion

ring_back = CompletionNotifier()

with DAG(
    "both_paths",
    schedule=None,
    params={"fail": Param(False, type="boolean")},
    on_success_callback=ring_back,
    on_failure_callback=ring_back,
):

    @task
    def work(params: dict) -> str:
        if params["fail"]:
            raise ValueError("on purpose")
        return "done"

    work()
    notify_completion()

with DAG("declared_result", schedule=None) as declared:

    @task
    def compute() -> dict:
        return {"answer": 42}

    declared.add_result(compute())
    notify_completion()

with DAG("minimal_context", schedule=None, on_success_callback=CompletionNotifier()):
    # Nothing succeeds and nothing fails: Airflow's callback context then has no dag_run.
    @task
    def skip() -> None:
        raise AirflowSkipException

    skip()

with DAG("short_timeout", schedule=None, dagrun_timeout=timedelta(seconds=25)):
    # Its receiver is down: the final task must give up before the run's timeout turns it red.
    @task
    def quick() -> None:
        pass

    quick()
    notify_completion()
