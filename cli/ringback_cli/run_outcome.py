"""What has become of a run that was waited for: a value, what is printed of it, and the exit code that tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from ringback_cli.exit_codes import ExitCode
from ringback_cli.output import print_json, print_line

if TYPE_CHECKING:
    from ringback_receiver import Completion, DagRun

__all__ = ["RunOutcome", "deleted", "of_completion", "of_run", "timed_out", "unreachable"]


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """The end of the waiting.

    :param state: in Airflow's words, or ``deleted``, or ``None`` if it is not known.
    :param result: what the DAG returned.
    :param reported_by: which path reported it, if it was rung.
    :param said: one sentence for people.
    """

    code: ExitCode
    dag_id: str
    run_id: str | None
    state: str | None
    run_url: str | None = None
    result: Any = None
    reason: str | None = None
    failed_tasks: Sequence[str] = ()
    reported_by: str | None = None
    said: str = ""

    def end(self, *, as_json: bool) -> NoReturn:
        """Print the result, or with ``as_json`` everything, and end with the code."""
        if as_json:
            members = asdict(self)
            members["exit_code"] = int(members.pop("code"))
            print_json(members)
        elif self.code is ExitCode.DONE and self.result is not None:
            print_json(self.result)
        where = f": {self.run_url}" if self.run_url else ""
        print_line(f"{self.said}{where}", err=True)
        raise typer.Exit(self.code)


def of_run(run: DagRun, result: Any = None) -> RunOutcome:
    """Tell of a run that Airflow says has ended."""
    return RunOutcome(
        code=ExitCode.DONE if run.succeeded else ExitCode.RUN_FAILED,
        dag_id=run.dag_id,
        run_id=run.run_id,
        state=run.state,
        run_url=run.run_url,
        result=result,
        said=f"run {run.run_id} of {run.dag_id} {'succeeded' if run.succeeded else 'ended in state ' + run.state}",
    )


def of_completion(completion: Completion) -> RunOutcome:
    """Tell of a run that rang."""
    if completion.deleted:
        return deleted(completion.dag_id, completion.run_id)
    how = "succeeded" if completion.succeeded else f"ended in state {completion.state}"
    why = f" ({completion.reason})" if completion.reason else ""
    omitted = completion.result_omitted
    lacking = ""
    if omitted is not None:
        lacking = f"; its result is not in the event ({omitted.reason}), fetch {omitted.fetch_url or 'it in Airflow'}"
    return RunOutcome(
        code=ExitCode.DONE if completion.succeeded else ExitCode.RUN_FAILED,
        dag_id=completion.dag_id,
        run_id=completion.run_id,
        state=completion.state,
        run_url=completion.run_url,
        result=completion.result,
        reason=completion.reason,
        failed_tasks=[task.task_id for task in completion.failed_tasks],
        reported_by=completion.reported_by,
        said=f"run {completion.run_id} of {completion.dag_id} {how}{why}, said by its {completion.reported_by}"
        + lacking,
    )


def timed_out(dag_id: str, run_id: str, state: str | None, run_url: str | None = None) -> RunOutcome:
    """Tell of a run that goes on."""
    return RunOutcome(
        code=ExitCode.TIMED_OUT,
        dag_id=dag_id,
        run_id=run_id,
        state=state,
        run_url=run_url,
        said=f"run {run_id} of {dag_id} has not ended in time and goes on; wait again with {again(dag_id, run_id)}",
    )


def deleted(dag_id: str, run_id: str) -> RunOutcome:
    """Tell of a run that is not there."""
    return RunOutcome(
        code=ExitCode.RUN_DELETED,
        dag_id=dag_id,
        run_id=run_id,
        state="deleted",
        said=f"Airflow knows no run {run_id} of {dag_id}: it was deleted, or never was",
    )


def unreachable(dag_id: str, run_id: str | None, why: str) -> RunOutcome:
    """Tell that Airflow does not answer."""
    maybe = f"; run {run_id} may exist, see {again(dag_id, run_id)}" if run_id else ""
    return RunOutcome(
        code=ExitCode.UNREACHABLE,
        dag_id=dag_id,
        run_id=run_id,
        state=None,
        said=f"Airflow cannot be reached: {why}{maybe}",
    )


def again(dag_id: str, run_id: str) -> str:
    """Return the command that waits for a run."""
    return f"`ringback wait {dag_id} {run_id}`"
