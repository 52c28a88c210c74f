"""What a forger has: good deliveries that he overheard, public keys, keys of his own; never a trusted private key."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ringback_protocol import (
    CompletionData,
    CompletionEvent,
    PrivateKey,
    Secret,
    SigningKey,
    encode_event,
    event_id,
    sign,
)
from ringback_protocol.keys import PublicKey, VerificationKey

__all__ = ["ID", "NOW", "SIGNATURE", "TIMESTAMP", "URL", "Forger", "Mutation", "Request", "forger"]

URL = "https://portal.example/airflow/completions"
NOW = 1_782_950_591
ID, TIMESTAMP, SIGNATURE = b"webhook-id", b"webhook-timestamp", b"webhook-signature"

_SOURCE = "https://airflow.example"
_OTHER_URLS = ("https://evil.example/", URL + "/", URL + "?tenant=2", URL.upper())
_ORIGINALS = 120
_RESULTS: Sequence[Any] = (None, {"rows": 4213}, "Übergröße \U0001f600", [1.0, 1e300, -0.0], {"a": {"b": ["c"] * 50}})


@dataclass(frozen=True, kw_only=True)
class Request:
    """What arrives, and when."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    now: float = NOW

    def value(self, name: bytes) -> bytes:
        """Return the first value of a header, or nothing."""
        return next((value for found, value in self.headers if found.lower() == name), b"")

    def having(self, **values: bytes) -> Request:
        """Return it with other values of ``id``, ``timestamp`` or ``signature``."""
        new = {f"webhook-{name}".encode(): value for name, value in values.items()}
        return replace(self, headers=tuple((name, new.get(name.lower(), value)) for name, value in self.headers))


@dataclass(frozen=True, kw_only=True)
class Forger:
    """All there is to forge with.

    :param originals: good deliveries, for this receiver.
    :param strays: good deliveries by a trusted key, but for other URLs.
    :param trusted: the keys that the receiver believes.
    :param foreign: keys of another tenant.
    """

    random: random.Random
    originals: Sequence[Request]
    strays: Sequence[Request]
    trusted: Sequence[VerificationKey]
    foreign: Sequence[SigningKey]

    @property
    def public(self) -> PublicKey:
        """One of the keys that everybody may know."""
        return self.random.choice([key for key in self.trusted if isinstance(key, PublicKey)])

    @property
    def other(self) -> Request:
        """Another delivery that was overheard."""
        return self.random.choice(self.originals)


Mutation = Callable[[Request, Forger], Request]


def forger(seed: int) -> Forger:
    """Set everything up; all of it follows from the seed."""
    chance = random.Random(seed)
    newest, older, stranger = (_private(chance) for _ in range(3))
    shared, strange_secret = (_secret(chance) for _ in range(2))
    signing: Sequence[tuple[SigningKey, ...]] = ((newest,), (older,), (shared,), (newest, older, shared))
    return Forger(
        random=chance,
        originals=[_delivery(chance, number, URL, chance.choice(signing)) for number in range(_ORIGINALS)],
        strays=[_delivery(chance, n, chance.choice(_OTHER_URLS), chance.choice(signing)) for n in range(_ORIGINALS)],
        trusted=(newest.public(), older.public(), shared),
        foreign=(stranger, strange_secret),
    )


def _delivery(chance: random.Random, number: int, url: str, keys: tuple[SigningKey, ...]) -> Request:
    moment = datetime.fromtimestamp(NOW, timezone.utc) - timedelta(seconds=chance.uniform(0, 250))
    run: Mapping[str, Any] = {"dag_id": chance.choice(["sales", "märz"]), "run_id": f"run_{number}", "state": "success"}
    data = CompletionData(**run, reported_by="task", start_date=moment, result=chance.choice(_RESULTS))
    event = CompletionEvent.of(
        data,
        id=event_id(source=_SOURCE, start_date=moment, callback_url=url, **run),
        source=_SOURCE,
        audience=url,
        correlationid=f"req_{number}",
        time=moment,
    )
    body = encode_event(event)
    headers = sign(event.id, body, keys=keys, timestamp=NOW + chance.randint(-250, 250))
    return Request(headers=tuple((name.encode(), value.encode()) for name, value in headers.items()), body=body)


def _private(chance: random.Random) -> PrivateKey:
    seed = chance.randbytes(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return PrivateKey(PrivateKey.prefix + base64.b64encode(seed + public).decode())


def _secret(chance: random.Random) -> Secret:
    return Secret(Secret.prefix + base64.b64encode(chance.randbytes(32)).decode())
