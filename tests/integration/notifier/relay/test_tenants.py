"""No tenant's key signs for another tenant's URL, whatever a caller writes into conf."""

from __future__ import annotations

import base64
import itertools
import random
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest
from relay_servers import Receiver, Request
from relay_world import World
from tenant_paths import PATHS, connection

from ringback_protocol import PrivateKey, PublicKey, Secret
from ringback_protocol.signing import signed_content

TENANTS = ("a", "ab", "b", "wild")
KEYS = {name: (PrivateKey.generate(), Secret.generate()) for name in TENANTS}
SAMPLE = 120
DECODINGS = 3
"""How often a path may be decoded on its way: by a proxy, and by the server behind it."""


@dataclass
class House:
    """Two servers: on the first live three tenants, told apart by path and host, on the second lives one."""

    shared: Receiver
    alone: Receiver

    @property
    def honest(self) -> list[tuple[str, str]]:
        """What a well-meaning caller writes: destination and URL."""
        return [
            ("a", f"{self.shared.base}/a"),
            ("a", f"{self.shared.base}/a/hook?x=1"),
            ("ab", f"{self.shared.base}/ab/hook"),
            ("b", f"{self.alone.base}/hook"),
            ("b", f"{self.alone.base}/a/hook"),
        ]

    def owner(self, receiver: Receiver, request: Request) -> str | None:
        """Return whose URL a request came in on, as the most lenient of servers would read it."""
        if receiver is self.alone:
            return "b"
        path = request.target.split("?")[0]
        for _ in range(DECODINGS):
            path = unquote(path)
        segments: list[str] = []
        for segment in re.split(r"[/\\]+", path):
            name = segment.split(";")[0].strip()
            if name == "..":
                segments = segments[:-1]
            elif name not in ("", "."):
                segments.append(name)
        first, host = segments[0] if segments else "", request.headers["host"].split(":")[0].lower()
        if host.endswith(".tenants.test"):
            return "wild" if first == "w" else None
        return first if first in ("a", "ab") else None


