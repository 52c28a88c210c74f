"""The router against whatever its own OpenAPI description gives rise to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from ringing import URL
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error, unsupported_method
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import serving

from ringback_protocol import PrivateKey, sign
from ringback_receiver import Receiver

pytestmark = pytest.mark.anyio

PATH = "/airflow/completions"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
async def client(tmp_path: Path, key: PrivateKey) -> AsyncIterator[httpx.AsyncClient]:
    receiver = Receiver(URL, [str(key.public())], store=f"sqlite:///{tmp_path}/ringback.db")
    async with serving(receiver) as client:
        yield client


def fire(url: str, mode: GenerationMode, shot: Callable[[Case], Any]) -> list[int]:
    """Shoot every example, hold each answer against the description, and return the statuses."""
    operation = schemathesis.openapi.from_url(f"{url}/openapi.json")[PATH]["POST"]
    statuses: list[int] = []

    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Case) -> None:
        response = shot(case)
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    each()
    return statuses


@pytest.mark.parametrize("mode", list(GenerationMode))
async def test_every_answer_is_as_described(client: httpx.AsyncClient, mode: GenerationMode) -> None:
    """Of what fits the description and of what does not, nothing is believed and nothing breaks."""
    url = str(client.base_url)
    statuses = await asyncio.to_thread(fire, url, mode, lambda case: case.call(base_url=url))
    assert statuses
    assert all(400 <= status < 500 for status in statuses)


@pytest.mark.parametrize("mode", list(GenerationMode))
async def test_every_answer_to_a_trusted_sender_is_as_described(
    client: httpx.AsyncClient, key: PrivateKey, mode: GenerationMode
) -> None:
    """Bodies that get past the signature, however odd, break nothing either."""
    with httpx.Client(base_url=client.base_url) as sender:

        def shot(case: Case) -> httpx.Response:
            raw = b"" if isinstance(case.body, NotSet) else json.dumps(case.body, default=repr).encode()
            headers = sign("msg_1", raw[:20_000], keys=[key], timestamp=int(time.time()))
            return sender.post(PATH, headers={**headers, "content-type": "application/json"}, content=raw[:20_000])

        statuses = await asyncio.to_thread(fire, str(client.base_url), mode, shot)
    assert statuses
    assert {401, 500}.isdisjoint(statuses)
