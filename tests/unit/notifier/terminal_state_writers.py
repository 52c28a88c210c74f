"""Every place in Airflow's core that ends a DAG run, and the rows of ``docs/coverage.md`` in which it is played.

``writes`` is what the scan in ``test_terminal_state_writers.py`` sees in a function: a state, ``?`` for one that is
handed in, or the function that it leaves the writing to.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AIRFLOW", "WRITERS", "Writer"]

AIRFLOW = "3.3.2"
"""The version whose places these are."""


@dataclass(frozen=True, kw_only=True)
class Writer:
    """One function that can end a run: in which rows it is played, or why in none."""

    writes: tuple[str, ...]
    rows: tuple[str, ...] = ()
    reason: str = ""


MARKED = (
    "marked failed through the API, final task unfinished",
    "marked failed through the API, no teardown",
    "marked success through the API, no teardown",
    "a finished run is marked otherwise",
)
MARKED_IN_BULK = "marked failed through the API, many runs at once"
PAUSED_FOR_GOOD = "the DAG is paused while its last task runs, and stays paused"
TIMED_OUT = "`dagrun_timeout`"

WRITERS = {
    # The scheduler decides.
    "airflow.models.dagrun:DagRun.update_state": Writer(
        writes=("FAILED", "FAILED", "SUCCESS"),
        rows=(
            "all tasks succeed",
            "a task fails",
            "a deadlock, below a finished task",
            "a deadlock, below nothing that finished",
            "all tasks skipped, no final task",
            "no tasks at all",
        ),
    ),
    "airflow.jobs.scheduler_job_runner:SchedulerJobRunner._schedule_dag_run": Writer(
        writes=("FAILED", "update_state()"), rows=(TIMED_OUT, "all tasks succeed", "a task fails")
    ),
    "airflow.jobs.scheduler_job_runner:SchedulerJobRunner._update_dag_run_state_for_paused_dags": Writer(
        writes=("update_state()",), rows=(PAUSED_FOR_GOOD,)
    ),
    # Somebody marks a run.
    "airflow.api.common.mark_tasks:_set_dag_run_state": Writer(writes=("?",), rows=MARKED),
    "airflow.api.common.mark_tasks:_set_dag_run_terminal_state": Writer(writes=("_set_dag_run_state()",), rows=MARKED),
    "airflow.api.common.mark_tasks:set_dag_run_state_to_failed": Writer(
        writes=("_set_dag_run_terminal_state()",), rows=(*MARKED[:2], MARKED[3])
    ),
    "airflow.api.common.mark_tasks:set_dag_run_state_to_success": Writer(
        writes=("_set_dag_run_terminal_state()",), rows=MARKED[2:3]
    ),
    "airflow.api_fastapi.core_api.routes.public.dag_run:patch_dag_run": Writer(
        writes=("patch_dag_run_state()",), rows=MARKED
    ),
    "airflow.api_fastapi.core_api.services.public.dag_run:patch_dag_run_state": Writer(
        writes=("set_dag_run_state_to_failed()", "set_dag_run_state_to_queued()", "set_dag_run_state_to_success()"),
        rows=MARKED,
    ),
    "airflow.api_fastapi.core_api.services.public.dag_run:BulkDagRunService.handle_bulk_update": Writer(
        writes=("patch_dag_run_state()",), rows=(MARKED_IN_BULK,)
    ),
    "airflow.api_fastapi.core_api.routes.public.backfills:cancel_backfill": Writer(
        writes=("FAILED",), rows=("a backfill is cancelled, its queued run with it",)
    ),
    # No ending of its own.
    "airflow.models.dagrun:DagRun.set_state": Writer(
        writes=("?",), reason="the setter behind the column: whoever calls it is listed here"
    ),
    "airflow.models.dagrun:DagRun.__init__": Writer(
        writes=("?",), reason="a run is born queued or running; whoever gave it another state would be listed here"
    ),
    "airflow.serialization.definitions.dag:_create_orm_dagrun": Writer(
        writes=("?",), reason="hands the state on to the model; whoever gave it a terminal one would be listed here"
    ),
    "airflow.models.dagrun:DagRun.refresh_from_db": Writer(
        writes=("?",), reason="reads what somebody else has committed"
    ),
    "airflow.models.taskinstance:clear_task_instances": Writer(
        writes=("?",), reason="sets cleared runs back; every caller asks for queued, or for no change"
    ),
    "airflow.api.common.mark_tasks:__set_dag_run_state_to_running_or_queued": Writer(
        writes=("_set_dag_run_state()",), reason="its name says it: a run goes on"
    ),
    "airflow.api.common.mark_tasks:set_dag_run_state_to_queued": Writer(
        writes=("__set_dag_run_state_to_running_or_queued()",), reason="its name says it: a run goes on"
    ),
    "airflow.models.dagrun:DagRun.dag_run_data": Writer(
        writes=("?",), reason="a copy of a run for a callback's context, never stored"
    ),
    "airflow.exceptions:DagRunAlreadyExists.serialize": Writer(
        writes=("?",), reason="a copy of a run inside an error, never stored"
    ),
    "airflow.sdk.definitions.dag:DAG.test": Writer(
        writes=("update_state()",),
        reason="dag.test() on an author's machine; tests/acceptance/test_dag_test.py runs it",
    ),
}