@pytest.fixture
def house(world: World, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House(world.receiver(), world.receiver())
    allow = {
        "a": f"{made.shared.base}/a/",
        "ab": f"{made.shared.base}/ab",
        "b": f"{made.alone.base}",
        "wild": f"http://*.tenants.test:{made.shared.port}/w/",
    }
    for name, pattern in allow.items():
        extra = {"allow": [pattern], "allow_networks": ["127.0.0.0/8"]}
        monkeypatch.setenv(f"AIRFLOW_CONN_RINGBACK_{name.upper()}", connection(KEYS[name], **extra))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", world.url)
    monkeypatch.setenv("AIRFLOW__RINGBACK__CALLBACK_BUDGET", "5")
    really = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        known = isinstance(name, str) and name.rstrip(".").lower().endswith("tenants.test")
        return really("127.0.0.1" if known else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return made


def signers(request: Request) -> list[str]:
    """Return which tenants' keys hold for each of a request's signatures; exactly one does, or it is nobody's."""
    headers = request.headers
    content = signed_content(headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), request.body)
    found = []
    for token in headers["webhook-signature"].split(" "):
        scheme, _, encoded = token.partition(",")
        holding = [
            name
            for name, keys in KEYS.items()
            for key in keys
            if key.scheme == scheme and _verifier(key).verify(content, base64.b64decode(encoded))
        ]
        found.append(" ".join(holding))
    return found


def _verifier(key: PrivateKey | Secret) -> PublicKey | Secret:
    return key.public() if isinstance(key, PrivateKey) else key


DESTINATIONS = [
    *TENANTS,
    *(name.upper() for name in TENANTS),
    *(
        "nobody",
        "airflow",
        "",
        "a ",
        " a",
        "a\n",
        "a\0",
        "a/../b",
        "../b",
        "ringback_a",
        "a,b",
        "a b",
        "\u0430",
        "\uff41",
        "b%00",
    ),
    *(None, 5, True, ["a"], {"a": "b"}, "a" * 65),
]


def urls(house: House) -> Iterator[str]:
    """Return URLs of all tenants, near misses, and what parsers disagree about."""
    one, two = house.shared.port, house.alone.port
    hosts = [
        *("127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "localhost", "LOCALHOST"),
        *("[::ffff:127.0.0.1]", "[::1]", "x.tenants.test", "X.Y.Tenants.Test", "tenants.test", "eviltenants.test"),
        *("x.tenants.test.", "*.tenants.test", f"x.tenants.test:{one}@127.0.0.1", "127.0.0.1\\@x.tenants.test", ""),
        *(
            "x.tenants.test%2f@127.0.0.1",
            "\uff11\uff12\uff17.0.0.1",
            "127\u30020\u30020\u30021",
            "x.tenants.test#@127.0.0.1",
        ),
    ]
    ports = [f":{one}", f":{two}", f":0{one}", f":{one + 65_536}", ":", "", ":+1"]
    paths = [
        *("/a", "/a/", "/a/x", "/ab", "/ab/x", "/abc", "/a/../ab/x", "/ab/../a/x", "/a/%2e%2e/ab/x", "/a/..%2fab/x"),
        *("/a/..;/ab/x", "/a/.;x/../ab", "/a//ab", "//a/x", "/a%2f..%2fab", "/a%2Fx", "/%61/x", "/A/x", "/a/./x"),
        *("/a/%252e%252e/ab/x", "/a/%25252e%25252e/ab/x", "/a\\..\\ab", "/a/..\\ab", "/a%5c..%5cab", "/a/x?u=/../ab"),
        *("/ab?/a/", "/a;b/x", "/a/\u2024\u2024/ab", "/a/\t../ab", "/a/.%00./ab", "/w/x", "/w/../a/x", "/w", "", "/"),
        *("?/a/", "#/a/", "/a/x#/ab", "/a/ ../ab/x", "/a/%20../ab/x", "/a/..%00/ab/x", "/a/...", "/a/.../ab"),
    ]
    for scheme, host, port, path in itertools.product(("http", "HTTP", "https"), hosts, ports, paths):
        yield f"{scheme}://{host}{port}{path}"


def hostile(house: House, seed: int) -> list[Any]:
    """Return confs, most of them close to what is allowed."""
    chance = random.Random(seed)
    everything = list(urls(house))
    near = [url for url in everything if url.startswith((f"{house.shared.base}/", f"{house.alone.base}/"))]
    wild = [url for url in everything if url.startswith(f"http://x.tenants.test:{house.shared.port}/")]
    confs: list[Any] = [{"callback_url": url} for url in chance.sample(near, 10)]
    for pool, count in ((near, SAMPLE), (wild, SAMPLE // 5), (everything, SAMPLE)):
        for _ in range(count):
            destination = chance.choice(DESTINATIONS[:4] if chance.random() < 0.8 else DESTINATIONS)
            confs.append({"callback": {"url": chance.choice(pool), "destination": destination}})
    # Honest URLs, each with every destination but its own.
    confs += [
        {"callback": {"url": url, "destination": name}}
        for (own, url), name in itertools.product(house.honest, DESTINATIONS)
        if name not in (own, own.upper())
    ]
    return confs


@pytest.mark.parametrize("path", PATHS)
def test_only_a_urls_own_tenant_signs_for_it(world: World, house: House, path: str) -> None:
    """Whatever arrives is signed by all keys of the tenant whose URL it is, and by nobody else's."""
    honest = [{"callback": {"url": url, "destination": name}} for name, url in house.honest]
    PATHS[path](world, [*honest, *hostile(house, seed=7)])
    arrived = [(receiver, request) for receiver in (house.shared, house.alone) for request in receiver.requests]
    for receiver, request in arrived:
        owner = house.owner(receiver, request)
        assert owner is not None, request.target
        assert signers(request) == [owner] * len(KEYS[owner]), request.target
    targets = {(receiver.port, request.target) for receiver, request in arrived}
    for _, url in house.honest:
        port, _, target = url.removeprefix("http://127.0.0.1:").partition("/")
        assert (int(port), f"/{target}") in targets
    assert {house.owner(receiver, request) for receiver, request in arrived} >= {"a", "ab", "b"}
