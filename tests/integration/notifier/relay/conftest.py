"""A world for each test: a real outbox in a file, and whatever the test adds to it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from relay_world import World

from ringback_notifier.outbox import Outbox

# Importing Airflow writes its configuration into its home.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="ringback-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    url = f"sqlite:///{tmp_path / 'outbox' / 'outbox.db'}"
    with ExitStack() as stack:
        outbox = Outbox.open(url, wait=5.0)
        stack.callback(outbox.close)
        yield World(url=url, outbox=outbox, stack=stack)
