"""Completion in a real bash: the script is printed, and the shell gets words from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str) -> None:
    """It asks the command itself, so it is never out of date."""
    done = subprocess.run(
        ["ringback", "--show-completion", shell],
        env={**ENVIRONMENT, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"_RINGBACK_COMPLETE=complete_{shell}" in done.stdout


@pytest.mark.parametrize(
    ("typed", "words"),
    [("keys ro", ["rotate"]), ("send --dry", ["--dry-run"]), ("send --state f", ["failed"])],
)
def test_bash_completes_commands_and_options(typed: str, words: list[str]) -> None:
    """As a person has it after `eval "$(ringback --show-completion bash)"`."""
    *before, _ = typed.split()
    program = f"""
        eval "$(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 ringback --show-completion bash)"
        COMP_WORDS=(ringback {typed}); COMP_CWORD={len(before) + 1}
        $(complete -p ringback | sed 's/.*-F \\([^ ]*\\).*/\\1/') ringback
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == words
