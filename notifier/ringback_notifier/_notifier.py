"""The DAG-run callback: a notifier that reports the run about a second after Airflow has closed it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.notifier import BaseNotifier

from ringback_notifier._budget import SharedBudget

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ringback_notifier._prediction import TaskInstance
    from ringback_notifier._report import Result, Site
    from ringback_notifier.outbox import OutboxEvent
    from ringback_protocol import CallbackRequest

__all__ = ["CompletionNotifier"]

_FINAL_STATES = ("success", "failed")
_SHARED = SharedBudget()


class CompletionNotifier(BaseNotifier):
    """
    Report the run to the callback URL in its conf.

    Use it as ``on_success_callback`` and ``on_failure_callback`` of a DAG.  It sends within a budget
    (``[ringback] callback_budget``), because the DAG processor kills callbacks that take long.  What goes
    wrong (a receiver that is down, a URL that is not allowed) is logged as an error and never raised.

    :param result: what to tell: any JSON value, templated, or an ``XComArg``; by default the result that the
        DAG declares, where Airflow has that (≥ 3.3).  (templated)
    """

    template_fields: Sequence[str] = ("result",)

    def __init__(self, *, result: Any = None, context: Any = None) -> None:
        super().__init__(*([] if context is None else [context]))
        self.result = result
        self._result_source: Any = result
        self._result_unavailable = False

    def __call__(self, *args: Any) -> None:
        """Report one run.  Works on a copy: one instance serves every run, and rendering changes it."""
        if len(args) != 1:
            self.log.warning("ringback: called with something that is no context; nothing reported")
            return
        copy.copy(self).notify(args[0])

    def __await__(self) -> Generator[Any, Any, None]:
        """Report one run from an event loop; its context was given to the constructor."""
        return copy.copy(self).async_notify(self.context).__await__()

    def get_template_env(self, dag: Any = None) -> Any:
        """Return a template environment, also for the serialized DAG of ``dag.test()``, which has none."""
        return super().get_template_env(dag if hasattr(dag, "get_template_env") else None)

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the result; one that cannot be rendered is reported as unavailable, and the rest goes out."""
        from ringback_notifier._context import materialised

        try:
            super().render_template_fields(context, jinja_env)
            self.result = materialised(self.result)
        except Exception as error:
            self.log.warning("ringback: the result cannot be rendered: %s: %s", type(error).__name__, error)
            self.result, self._result_unavailable = None, True

    def notify(self, context: Context) -> None:
        """Send, and try again while the budget lasts."""
        from ringback_notifier._attempts import Tried
        from ringback_notifier._compat import task_instances_in_callback
        from ringback_notifier._config import attempt_timeout, callback_budget, callbacks_budget, callbacks_window
        from ringback_notifier._context import load_destination
        from ringback_notifier._delivery import send_within
        from ringback_notifier._policy import Retry
        from ringback_notifier._prepare import delivery_of
        from ringback_notifier._recording import Recording

        started = time.monotonic()
        with self._errors_logged():
            try:
                left = _SHARED.left(started, total=callbacks_budget(), window=callbacks_window())
                budget = min(callback_budget(), left)
                if (request := self._request(context)) is None:
                    return
                event = self._event(context, request, task_instances_in_callback)
                with Recording(event, log=self.log) as outbox:
                    if outbox.settled():
                        self._already_settled(event)
                        return
                    delivery = delivery_of(event, load_destination(request.destination))
                    budget -= outbox.waited
                    tried: list[Tried] = []
                    if budget > 0:
                        decision = send_within(delivery, budget=budget, timeout=attempt_timeout(), tried=tried)
                        outbox.record(decision, tried)
                        outbox.tell(tried, last=logging.ERROR)
                    else:
                        outbox.record(Retry(why=""), tried)
                        self.log.error(
                            "ringback: event %s not sent: the callbacks before it in this file used up the time that "
                            "the DAG processor allows",
                            event.event_id,
                        )
            finally:
                now = time.monotonic()
                _SHARED.spend(now - started, now)

    async def async_notify(self, context: Context) -> None:
        """Send, and try again while the budget lasts; the same as :meth:`notify`, for an event loop."""
        from ringback_notifier._attempts import Tried
        from ringback_notifier._config import attempt_timeout, callback_budget
        from ringback_notifier._context import aload_destination
        from ringback_notifier._delivery import asend_within
        from ringback_notifier._prepare import delivery_of
        from ringback_notifier._recording import Recording

        with self._errors_logged():
            # In a thread, for without a dag_run it writes to the outbox.
            if (request := await asyncio.to_thread(self._request, context)) is None:
                return
            event = self._event(context, request)
            async with Recording(event, log=self.log) as outbox:
                if await outbox.asettled():
                    self._already_settled(event)
                    return
                delivery = delivery_of(event, await aload_destination(request.destination))
                tried: list[Tried] = []
                decision = await asend_within(
                    delivery, budget=callback_budget(), timeout=attempt_timeout(), tried=tried
                )
                await outbox.arecord(decision, tried)
                await asyncio.to_thread(outbox.tell, tried, last=logging.ERROR)

    @contextlib.contextmanager
    def _errors_logged(self) -> Iterator[None]:
        from ringback_notifier.errors import NotifierError
        from ringback_protocol import ProtocolError

        try:
            yield
        except (NotifierError, ProtocolError) as error:
            self.log.error("ringback: nothing reported: %s", error)
        except Exception:
            self.log.exception("ringback: nothing reported")

    def _request(self, context: Context) -> CallbackRequest | None:
        """Return what is to be reported, or ``None`` if nothing is."""
        from ringback_notifier._prepare import requested

        dag_run = context.get("dag_run")
        if dag_run is None:
            self._leave_to_the_relay(context)
            return None
        request = requested(dag_run)
        if request is None:
            return None
        state = _state(dag_run)
        if state not in _FINAL_STATES:
            self.log.warning("ringback: nothing reported: the run is %s; use this on the DAG, not on a task", state)
            return None
        return request if request.wants(state) else None

    def _leave_to_the_relay(self, context: Context) -> None:
        from ringback_notifier._recording import leave_hint
        from ringback_protocol.log_fields import shown

        run_id, dag = context.get("run_id"), context.get("dag")
        left = dag is not None and run_id is not None and leave_hint(dag.dag_id, run_id, log=self.log)
        self.log.warning(
            "ringback: run %s is not reported by this callback: Airflow gave it no dag_run (as it does for runs "
            "in which no task succeeded or failed), so its conf is unknown; %s",
            shown(run_id),
            "it is noted in the outbox for the relay" if left else "the relay's sweep will find it",
        )

    def _event(
        self,
        context: Context,
        request: CallbackRequest,
        ask_for_tasks: Callable[[Any, str, str], tuple[TaskInstance, ...] | None] | None = None,
    ) -> OutboxEvent:
        from ringback_notifier._config import site
        from ringback_notifier._context import ending_of
        from ringback_notifier._prepare import event_for

        self.render_template_fields(context)
        here, dag_run, reason = site(), context["dag_run"], context.get("reason")
        ending = ending_of(
            dag_run,
            state=_state(dag_run),
            reason=None if reason == "success" else reason,
            task_instances=self._task_instances(context, ask_for_tasks),
            result=self._result(context, here),
        )
        return event_for(ending, request, site=here, reported_by="callback")

    def _task_instances(
        self,
        context: Context,
        ask: Callable[[Any, str, str], tuple[TaskInstance, ...] | None] | None,
    ) -> tuple[TaskInstance, ...]:
        """Return all task instances where Airflow can be asked, else the one that the context is about."""
        from ringback_notifier._prediction import TaskInstance

        ti: Any = context.get("ti")
        if ti is None:
            return ()
        try:
            if ask is not None and (found := ask(ti, ti.dag_id, ti.run_id)) is not None:
                return found
        except Exception as error:
            self.log.warning("ringback: the run's tasks are unknown: %s: %s", type(error).__name__, error)
        state = getattr(ti.state, "value", ti.state)
        return (TaskInstance(task_id=ti.task_id, map_index=-1 if ti.map_index is None else ti.map_index, state=state),)

    def _result(self, context: Context, here: Site) -> Result:
        from ringback_notifier._context import declared_result, member, xcom_source
        from ringback_notifier._report import Result

        dag_run: Any = context["dag_run"]
        fetch_url = xcom_source(self._result_source, member(dag_run, "dag_id"), member(dag_run, "run_id"), here)
        if self._result_source is not None:
            return Result(value=self.result, fetch_url=fetch_url, unavailable=self._result_unavailable)
        if (ti := context.get("ti")) is None:
            return Result()
        try:
            return declared_result(context["dag"], ti, here)
        except Exception as error:
            self.log.warning("ringback: the DAG's result is unknown: %s: %s", type(error).__name__, error)
            return Result(unavailable=True)

    def _already_settled(self, event: OutboxEvent) -> None:
        self.log.info("ringback: event %s is settled already; nothing is sent", event.event_id)


def _state(dag_run: Any) -> Any:
    from ringback_notifier._context import member

    state = member(dag_run, "state")
    return getattr(state, "value", state)
