"""A program that forks while its listener is busy, as the LocalExecutor does from the scheduler; run by a test."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time

from listener_samples import a_run

from ringback_notifier import _listener
from ringback_notifier._hint_writer import hint_writer

CHILDREN = 40


def child(number: int) -> None:
    """Use SQLite and the listener, as a task may; leave without Python's farewell, as a task does."""
    signal.alarm(20)
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE x (y)")
    _listener.on_dag_run_success(a_run(f"child{number}"), "success")
    os._exit(0 if hint_writer().flush(15.0) else 1)


def main() -> None:
    """Fork again and again; exit with how many children failed."""
    stop = threading.Event()
    ended = 0

    def scheduling() -> None:
        nonlocal ended
        while not stop.is_set():
            _listener.on_dag_run_success(a_run(f"parent{ended}"), "success")
            ended += 1
            time.sleep(0.001)

    busy = threading.Thread(target=scheduling)
    busy.start()
    time.sleep(0.1)
    children = []
    slowest = 0.0
    for number in range(CHILDREN):
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(number)
        slowest = max(slowest, time.monotonic() - started)
        children.append(pid)
        time.sleep(0.013)
    failed = sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in children)
    stop.set()
    busy.join()
    flushed = hint_writer().flush(10.0)
    print(f"RESULT {failed} {ended} {int(flushed)} {slowest:.3f}")
    sys.exit(0)


if __name__ == "__main__":
    main()
