"""``ringback …`` beside a local Airflow: a command to its end, or a relay that runs until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["RelayDied", "ringback", "running_relay"]

_PROGRAM = [sys.executable, "-m", "ringback_cli"]
_STOP_SECONDS = 15


class RelayDied(RuntimeError):
    """A command failed, or the relay ended by itself; the message shows what it said."""


def ringback(environment: Mapping[str, str], *arguments: str) -> str:
    """Run ``ringback …`` to its end and return what it printed.

    :param environment: Airflow's, which names the outbox and the connections.
    :raises RelayDied: if it fails.
    """
    done = subprocess.run([*_PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RelayDied(f"ringback {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def running_relay(environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run ``ringback relay`` until the block ends.

    :param log: gets its output.
    :raises RelayDied: if it ended by itself.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*_PROGRAM, "relay", "--verbose"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
        if process.poll() is not None:
            raise RelayDied(log.read_text(encoding="utf-8", errors="replace")[-4000:])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
