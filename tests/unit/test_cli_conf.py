"""``--conf`` and its like: what people type, and what they did not mean to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from ringback_cli.run_conf import parse_conf, value_of
from ringback_cli.serving import parse_address


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("APAC", "APAC"),
        ("7", 7),
        ("007", "007"),
        ('"7"', "7"),
        ("true", True),
        ("null", None),
        ('{"a": [1]}', {"a": [1]}),
        ("", ""),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("[" * 100_000, "[" * 100_000),
        ("a=b", "a=b"),
    ],
)
def test_a_value_is_json_or_a_text(text: str, value: Any) -> None:
    """What is no JSON is taken as it stands."""
    assert value_of(text) == value
    assert parse_conf([f"name={text}"]) == {"name": value}


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: "=" not in name and name[0] != "@"), st.integers()))
def test_whatever_a_name_is_it_comes_out(members: dict[str, int]) -> None:
    """Up to the first equals sign."""
    assert parse_conf([f"{name}={value}" for name, value in members.items()]) == members


def test_a_file_is_a_whole_object(tmp_path: Path) -> None:
    """Beside single members."""
    file = tmp_path / "conf.json"
    file.write_text(json.dumps({"region": "APAC", "days": 7}), encoding="utf-8")
    assert parse_conf([f"@{file}", "dry_run=true"]) == {"region": "APAC", "days": 7, "dry_run": True}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (["region"], "write name=value"),
        (["=x"], "write name=value"),
        (["a=1", "a=2"], "given twice"),
        (["@nowhere.json"], "cannot be read"),
        (["@/dev/zero"], "larger than"),
        (["@/etc/hostname"], "no JSON object"),
    ],
)
def test_what_cannot_be_meant_is_refused(entries: list[str], problem: str) -> None:
    """In words."""
    with pytest.raises(typer.BadParameter, match=problem):
        parse_conf(entries)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8787", ("127.0.0.1", 8787)), ("localhost:0", ("localhost", 0)), ("[::1]:80", ("::1", 80))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    """As curl has it."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8787", ":8787", "h:", "h:65536", "::1:80", "http://h:80", "h:80/x", "h:8\n0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The message has one that is right."""
    with pytest.raises(typer.BadParameter, match=r"127\.0\.0\.1:8787"):
        parse_address(text)
