"""A receiver behind nginx, with the configuration of docs/deploy.md.  Run by ``make nginx``, for it wants nginx."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import yaml
from cryptography import x509
from deploy_document import block
from deploy_portal import WAYS, delivery, destination, free_port, listening, portal

from ringback_notifier._delivery import Delivery
from ringback_notifier._policy import Answer, Outcome

MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/server.conf;
}}
"""


@pytest.fixture(scope="module")
def door(authority: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The callback URL of the document's application, behind the document's nginx."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert nginx is not None, "nginx is not installed; Debian: apt-get install nginx-light"
    folder = tmp_path_factory.mktemp("nginx")
    port, inner = free_port(), free_port()
    certificate, key = authority.issue("portal", alternative=[x509.DNSName("localhost")])
    server = block("nginx", "ssl_verify_client")
    for theirs, ours in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "server_name portal.example": "server_name localhost",
        "/etc/nginx/tls/portal.pem": certificate,
        "/etc/nginx/tls/portal.key": key,
        "/etc/nginx/tls/airflow-ca.pem": authority.bundle,
        "http://127.0.0.1:8000": f"http://127.0.0.1:{inner}",
    }.items():
        assert theirs in server
        server = server.replace(theirs, ours)
    (folder / "server.conf").write_text(server, encoding="utf-8")
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder), encoding="utf-8")
    deployment, *_ = yaml.safe_load_all(block("yaml", "portal:app"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ours = {"0.0.0.0": "127.0.0.1", "8000": str(inner)}
    command = [ours.get(argument, argument) for argument in container["command"]]
    url = f"https://localhost:{port}/airflow/completions"
    with (
        portal(command, inner, tmp_path_factory.mktemp("portal"), callback_url=url),
        listening([nginx, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"], port, folder, {}),
    ):
        yield url


@pytest.fixture(scope="module")
def files(authority: Any) -> dict[str, str]:
    """The members of a destination's extra that nginx lets through."""
    certificate, key = authority.issue("airflow", alternative=[x509.DNSName("airflow.example")])
    return {"client_cert": certificate, "client_key": key, "ca_bundle": authority.bundle}


@pytest.mark.parametrize("way", WAYS)
def test_an_event_passes_with_airflows_certificate_only(
    door: str, authority: Any, strange_authority: Any, files: dict[str, str], way: Callable[[Delivery], Outcome]
) -> None:
    """nginx says what it misses; the event that it refused then passes, for the first time."""
    certificate, key = strange_authority.issue("airflow", alternative=[x509.DNSName("airflow.example")])
    stranger = {"client_cert": certificate, "client_key": key, "ca_bundle": authority.bundle}
    sent = delivery(door, ca_bundle=authority.bundle)
    without, strange, right = (
        way(replace(sent, destination=destination(door, **shown)))
        for shown in ({"ca_bundle": authority.bundle}, stranger, files)
    )
    assert isinstance(without, Answer)
    assert isinstance(strange, Answer)
    assert isinstance(right, Answer)
    assert (without.status, strange.status, right.status) == (400, 400, 202)
    assert "No required SSL certificate was sent" in without.excerpt
    assert "The SSL certificate error" in strange.excerpt


@pytest.mark.parametrize(
    ("method", "path", "size", "status"),
    [
        ("POST", "/airflow/completions", 20_001, 413),
        ("GET", "/airflow/completions", 0, 403),
        ("GET", "/ready", 0, 404),
        ("GET", "/openapi.json", 0, 404),
        ("POST", "/airflow/completions/more", 10, 404),
    ],
)
def test_nothing_but_events_reaches_the_receiver(
    door: str, files: dict[str, str], method: str, path: str, size: int, status: int
) -> None:
    """Of what Airflow's certificate lets in, one path, one method and no more than an event's size."""
    answer = request(door, files, method, path, size)
    assert answer.status_code == status
    assert "nginx" in answer.text


def test_the_largest_event_reaches_the_receiver(door: str, files: dict[str, str]) -> None:
    """Here without a signature, which the receiver is the one to miss."""
    answer = request(door, files, "POST", "/airflow/completions", 20_000)
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


def request(door: str, files: dict[str, str], method: str, path: str, size: int) -> httpx.Response:
    """Make a request as anybody could who has Airflow's certificate."""
    context = destination(door, **files).ssl_context()
    url = door.removesuffix("/airflow/completions") + path
    with httpx.Client(verify=context, trust_env=False, timeout=30) as client:
        return client.request(method, url, content=b"x" * size, headers={"content-type": "application/json"})
