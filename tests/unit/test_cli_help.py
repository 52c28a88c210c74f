"""The whole tree of commands: each explains itself, and docs/cli.md and the code tell one story."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from ringback_cli import airflow_access, send, verification_keys
from ringback_cli.exit_codes import ExitCode
from ringback_cli.main import make_app

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "cli.md").read_text(encoding="utf-8")
APP = make_app()
NO_JSON = {"relay"}
"""A process and no question: what it prints is a log."""
SPEAKS_FOR_ITSELF = {"--help", "--install-completion", "--show-completion"}


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield whatever can be run."""
    members = getattr(command, "commands", {})
    if not members or command.invoke_without_command:
        yield path, command
    for name, member in members.items():
        yield from commands(member, (*path, name))


COMMANDS = [(path[1:], command) for path, command in commands(typer.main.get_command(APP), ("ringback",))]
each = pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])


def options_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


@each
def test_help_is_a_sentence_options_and_an_example(path: tuple[str, ...], command: Any) -> None:
    """Of every command; the example is one of that very command, with options that there are."""
    done = CliRunner().invoke(APP, [*path, "--help"], env={"COLUMNS": "250", "TERM": "dumb"})
    assert done.exit_code == 0
    sentence = command.help.strip().split("\n\n")[0]
    assert re.search(r"[.;]", sentence), sentence
    found = re.search(rf"Example: (.*ringback {' '.join(path)}\b.*?)(\s{{2,}}|\n|$)", done.output)
    assert found, done.output
    typed = shlex.split(found[1])
    assert {word for word in typed if word.startswith("--") and word != "--file-format"} <= options_of(command)
    assert "Traceback" not in done.output


def typed_in(text: str) -> list[tuple[str, str | None]]:
    """Return the first two words behind each ``ringback`` that a text shows as typed; the second may be no word."""
    shown = r"(?:`|\$ (?:\w+=\S+ )*|\| |bin/)ringback\s+([a-z]+)(?:\s+([a-z]+)\b)?"
    return [(found[1], found[2]) for found in re.finditer(shown, text)]


@pytest.mark.parametrize(
    "document", [*DOCS.glob("*.md"), *DOCS.glob("observability/*.yml")], ids=lambda path: path.name
)
def test_a_document_speaks_of_commands_that_there_are(document: Path) -> None:
    """What does not exist cannot be typed, and a group by itself does nothing; decisions may tell of what was."""
    can_be_run = {path for path, _ in COMMANDS}
    groups = {path[0] for path in can_be_run if len(path) == 2}
    for first, second in typed_in(document.read_text(encoding="utf-8")):
        path = (first,) if first not in groups or second is None else (first, second)
        assert path in can_be_run, f"ringback {' '.join(path)}"


def test_what_is_typed_is_found() -> None:
    """In a sentence, also across lines, at a prompt, behind a pipe and in a unit of systemd."""
    text = "`ringback outbox\n  list` $ A=b ringback keys new --json; x | ringback keys public; /bin/ringback relay\n-x"
    assert typed_in(text) == [("outbox", "list"), ("keys", "new"), ("keys", "public"), ("relay", None)]


@each
def test_every_option_and_argument_has_a_help_text(path: tuple[str, ...], command: Any) -> None:
    """Nobody has to guess."""
    for parameter in command.params:
        assert (parameter.help or "").strip(), f"{path}: {parameter.name}"


@each
def test_programs_can_read_what_is_printed(path: tuple[str, ...], command: Any) -> None:
    """Every command that prints anything but a log has --json."""
    assert ("--json" in options_of(command)) == (" ".join(path) not in NO_JSON)


@each
def test_the_document_shows_every_command(path: tuple[str, ...], command: Any) -> None:
    """With an example that has an option of that command at most."""
    assert re.search(rf"^\$ (.*\| |[A-Z_]+=\S+ )?ringback {' '.join(path)}\b", DOCUMENT, re.MULTILINE), path


def test_the_document_knows_no_option_that_is_none() -> None:
    """An option that was renamed is renamed there, too."""
    known = set().union(*(options_of(command) for _, command in COMMANDS)) | SPEAKS_FOR_ITSELF | {"--version"}
    foreign = {"--file-format", "--conn-json"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCUMENT)) - foreign <= known


def test_the_exit_codes_are_the_document_s() -> None:
    """One table there, one enumeration here."""
    table = re.findall(r"^\| (\d+) \| (.*) \|$", DOCUMENT, re.MULTILINE)
    assert table == [(str(int(code)), code.meaning) for code in ExitCode]


def test_the_variables_are_the_document_s() -> None:
    """All that options are read from, and those that hold secrets, which no option takes."""
    named = {parameter.envvar for _, command in COMMANDS for parameter in command.params if parameter.envvar}
    secret = {airflow_access.PASSWORD, airflow_access.TOKEN, verification_keys.VARIABLE, send.VARIABLE}
    assert set(re.findall(r"^\| `(RINGBACK_\w+)`", DOCUMENT, re.MULTILINE)) == named | secret


def test_no_option_takes_a_secret() -> None:
    """Whatever is an argument, others see in the list of processes."""
    names = set().union(*(options_of(command) for _, command in COMMANDS))
    assert not {name for name in names if re.search(r"password$|token|secret|signing", name)}
