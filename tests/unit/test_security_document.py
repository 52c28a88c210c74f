"""The threat model's claims are shown by tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TABLE = SECURITY.partition("## Who tries what")[2].partition("## ")[0]
ROWS = [line for line in TABLE.splitlines() if line.startswith("|")][2:]
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", SECURITY + (ROOT / "docs" / "deploy.md").read_text("utf-8"))))


def functions(file: Path) -> set[str]:
    """Return the names of a file's functions, not those within classes or functions."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("named", NAMED)
def test_every_named_test_exists(named: str) -> None:
    """A test that was renamed or taken away takes its claim along."""
    path, _, name = named.partition("::")
    assert (ROOT / path).exists()
    assert not name or name in functions(ROOT / path)


@pytest.mark.parametrize("row", ROWS)
def test_every_claim_is_shown(row: str) -> None:
    """Each row of the table says what is tried, what stops it, and which tests, by name, show that."""
    _, _, tries, stops, shown, _ = (cell.strip() for cell in row.split("|"))
    assert tries
    assert stops
    assert re.fullmatch(r"`tests/[^`]+\.py::test_[^`]+`(, `tests/[^`]+\.py::test_[^`]+`)*", shown)
