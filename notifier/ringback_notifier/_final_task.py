"""The final task: a teardown of every leaf that reports the run before Airflow has even closed it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions._internal.contextmanager import DagContext

from ringback_notifier._compat import retry_settings

if TYPE_CHECKING:
    from airflow.sdk import DAG, Context

    from ringback_notifier._delivery import Delivery
    from ringback_notifier._recording import Recording
    from ringback_notifier._report import Ending, Result, Site
    from ringback_protocol import CallbackRequest

__all__ = ["NotifyCompletionOperator", "notify_completion"]

_ALERTS = (
    "on_execute_callback",
    "on_failure_callback",
    "on_retry_callback",
    "on_skipped_callback",
    "on_success_callback",
)


def notify_completion(
    result: Any = None, *, task_id: str = "ringback_notify", dag: DAG | None = None, **task_arguments: Any
) -> NotifyCompletionOperator:
    """Ring back whoever triggered the run, as the last thing that the DAG does.

    Call it once, at the end of the DAG: it adds a teardown behind every task that has no downstream task.
    Its own success or failure never changes the run's state.  A run whose ``conf`` asks for no callback
    costs one short task.

    :param result: what to tell: any JSON value, templated, or an ``XComArg``; by default the result that the
        DAG declares, where Airflow has that (≥ 3.3).
    :param task_id: of the added task.
    :param dag: by default the one being defined.
    :param task_arguments: for the operator, such as ``retries`` or ``pool``.
    :raises ValueError: if no DAG is being defined, or the DAG has such a task already.
    """
    dag = dag or DagContext.get_current()
    if dag is None:
        raise ValueError("notify_completion() must be called inside a DAG, or be given one: notify_completion(dag=…)")
    if dag.has_task(task_id):
        raise ValueError(
            f"DAG {dag.dag_id!r} has a task {task_id!r} already: call notify_completion() once, at the end"
        )
    leaves = [task for task in dag.tasks if not task.downstream_task_ids]
    final = NotifyCompletionOperator(
        task_id=task_id, result=result, dag=dag, task_group=dag.task_group, **task_arguments
    )
    for leaf in leaves:
        leaf.set_downstream(final)
    return final


class NotifyCompletionOperator(BaseOperator):
    """
    Report the run to the callback URL in its conf; made by :func:`notify_completion`.

    A delivery that fails is retried by Airflow, after growing delays or as the receiver asks.  A destination
    that is refused, a callback request that is malformed and a 410 fail at once.

    :param result: see :func:`notify_completion`.  (templated)
    :returns: as XCom, ``{"outcome": "delivered", "event_id": …, "status": …, "attempts": …}``, or
        ``{"outcome": "already_delivered", "event_id": …}``, ``{"outcome": "not_requested"}`` or
        ``{"outcome": "not_wanted", "state": …}``.
    """

    template_fields: Sequence[str] = ("result",)
    template_fields_renderers = {"result": "json"}  # noqa: RUF012
    ui_color = "#d7e8fa"

    def __init__(self, *, result: Any = None, **arguments: Any) -> None:
        # Spelled out against the DAG's default_args, which are meant for its work.
        settings: dict[str, Any] = {
            "retries": 4,
            "retry_delay": timedelta(seconds=5),
            "max_retry_delay": timedelta(minutes=2),
            "execution_timeout": timedelta(minutes=2),
            "depends_on_past": False,
            "wait_for_downstream": False,
            "do_xcom_push": True,
            "inlets": [],
            "outlets": [],
            **dict.fromkeys(_ALERTS),
            "email": None,
            **retry_settings(),
        }
        super().__init__(**{**settings, **arguments})
        self.result = result
        self._result_source: Any = None
        self._result_unavailable = False
        self.as_teardown()

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the result; one that cannot be rendered is reported as unavailable, and the rest goes out."""
        self._result_source = self.result
        from ringback_notifier._context import materialised

        try:
            super().render_template_fields(context, jinja_env)
            self.result = materialised(self.result)
        except Exception as error:
            self.log.warning("ringback: the result cannot be rendered: %s: %s", type(error).__name__, error)
            self.result, self._result_unavailable = None, True

    def execute(self, context: Context) -> dict[str, Any]:
        """Report the run, unless nobody asked."""
        from ringback_notifier._compat import airflow_exceptions
        from ringback_notifier._prepare import requested
        from ringback_notifier.errors import NotifierError
        from ringback_protocol import ProtocolError

        try:
            request = requested(context["dag_run"])
            if request is None:
                self.log.info("ringback: conf asks for no callback; nothing to do")
                return {"outcome": "not_requested"}
            return self._report(context, request)
        except Exception as error:
            if self._is_retried(context, error):
                raise
            ours = isinstance(error, NotifierError | ProtocolError)
            said = str(error) if ours else f"{type(error).__name__}: {error}"
        if self._decides_the_run(context):
            self.log.error(
                "ringback: %s (not raised: Airflow would fail the run, which has no other task that counts)", said
            )
            return {"outcome": "not_delivered"}
        raise airflow_exceptions().AirflowFailException(f"ringback: {said}")

    def _is_retried(self, context: Context, error: Exception) -> bool:
        """Tell whether Airflow is to try again: after a failed delivery, and after what nobody foresaw."""
        from ringback_notifier import errors
        from ringback_protocol import ProtocolError

        if isinstance(error, errors.DeliveryError) and not isinstance(error, errors.GaveUpError):
            return self._may_try_again(context, asked=error.retry_after)
        return not isinstance(error, errors.NotifierError | ProtocolError) and self._may_try_again(context)

    def _may_try_again(self, context: Context, *, asked: float | None = None) -> bool:
        """Tell whether a retry is left, and would end before the DAG's timeout fails the run.

        :param asked: seconds that the receiver asked to wait.
        """
        from ringback_notifier._config import attempt_timeout
        from ringback_notifier._patience import longest_delay, may_try_again

        ti: Any = context["ti"]
        if ti.try_number > ti.max_tries:
            return False
        delay = longest_delay(
            retry_delay=self.retry_delay,
            max_retry_delay=self.max_retry_delay,
            attempts=_attempts(ti, self.retries),
        )
        return may_try_again(_seconds_left(context), delay=max(delay, asked or 0.0), timeout=attempt_timeout())

    def _report(self, context: Context, request: CallbackRequest) -> dict[str, Any]:
        from ringback_notifier._config import site
        from ringback_notifier._context import load_destination
        from ringback_notifier._prepare import delivery_of, event_for
        from ringback_notifier._recording import Recording

        here = site()
        ending = self._ending(context, here)
        if not request.wants(ending.state):
            self.log.info("ringback: the run will be %s, which conf does not ask to hear of", ending.state)
            return {"outcome": "not_wanted", "state": ending.state}
        event = event_for(ending, request, site=here, reported_by="task")
        with Recording(event, log=self.log, is_retried=lambda error: self._is_retried(context, error)) as outbox:
            if outbox.settled():
                self.log.info("ringback: event %s is settled already; nothing is sent", event.event_id)
                return {"outcome": "already_delivered", "event_id": event.event_id}
            status = self._send(delivery_of(event, load_destination(request.destination)), context, outbox)
        return {
            "outcome": "delivered",
            "event_id": event.event_id,
            "status": status,
            "attempts": _attempts(context["ti"], self.retries),
        }

    def _send(self, delivery: Delivery, context: Context, outbox: Recording) -> int:
        from ringback_notifier import errors
        from ringback_notifier._allow import redacted
        from ringback_notifier._attempts import Tried
        from ringback_notifier._config import attempt_timeout
        from ringback_notifier._delivery import send_once
        from ringback_notifier._policy import Delivered, GiveUp, Retry, decide

        tried: list[Tried] = []
        timeout = max(min(attempt_timeout(), _seconds_left(context)), 1.0)
        decision = decide(send_once(delivery, timeout=timeout, tried=tried))
        if not isinstance(decision, Retry) or not self._may_try_again(context, asked=decision.not_before):
            outbox.record(decision, tried)
        outbox.tell(tried, last=logging.WARNING)
        what = f"event {delivery.event_id} to {redacted(delivery.url)}"
        if isinstance(decision, Delivered):
            return decision.status
        if isinstance(decision, GiveUp):
            raise errors.GaveUpError(f"not delivered, {what}: {decision.why}")
        raise errors.DeliveryError(f"not delivered, {what}: {decision.why}", retry_after=decision.not_before)

    def _ending(self, context: Context, here: Site) -> Ending:
        from ringback_notifier._compat import task_instances_in_worker
        from ringback_notifier._context import ending_of, task_shapes
        from ringback_notifier._prediction import predict_state
        from ringback_notifier.errors import NotifierError

        dag, dag_run = context["dag"], context["dag_run"]
        stray = set(dag.task_dict) - self.get_flat_relative_ids(upstream=True) - {self.task_id}
        if stray:
            raise NotifierError(
                f"these tasks are not upstream of {self.task_id}: {', '.join(sorted(stray))}; call notify_completion() "
                "after the last task of the DAG is defined"
            )
        instances = task_instances_in_worker(context["ti"], dag_run.dag_id, dag_run.run_id)
        instances = tuple(ti for ti in instances if ti.task_id != self.task_id)
        state = predict_state(task_shapes(dag), instances, own_task_id=self.task_id)
        return ending_of(
            dag_run,
            state=state,
            reason="task_failure" if state == "failed" else None,
            task_instances=instances,
            result=self._result(context, here),
        )

    def _result(self, context: Context, here: Site) -> Result:
        from ringback_notifier._context import declared_result, xcom_source
        from ringback_notifier._report import Result

        dag_run = context["dag_run"]
        if self._result_source is None and self.result is None:
            try:
                return declared_result(context["dag"], context["ti"], here)
            except Exception as error:
                self.log.warning("ringback: the DAG's result is unknown: %s: %s", type(error).__name__, error)
                return Result(unavailable=True)
        fetch_url = xcom_source(self._result_source, dag_run.dag_id, dag_run.run_id, here)
        return Result(value=self.result, fetch_url=fetch_url, unavailable=self._result_unavailable)

    def _decides_the_run(self, context: Context) -> bool:
        """Tell whether Airflow would take this task's state for the run's: when all other tasks are teardowns."""
        from ringback_notifier._context import task_shapes
        from ringback_notifier._prediction import effective_leaves

        return self.task_id in effective_leaves(task_shapes(context["dag"]))


def _attempts(ti: Any, retries: int | None) -> int:
    """Return how many tries this run's final task has made, not counting those before it was cleared."""
    return int(ti.try_number - (ti.max_tries - (retries or 0)))


def _seconds_left(context: Context) -> float:
    """Return the seconds until the DAG's timeout fails the run."""
    from ringback_notifier._patience import seconds_left

    return seconds_left(context["dag_run"].start_date, context["dag"].dagrun_timeout, datetime.now(timezone.utc))
