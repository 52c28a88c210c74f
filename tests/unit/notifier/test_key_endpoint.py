"""What the API server says to whoever asks for public keys."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from notifier_samples import PRIVATE, SECRET

from ringback_notifier._key_endpoint import MAX_AGE, KeyEndpoint
from ringback_notifier._public_keys import VALID_FOR, public_keys
from ringback_protocol import PrivateKey

OLDER = PrivateKey.generate()
PUBLIC = str(PRIVATE.public())


def ask(endpoint: Any, path: str = "/ringback/keys/portal", method: str = "GET", **options: Any) -> httpx.Response:
    """Send one request to the bare application."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(endpoint)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow.example") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


@pytest.fixture
def endpoint() -> KeyEndpoint:
    keys = {"portal": (PUBLIC, str(OLDER.public())), "hidden": (PUBLIC,)}
    return KeyEndpoint(["portal", "empty"], lambda name: keys.get(name, ()))


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put connections into the environment, which Airflow reads before its database."""

    def put(name: str, **members: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_RINGBACK_{name.upper()}", json.dumps({"conn_type": "ringback", **members}))
        public_keys(name)  # loads what the API server has loaded long before: a look-up has a deadline

    return put


def test_the_keys_of_a_destination_are_published(endpoint: KeyEndpoint) -> None:
    """Newest first, each with how long it may be trusted unasked; caches may keep the answer."""
    answer = ask(endpoint)
    assert answer.status_code == 200
    assert answer.json() == {
        "destination": "portal",
        "keys": [{"key": key, "valid_for": VALID_FOR} for key in (PUBLIC, str(OLDER.public()))],
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == f"public, max-age={MAX_AGE}"


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}'])
def test_an_answer_that_is_known_is_not_sent_again(endpoint: KeyEndpoint, form: str) -> None:
    """Its entity tag is enough; of the body that is not sent, nothing is said (RFC 9110, section 8.6)."""
    etag = ask(endpoint).headers["etag"]
    answer = ask(endpoint, headers={"if-none-match": form.format(etag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert dict(answer.headers) == {"etag": etag, "cache-control": f"public, max-age={MAX_AGE}"}
    assert ask(endpoint, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        ({"path": "/ringback/keys/nobody"}, 404, "no_public_keys"),
        ({"path": "/ringback/keys/empty"}, 404, "no_public_keys"),
        ({"path": "/ringback/keys/hidden"}, 404, "no_public_keys"),
        ({"path": "/ringback/keys/Portal"}, 404, "no_public_keys"),
        ({"path": "/ringback/keys/"}, 404, "not_found"),
        ({"path": "/ringback/keys/a/b"}, 404, "not_found"),
        ({"path": "/ringback/keys/" + "a" * 65}, 404, "not_found"),
        ({"path": "/ringback/keys/p%C3%B6rtal"}, 404, "not_found"),
        ({"path": "/ringback/keys/portal%0A"}, 404, "not_found"),
        ({"path": "/ringback/keys/..%2Fairflow"}, 404, "not_found"),
        ({"path": "/ringback/other/keys/portal"}, 404, "not_found"),
        ({"path": "/ringback/keys/portal?x=1"}, 400, "query"),
        ({"method": "POST"}, 405, "method_not_allowed"),
        ({"method": "HEAD"}, 405, None),
        ({"method": "OPTIONS"}, 405, "method_not_allowed"),
    ],
    ids=str,
)
def test_anything_else_is_refused(endpoint: KeyEndpoint, request_: Any, status: int, error: str | None) -> None:
    """Clearly, and so that no cache keeps it."""
    answer = ask(endpoint, **request_)
    assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
    if error:
        assert answer.json()["error"] == error


def test_a_prefix_of_airflows_own_is_no_matter() -> None:
    """Behind a proxy, Airflow may live below a path, which the application gets to see or not."""
    endpoint = KeyEndpoint(["portal"], lambda name: (PUBLIC,))
    paths = ("/keys/portal", "/ringback/keys/portal", "/airflow/prod/ringback/keys/portal")
    assert [ask(endpoint, path).status_code for path in paths] == [200, 200, 200]


def test_whoever_asks_at_a_bad_time_comes_again() -> None:
    """503 with Retry-After, never 404: a receiver must not take an outage for a withdrawal."""

    def broken(name: str) -> tuple[str, ...]:
        raise RuntimeError("the database is away")

    answer = ask(KeyEndpoint(["portal"], broken))
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (503, "unavailable", "10")


def test_made_up_names_cost_nothing_and_hide_no_real_one() -> None:
    """From the first request on, however many a stranger makes up, spellings of the real one among them."""
    asked: list[str] = []

    def look_up(name: str) -> tuple[str, ...]:
        asked.append(name)
        return (PUBLIC,)  # as the environment would, which has no case

    endpoint = KeyEndpoint(["sales_portal"], look_up)
    spellings = {"sales_portal"[:at] + "sales_portal"[at:].upper() for at in range(12)}
    made_up = [*spellings, *(f"x{number}" for number in range(2_000))]

    async def flood() -> list[int]:
        transport = httpx.ASGITransport(endpoint)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow.example") as client:
            answers = [await client.get(f"/ringback/keys/{name}") for name in made_up]
            real = await client.get("/ringback/keys/sales_portal")
            return [answer.status_code for answer in (*answers, real)]

    *strangers, real = asyncio.run(flood())
    assert set(strangers) == {404}
    assert (real, asked) == (200, ["sales_portal"])


def test_a_websocket_is_closed(endpoint: KeyEndpoint) -> None:
    """It is not ours to speak."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(endpoint({"type": "websocket", "path": "/ringback/keys/portal", "headers": []}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


