"""A receiver whose uvicorn demands a client certificate, with the command that docs/deploy.md gives to systemd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from deploy_document import block, exec_start
from deploy_portal import WAYS, delivery, destination, free_port, portal

from ringback_notifier._delivery import Delivery
from ringback_notifier._policy import Answer, NoAnswer, Outcome


@pytest.fixture(scope="module")
def door(authority: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The callback URL of the document's application, behind the document's command."""
    port = free_port()
    certificate, key = authority.issue("portal", alternative=[x509.DNSName("localhost")])
    ours = {
        "0.0.0.0": "127.0.0.1",
        "8443": str(port),
        "/etc/portal/tls/portal.pem": certificate,
        "/etc/portal/tls/portal.key": key,
        "/etc/portal/tls/airflow-ca.pem": authority.bundle,
    }
    program, *arguments = exec_start(block("ini", "uvicorn portal:app"))
    assert Path(program).name == "uvicorn"
    assert set(ours) <= set(arguments)
    command = ["uvicorn", *(ours.get(argument, argument) for argument in arguments)]
    url = f"https://localhost:{port}/airflow/completions"
    with portal(command, port, tmp_path_factory.mktemp("portal"), callback_url=url):
        yield url


@pytest.mark.parametrize("way", WAYS)
def test_an_event_passes_with_airflows_certificate_only(
    door: str, authority: Any, strange_authority: Any, way: Callable[[Delivery], Outcome]
) -> None:
    """Without one, or with a stranger's, the attempt fails and says why; the same event then passes with the right one.

    202 says that the receiver had not recorded it before.
    """
    sent = delivery(door, ca_bundle=authority.bundle)
    for refused in ({}, certificate_of(strange_authority)):
        outcome = way(replace(sent, destination=destination(door, ca_bundle=authority.bundle, **refused)))
        assert isinstance(outcome, NoAnswer)
        assert outcome.error.endswith("over https it may demand a client certificate (client_cert)"), outcome
    shown = {**certificate_of(authority), "ca_bundle": authority.bundle}
    assert set(json.loads(block("json", "client_cert"))) == {"allow", *shown}
    outcome = way(replace(sent, destination=destination(door, **shown)))
    assert isinstance(outcome, Answer)
    assert outcome.status == 202


def certificate_of(authority: Any) -> dict[str, str]:
    """Return the members that show a certificate of Airflow's, by an authority."""
    certificate, key = authority.issue("airflow", alternative=[x509.DNSName("airflow.example")])
    return {"client_cert": certificate, "client_key": key}
