"""How a command ends that cannot do its work: in words, on standard error, with an exit code, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from ringback_cli.exit_codes import ExitCode
from ringback_cli.output import print_line

__all__ = ["fail", "receiver_errors_shown"]


def fail(why: str, code: ExitCode = ExitCode.NOT_DONE) -> NoReturn:
    """Say why, and end."""
    print_line(f"ringback: {why}", err=True)
    raise typer.Exit(code)


@contextmanager
def receiver_errors_shown() -> Iterator[None]:
    """Print one of the receiver's errors, or what it lacks, as a message, with exit code 1."""
    try:
        from ringback_receiver import ReceiverError
    except ImportError:
        fail("this command belongs to the caller's side: pip install 'airflow-ringback[receiver]'")
    try:
        yield
    except ReceiverError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        fail(f"this command needs {error.name}: pip install 'airflow-ringback[receiver]'")
