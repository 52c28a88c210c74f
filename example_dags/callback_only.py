"""The callback path: nothing added to the graph, one notifier on the DAG.

Airflow's DAG processor runs it about a second after the run has ended.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from ringback_notifier import CompletionNotifier

ring_back = CompletionNotifier(result="{{ ti.xcom_pull(task_ids='count') }}")

with DAG(
    "callback_only",
    schedule=None,
    params={"fail": Param(False, type="boolean", description="Let the second task fail")},
    on_success_callback=ring_back,
    on_failure_callback=ring_back,
    render_template_as_native_obj=True,
    tags=["ringback", "example"],
):

    @task
    def count() -> int:
        return 42

    @task
    def check(number: int, params: dict) -> None:
        if params["fail"]:
            raise ValueError(f"{number} is not the number that was asked for")

    check(count())
