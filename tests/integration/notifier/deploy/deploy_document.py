"""What docs/deploy.md tells people to write and to run, as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

__all__ = ["DOCUMENT", "block", "blocks", "document", "exec_start"]

DOCUMENT = Path(__file__).parents[4] / "docs" / "deploy.md"


def document() -> str:
    """Return all of it."""
    return DOCUMENT.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return every piece of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", document(), re.DOTALL)


def block(language: str, containing: str) -> str:
    """Return the one piece of code in a language that contains a text."""
    (found,) = [code for code in blocks(language) if containing in code]
    return found


def exec_start(unit: str) -> list[str]:
    """Return the command of a systemd unit."""
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.replace("\\\n", " "), re.MULTILINE)
    return shlex.split(line)
