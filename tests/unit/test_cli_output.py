"""What is printed: whatever is in it, a terminal obeys none of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback_cli.output import print_json


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text()))
def test_json_is_the_same_value_and_printable(members: dict[str, str]) -> None:
    """For programs and terminals alike, whatever the alphabet."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("ringback_cli.output.typer.echo", lines.append)
        print_json(members)
    (line,) = lines
    assert line.isprintable()
    assert json.loads(line) == {name: value.encode("utf-8", "replace").decode() for name, value in members.items()}


@pytest.mark.parametrize("hostile", ["\x9b2J", "\x7f", "\u202eexe", "\x1b[2J", "\U000e0041"])
def test_json_moves_no_cursor(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of eight bits and marks that turn a line round are escaped, too."""
    print_json({"name": f"Zoë {hostile}"})
    line = capsys.readouterr().out.rstrip("\n")
    assert (line.isprintable(), json.loads(line), "Zoë" in line) == (True, {"name": f"Zoë {hostile}"}, True)
