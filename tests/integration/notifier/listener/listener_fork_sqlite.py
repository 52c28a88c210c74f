"""A program that forks with its outbox open, closes it, and whose child then uses the outbox; run by a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from listener_samples import URL, a_run

from ringback_notifier import _listener
from ringback_notifier._config import outbox_url
from ringback_notifier._hint_sink import OutboxOpener, OutboxSink
from ringback_notifier._hint_writer import HintWriter
from ringback_notifier.outbox import Outbox, OutboxEvent

OWN, OTHERS, CHILDS = ["scheduler"], ["other 1", "other 2"], ["child 1", "child 2", "child 3"]

_ANOTHER = """
import sys, time
from listener_fork_sqlite import OTHERS, record
from ringback_notifier._config import outbox_url
from ringback_notifier.outbox import Outbox
outbox = Outbox.open(outbox_url(), wait=10.0)
record(outbox, OTHERS[0])
print("written", flush=True)
sys.stdin.read(1)
record(outbox, OTHERS[1])
outbox.close()
"""


def record(outbox: Outbox, run_id: str) -> None:
    """Do what a task or a callback does."""
    event = OutboxEvent(
        event_id=f"msg_{run_id}",
        dag_id="d",
        run_id=run_id,
        state="success",
        destination="default",
        url=URL,
        body=b"{}",
        reported_by="task",
        ended_at=None,
    )
    outbox.record(event, [], status="delivered", due_at=time.time(), now=time.time())


def child(go_on: int) -> None:
    """Use the outbox when told to; leave without Python's farewell, as a task does."""
    signal.alarm(40)
    os.read(go_on, 1)
    outbox = Outbox.open(outbox_url(), wait=10.0)
    for run_id in CHILDS:
        record(outbox, run_id)
    os._exit(0)


def main() -> None:
    """Note a run, fork, wait until the outbox is closed here, and let another process and the child write."""
    writer = HintWriter(OutboxSink(OutboxOpener()), idle=0.5)
    writer.guard()
    _listener.hint_writer = lambda: writer  # type: ignore[attr-defined]
    _listener.on_dag_run_success(a_run(OWN[0]), "success")
    assert writer.flush(30.0)
    waits, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(waits)
    with writer._running:  # its thread has ended, and closed the outbox
        pass
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _ANOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as another:
        assert another.stdout is not None
        assert "written" in another.stdout.readline()
        os.write(tells, b"x")
        failed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        another.communicate("x", timeout=30)
    sys.exit(failed or another.returncode)


if __name__ == "__main__":
    main()
