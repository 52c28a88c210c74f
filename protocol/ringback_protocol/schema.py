"""Print the JSON Schema of the completion event: ``python -m ringback_protocol.schema [FILE]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from ringback_protocol.event import DATASCHEMA, CompletionEvent

__all__ = ["event_schema"]


def event_schema() -> str:
    """Return the schema (JSON Schema 2020-12) of what may be received, as indented JSON."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": DATASCHEMA,
        **msgspec.json.schema(CompletionEvent),
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Write the schema to the named file, or to standard output."""
    if arguments:
        Path(arguments[0]).write_text(event_schema(), encoding="utf-8")
    else:
        sys.stdout.write(event_schema())


if __name__ == "__main__":
    main(sys.argv[1:])
