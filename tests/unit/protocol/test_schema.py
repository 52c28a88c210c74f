"""The published JSON Schema."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ringback_protocol import CompletionEvent, ResultOmitted, encode_event, schema

from .samples import ROOT, as_json, failed_tasks, make_data, make_event

PUBLISHED = ROOT / "docs" / "completion-event.schema.json"


def _validator() -> Any:
    schema_ = json.loads(schema.event_schema())
    jsonschema.Draft202012Validator.check_schema(schema_)
    return jsonschema.Draft202012Validator(schema_)


def test_the_published_schema_is_what_the_code_makes() -> None:
    """Whoever changes the event publishes its schema anew."""
    published = PUBLISHED.read_text(encoding="utf-8") if PUBLISHED.exists() else None
    assert published == schema.event_schema(), "the event has changed: run `make schema` and commit the result"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(make_event(), id="success"),
        pytest.param(make_event(correlationid=None), id="no correlation id"),
        pytest.param(make_event(make_data(state="running", end_date=None, duration=None)), id="started"),
        pytest.param(
            make_event(make_data(state="failed", failed_tasks=failed_tasks(3), failed_task_count=3)), id="failed"
        ),
        pytest.param(make_event(make_data(result="x" * 30_000)), id="too large"),
        pytest.param(make_event(make_data(result=object())), id="not JSON"),
        pytest.param(
            make_event(make_data(result=None, result_omitted=ResultOmitted(reason="unavailable"))), id="unavailable"
        ),
    ],
)
def test_an_encoded_event_is_valid(event: CompletionEvent) -> None:
    """What we send, the published schema accepts."""
    _validator().validate(json.loads(encode_event(event)))


@pytest.mark.parametrize("member", ["specversion", "id", "source", "type", "audience", "data", "dataschema"])
def test_the_schema_requires_what_the_decoder_requires(member: str) -> None:
    """Whoever validates with the schema alone misses no required member."""
    damaged = as_json()
    del damaged[member]
    assert not _validator().is_valid(damaged)


def test_the_schema_lets_unknown_members_pass() -> None:
    """A sender of a later minor version stays valid."""
    later = as_json()
    later["data"]["new"] = later["new"] = 1
    assert _validator().is_valid(later)


def test_the_schema_is_written_to_a_file(tmp_path: Path) -> None:
    """An argument names the file to write."""
    schema.main([str(tmp_path / "schema.json")])
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == schema.event_schema()


def test_the_schema_is_printed_without_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m ringback_protocol.schema`` prints."""
    monkeypatch.setattr(sys, "argv", ["schema"])
    runpy.run_path(schema.__file__, run_name="__main__")
    assert capsys.readouterr().out == schema.event_schema()
