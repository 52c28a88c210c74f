"""Every example is parsed and run; a new one must be added here."""

from __future__ import annotations

import pytest
from conftest import LONG, ROOT, Line

pytestmark = pytest.mark.anyio

EXAMPLES = {
    "callback_only": {},
    "long_job": {"parts": 2, "seconds": 0},
    "sales_report": {"region": "EMEA"},
}


WITH_A_RELAY = {"legacy_job", "ringback_relay"}
"""Examples that ring nobody by themselves: the demo runs them together."""


def test_every_example_is_known() -> None:
    """An example that no test runs is an example that may not work."""
    assert {path.stem for path in (ROOT / "example_dags").glob("*.py")} == EXAMPLES.keys() | WITH_A_RELAY


@pytest.mark.parametrize("dag_id", EXAMPLES)
async def test_the_example_runs_and_rings_back(line: Line, dag_id: str) -> None:
    """It does what it is there to show."""
    handle = await line.receiver.trigger(dag_id, conf=EXAMPLES[dag_id])
    assert (await handle.completion(timeout=LONG)).succeeded
