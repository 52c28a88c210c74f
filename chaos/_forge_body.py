"""Forgeries of a body: the same event spelt otherwise, another event, no event."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from chaos._forge_scene import Forger, Mutation, Request

__all__ = ["BODIES"]

_STRING = re.compile(rb'"([A-Za-z_]{3,})"')
_WANTED: dict[str, Any] = {
    "audience": "https://evil.example/",
    "id": "msg_evil",
    "correlationid": "req_victim",
    "type": "airflow.dag_run.failed",
    "data": {"dag_id": "sales", "run_id": "run_1", "state": "failed", "reported_by": "task"},
}


def flip_bits(request: Request, forger: Forger) -> Request:
    """Change one to eight bits."""
    body = bytearray(request.body)
    for _ in range(forger.random.randint(1, 8)):
        if body:
            body[forger.random.randrange(len(body))] ^= 1 << forger.random.randrange(8)
    return replace(request, body=bytes(body))


def truncate(request: Request, forger: Forger) -> Request:
    """Lose the end, or the beginning."""
    cut = forger.random.randint(0, len(request.body))
    return replace(request, body=request.body[:cut] if forger.random.random() < 0.5 else request.body[cut:])


def extend(request: Request, forger: Forger) -> Request:
    """Put something before, after or into it: space, a second event, noise."""
    more = forger.random.choice([b" ", b"\n", b"\x00", b"\xef\xbb\xbf", b"{}", forger.other.body, b"x" * 20_000])
    at = forger.random.choice([0, len(request.body), forger.random.randint(0, len(request.body))])
    return replace(request, body=request.body[:at] + more + request.body[at:])


def serialise_anew(request: Request, forger: Forger) -> Request:
    """Say the same in other bytes, as a proxy that parses might."""
    styles: list[dict[str, Any]] = [{"indent": 1}, {"sort_keys": True}, {"ensure_ascii": False}, {}]
    return replace(request, body=json.dumps(_parsed(request), **forger.random.choice(styles)).encode())


def change_a_member(request: Request, forger: Forger) -> Request:
    """Say something else, compactly, as the original does."""
    event = _parsed(request)
    name = forger.random.choice(list(_WANTED))
    if isinstance(event, dict):
        event[name] = _WANTED[name]
    return replace(request, body=json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode())


def repeat_a_member(request: Request, forger: Forger) -> Request:
    """Say one thing first and another last: decoders differ in which they keep."""
    name = forger.random.choice(list(_WANTED))
    member = json.dumps({name: _WANTED[name]})[1:-1].encode()
    if forger.random.random() < 0.5:
        return replace(request, body=request.body.replace(b"{", b"{" + member + b",", 1))
    return replace(request, body=request.body[:-1] + b"," + member + b"}")


def escape(request: Request, forger: Forger) -> Request:
    """Spell one name or text with an escape that means the same."""
    found = list(_STRING.finditer(request.body))
    if not found:
        return request
    start = forger.random.choice(found).start(1)
    return replace(request, body=request.body[:start] + rb"\u%04x" % request.body[start] + request.body[start + 1 :])


def take_another(request: Request, forger: Forger) -> Request:
    """Send the body of another delivery under these headers."""
    return replace(request, body=forger.other.body)


def _parsed(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError:  # another mutation was here before
        return None


BODIES: dict[str, Mutation] = {
    "body: bits flipped": flip_bits,
    "body: truncated": truncate,
    "body: extended": extend,
    "body: serialised anew": serialise_anew,
    "body: member changed": change_a_member,
    "body: member repeated": repeat_a_member,
    "body: unicode escapes": escape,
    "body: of another event": take_another,
}
