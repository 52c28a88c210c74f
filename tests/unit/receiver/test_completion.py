"""What a caller is given."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from ringback_protocol import CompletionData, CompletionEvent, FailedTask, ResultOmitted
from ringback_receiver import Completion, CompletionFailed

ENDED = datetime(2026, 7, 2, 12, tzinfo=timezone.utc)


def completion(**data: Any) -> Completion:
    data = {"dag_id": "sales", "run_id": "run_1", "state": "success", "reported_by": "task", **data}
    event = CompletionEvent.of(
        CompletionData(**data),
        id="msg_1",
        source="https://airflow.example",
        audience="https://portal.example/",
        correlationid="req_1",
        time=ENDED,
    )
    return Completion(event=event, request_id="req_1", metadata={"customer": 7})


def test_completion_says_what_happened() -> None:
    """Everything about the run is one attribute away."""
    done = completion(result={"rows": 3}, start_date=ENDED, end_date=ENDED, run_url="https://airflow.example/r")
    assert (done.dag_id, done.run_id, done.state, done.event_id) == ("sales", "run_1", "success", "msg_1")
    assert (done.succeeded, done.failed, done.revision) == (True, False, False)
    assert (done.result, done.result_omitted) == ({"rows": 3}, None)
    assert (done.start_date, done.end_date, done.run_url) == (ENDED, ENDED, "https://airflow.example/r")
    assert (done.reason, done.reported_by, done.metadata) == (None, "task", {"customer": 7})


def test_omitted_result_says_why() -> None:
    """A result that did not fit is told apart from none."""
    omitted = ResultOmitted(reason="too_large", size=99_999, fetch_url="https://airflow.example/xcom")
    assert completion(result_omitted=omitted).result_omitted == omitted


def test_completion_is_frozen() -> None:
    """Whoever shares it cannot change it."""
    with pytest.raises(AttributeError):
        completion().revision = True  # type: ignore[misc]


def test_success_passes_and_can_be_chained() -> None:
    """``raise_for_state`` gives a successful completion back."""
    done = completion()
    assert done.raise_for_state() is done


def test_failure_is_raised_with_what_is_known() -> None:
    """The error names the run, the reason, the first failed tasks and where to look, and carries the rest."""
    tasks = tuple(FailedTask(task_id=f"task_{number}", state="failed") for number in range(4))
    failed = completion(
        state="failed",
        reason="task_failure",
        failed_tasks=tasks,
        failed_task_count=7,
        run_url="https://airflow.example/r",
    )
    with pytest.raises(CompletionFailed) as caught:
        failed.raise_for_state()
    assert str(caught.value) == (
        "DAG run 'run_1' of 'sales' ended in state 'failed' (task_failure); "
        "failed: task_0, task_1, task_2 and 4 more; see https://airflow.example/r"
    )
    assert caught.value.completion is failed
    assert (failed.failed_tasks, failed.failed_task_count, failed.failed) == (tasks, 7, True)


def test_failure_without_details_is_raised_too() -> None:
    """Nothing known is nothing said."""
    with pytest.raises(CompletionFailed, match=r"ended in state 'failed'$"):
        completion(state="failed").raise_for_state()
