"""Trigger a run and wait for its end: by a small receiver of our own, or by asking Airflow."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ringback_cli import run_outcome
from ringback_cli.airflow_access import AirflowAccess
from ringback_cli.exit_codes import ExitCode
from ringback_cli.live_status import LiveStatus
from ringback_cli.problems import fail
from ringback_cli.run_outcome import RunOutcome
from ringback_cli.serving import serving

if TYPE_CHECKING:
    from ringback_receiver import AsyncAirflowClient, DagRun
    from ringback_receiver._key_source import KeySource

__all__ = [
    "OwnReceiver",
    "Trigger",
    "asking",
    "concluded",
    "ring_back",
    "trigger_and_ask",
    "triggered",
    "wait_by_asking",
]

_CHECKS = (15.0, 30.0, 60.0)
"""Seconds after which our receiver asks Airflow about a run that has not rung; the last repeats."""


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A run that is to be made."""

    dag_id: str
    conf: Mapping[str, Any]
    run_id: str
    logical_date: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class OwnReceiver:
    """A receiver for one run.

    :param bound: the socket that it listens on.
    """

    callback_url: str
    keys: KeySource
    bound: socket.socket
    destination: str | None = None


def asking(trigger: Trigger, callback_url: str, destination: str | None) -> Trigger:
    """Return the same, ringing at a URL that is somebody else's.

    :raises ValueError: its conf asks for that already.
    :raises ringback_protocol.CallbackRequestError: that is no URL to ring, or no destination.
    """
    from ringback_protocol import parse_callback_request

    if "callback" in trigger.conf or "callback_url" in trigger.conf:
        raise ValueError("conf asks for a callback already: leave --callback-url out")
    callback = {"url": callback_url} | ({} if destination is None else {"destination": destination})
    conf = {**trigger.conf, "callback": callback}
    parse_callback_request(conf)
    return replace(trigger, conf=conf)


def triggered(access: AirflowAccess, trigger: Trigger) -> DagRun:
    """Trigger and do not wait.

    :raises typer.Exit: Airflow cannot be reached, or nobody waits for its answer.
    :raises AirflowError: it refuses.
    """
    from ringback_receiver import AirflowProtocolError, AirflowUnreachable

    async def run() -> DagRun:
        async with access.client() as client:
            return await _trigger(client, trigger)

    try:
        return asyncio.run(run())
    except (AirflowUnreachable, AirflowProtocolError) as error:
        maybe = error.run_id if isinstance(error, AirflowUnreachable) else None
        fail(run_outcome.unreachable(trigger.dag_id, maybe, str(error)).said, ExitCode.UNREACHABLE)
    except KeyboardInterrupt:
        fail(
            f"interrupted; run {trigger.run_id} of {trigger.dag_id} may exist, "
            f"see {run_outcome.again(trigger.dag_id, trigger.run_id)}",
            ExitCode.INTERRUPTED,
        )


async def _trigger(client: AsyncAirflowClient, trigger: Trigger) -> DagRun:
    return await client.trigger(
        trigger.dag_id, conf=trigger.conf, run_id=trigger.run_id, logical_date=trigger.logical_date
    )


def concluded(work: Callable[[], Awaitable[RunOutcome]], dag_id: str, run_id: str) -> RunOutcome:
    """Wait to the end, whatever that is; Ctrl-C ends the waiting and not the run.

    :raises ReceiverError: Airflow refuses.
    """
    from ringback_receiver import (
        AirflowProtocolError,
        AirflowUnreachable,
        CompletionTimeout,
        RunFailed,
        RunNotFound,
        TriggerUnconfirmed,
        WaitTimeout,
    )

    async def run() -> RunOutcome:
        return await work()

    try:
        return asyncio.run(run())
    except RunFailed as error:
        return run_outcome.of_run(error.run)
    except WaitTimeout as error:
        if error.run is None:
            return run_outcome.timed_out(dag_id, run_id, None)
        return run_outcome.timed_out(dag_id, run_id, error.run.state, error.run.run_url)
    except CompletionTimeout:
        return run_outcome.timed_out(dag_id, run_id, None)
    except RunNotFound:
        return run_outcome.deleted(dag_id, run_id)
    except (AirflowUnreachable, TriggerUnconfirmed) as error:
        return run_outcome.unreachable(dag_id, run_id, str(error))
    except AirflowProtocolError as error:
        return run_outcome.unreachable(dag_id, None, str(error))
    except KeyboardInterrupt:
        fail(
            f"no longer waiting; run {run_id} of {dag_id}, if it was made, goes on: "
            f"wait again with {run_outcome.again(dag_id, run_id)}",
            ExitCode.INTERRUPTED,
        )


async def wait_by_asking(access: AirflowAccess, dag_id: str, run_id: str, *, seconds: float) -> RunOutcome:
    """Wait by Airflow's ``/wait``, or by polling where there is none.

    :param seconds: to wait.
    :raises AirflowError: otherwise than well.
    """
    async with access.client() as client:
        await client.get_run(dag_id, run_id)  # what cannot be found or reached now is told now
        return await _end(client, dag_id, run_id, seconds)


async def trigger_and_ask(access: AirflowAccess, trigger: Trigger, *, seconds: float) -> RunOutcome:
    """Trigger, then wait likewise; from then on the run is known to be there, whatever Airflow answers.

    :param seconds: to wait.
    :raises AirflowError: otherwise than well.
    """
    from ringback_receiver import AirflowAuthError, AirflowProtocolError

    async with access.client() as client:
        run = await _trigger(client, trigger)
        try:
            return await _end(client, run.dag_id, run.run_id, seconds)
        except AirflowProtocolError as error:
            return run_outcome.unreachable(run.dag_id, run.run_id, str(error))
        except AirflowAuthError as error:  # it may trigger, but not look
            fail(f"run {run.run_id} of {run.dag_id} was made, but its end cannot be seen: {error}")


async def _end(client: AsyncAirflowClient, dag_id: str, run_id: str, seconds: float) -> RunOutcome:
    with LiveStatus(f"{dag_id} {run_id}") as status:
        done = await client.wait_for_result(dag_id, run_id, timeout=seconds, on_state=status.say)
    return run_outcome.of_run(done.run, done.result)


async def ring_back(access: AirflowAccess, trigger: Trigger, own: OwnReceiver, *, seconds: float) -> RunOutcome:
    """Trigger, and be rung back by a receiver that is there for this run only.

    :param seconds: to wait.
    :raises ReceiverError: otherwise than well.
    """
    from fastapi import FastAPI

    from ringback_receiver import Receiver

    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(access.client())
        receiver = Receiver(
            own.callback_url, own.keys, client, "sqlite://", destination=own.destination, reconcile=_CHECKS
        )
        app = FastAPI(openapi_url=None)
        app.include_router(receiver.router)
        await stack.enter_async_context(receiver)
        await stack.enter_async_context(serving(app, own.bound))
        status = stack.enter_context(LiveStatus(f"{trigger.dag_id} {trigger.run_id}"))
        run = await receiver.trigger(
            trigger.dag_id, conf=trigger.conf, run_id=trigger.run_id, logical_date=trigger.logical_date
        )
        status.say(f"triggered, to ring {own.callback_url}")
        return run_outcome.of_completion(await run.completion(timeout=seconds))
