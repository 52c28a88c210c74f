"""Asking before something is done that cannot be taken back."""

from __future__ import annotations

import sys
from typing import Annotated, TypeAlias

import typer

from ringback_cli.exit_codes import ExitCode
from ringback_cli.output import print_line
from ringback_cli.problems import fail

__all__ = ["Yes", "confirm"]

Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal, and end if the answer is no; where nobody can answer, it must have been said before."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Nobody can answer here: say --yes.", ExitCode.USAGE)
    if not typer.confirm(question, err=True):
        print_line("Nothing was done.", err=True)
        raise typer.Exit(ExitCode.NOT_DONE)