# --- what is looked up in Airflow ------------------------------------------------------------------


def test_only_public_halves_leave(connections: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Of Ed25519 keys the public half is shown; of a shared secret, nothing, not even that there is one."""
    connections(
        "portal",
        password=f"{PRIVATE.reveal()} {SECRET.reveal()} {OLDER.reveal()}",
        extra={"allow": ["https://portal.example/"], "headers": {"authorization": "Bearer hush"}},
    )
    with caplog.at_level(logging.DEBUG):
        answer = ask(KeyEndpoint(["portal"]))
    assert [entry["key"] for entry in answer.json()["keys"]] == [PUBLIC, str(OLDER.public())]
    shown = f"{answer.headers} {answer.text} {caplog.text}"
    for secret in ("whsk_", "whsec_", "hush", "portal.example/", *_parts(PRIVATE.reveal()), *_parts(SECRET.reveal())):
        assert secret not in shown


def test_who_has_nothing_to_show_cannot_be_told_apart(connections: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared secrets only, malformed keys, no keys, another type, not published: one and the same answer."""
    connections("secret", password=SECRET.reveal())
    connections("malformed", password=f"{PRIVATE.reveal()} nonsense")
    connections("empty", password="")
    connections("other", conn_type="http", password=PRIVATE.reveal())
    connections("hidden", password=PRIVATE.reveal())
    names = ("secret", "malformed", "empty", "other")
    answers = [ask(KeyEndpoint(names), f"/ringback/keys/{name}") for name in (*names, "hidden")]
    assert len({(answer.status_code, answer.text, str(answer.headers)) for answer in answers}) == 1
    assert answers[0].status_code == 404
    assert "[ringback] publish_keys" in answers[0].json()["detail"]


def test_a_database_that_fails_is_no_missing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's own look-up would say that there is none; here it is an error, unless another back end has it."""
    import airflow.configuration

    class Broken:
        def get_connection(self, conn_id: str) -> Any:
            raise ConnectionError("no database")

    class Empty:
        def get_connection(self, conn_id: str) -> Any:
            return None

    class Full:
        def get_connection(self, conn_id: str) -> Any:
            return type("Connection", (), {"conn_type": "ringback", "password": PRIVATE.reveal()})

    class AirflowSecretsBackendAccessDenied(PermissionError):
        pass

    class Denying:
        def get_connection(self, conn_id: str) -> Any:
            raise AirflowSecretsBackendAccessDenied

    def backends(*found: Any) -> None:
        monkeypatch.setattr(airflow.configuration, "ensure_secrets_loaded", lambda: list(found))

    backends(Empty(), Broken())
    with pytest.raises(ConnectionError):
        public_keys("portal")
    backends(Broken(), Full())
    assert public_keys("portal") == (PUBLIC,)
    backends(Empty(), Empty())
    assert public_keys("portal") == ()
    backends(Denying(), Full())
    with pytest.raises(AirflowSecretsBackendAccessDenied):
        public_keys("portal")


def _parts(key: str) -> list[str]:
    """Return pieces of a key's text: none of them may be shown either."""
    encoded = key.split("_", 1)[1][:40]
    return [encoded[start : start + 10] for start in range(0, len(encoded), 10)]
