"""Who may publish keys: the origin that the receiver was told, proven by its certificate."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import uvicorn
from cryptography import x509

from ringback_notifier._key_endpoint import KeyEndpoint
from ringback_protocol import PrivateKey, Refusal, VerificationError
from ringback_protocol.keys import VerificationKey
from ringback_receiver import Discover
from ringback_receiver.errors import KeysUnavailable

pytestmark = pytest.mark.anyio

KEY = PrivateKey.generate().public()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def port(authority: Any) -> AsyncIterator[int]:
    """An API server with a certificate for ``localhost``."""
    certificate, key = authority.issue("airflow", alternative=[x509.DNSName("localhost")])
    endpoint = KeyEndpoint(["default"], lambda name: (str(KEY),))
    config = uvicorn.Config(endpoint, log_level="critical", lifespan="off", ssl_certfile=certificate, ssl_keyfile=key)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        await task


def any_key(keys: Sequence[VerificationKey]) -> Sequence[VerificationKey]:
    """Check an event that whichever key is known has signed."""
    if not keys:
        raise VerificationError(Refusal.BAD_SIGNATURE)
    return keys


async def trusted(discover: Discover) -> Sequence[VerificationKey]:
    await discover.open("default", most_waiting=10)
    try:
        return await discover.verify(any_key)
    finally:
        await discover.close()


async def test_an_own_authority_is_believed(port: int, authority: Any) -> None:
    """Airflow inside a company has a certificate of the company's."""
    assert await trusted(Discover(f"https://localhost:{port}", verify=authority.bundle)) == (KEY,)


@pytest.mark.parametrize(
    ("host", "own_authority"),
    [("localhost", False), ("127.0.0.1", True)],
    ids=["an unknown authority", "another name"],
)
async def test_a_certificate_that_does_not_prove_the_origin_is_refused(
    port: int, authority: Any, caplog: pytest.LogCaptureFixture, host: str, own_authority: bool
) -> None:
    """Whoever sits between cannot publish keys of his own; the log names the reason."""
    verify = authority.bundle if own_authority else True
    with pytest.raises(KeysUnavailable):
        await trusted(Discover(f"https://{host}:{port}", verify=verify))
    assert "certificate verify failed" in caplog.text.lower()


async def test_plain_http_on_a_tls_port_is_a_failure(port: int) -> None:
    """Nothing that answers so is believed."""
    with pytest.raises(KeysUnavailable):
        await trusted(Discover(f"http://127.0.0.1:{port}"))
