"""The README's own code, as it stands there, against a real Airflow."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import LONG, ROOT, eventually

from demo.local_airflow import LocalAirflow
from demo.serving import serving_app
from ringback_protocol import PrivateKey

pytestmark = pytest.mark.anyio

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def block(containing: str) -> str:
    """Return the one piece of Python that contains a text."""
    (found,) = [code for code in BLOCKS if containing in code]
    return str(found)


async def test_the_two_sides_of_the_readme_ring(
    airflow: LocalAirflow, key: PrivateKey, receiver_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its DAG, put into the DAG folder, rings its caller back with the result."""
    dag = block("notify_completion(result=").replace('"sales_report"', '"readme_report"')
    (Path(airflow.environment["AIRFLOW__CORE__DAGS_FOLDER"]) / "readme_report.py").write_text(dag, encoding="utf-8")
    caller = block("app.include_router")
    for theirs, ours in {
        "https://airflow.example": airflow.url,
        'username="portal"': f'username="{airflow.username}"',
        "https://portal.example": f"http://127.0.0.1:{receiver_port}",
        "whpk_…": str(key.public()),
        '"sales_report"': '"readme_report"',
    }.items():
        assert theirs in caller
        caller = caller.replace(theirs, ours)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW_PASSWORD", airflow.password)
    scope: dict[str, Any] = {}
    exec(compile(caller, "README.md", "exec"), scope)
    with airflow.api() as api:

        async def parsed() -> bool:
            return bool(api.get("/api/v2/dags/readme_report").status_code == 200)

        await eventually(parsed)
    async with serving_app(scope["app"], receiver_port), scope["airflow"]:
        assert await asyncio.wait_for(scope["report"]("APAC"), LONG) == {"rows": 4213}


@pytest.mark.parametrize("code", BLOCKS)
def test_every_piece_of_python_compiles(code: str) -> None:
    """Also those that only show a line or two."""
    compile(code, "README.md", "exec")
