"""Forgeries of the three headers, and of where and when a request arrives."""

from __future__ import annotations

from dataclasses import replace

from chaos._forge_scene import ID, SIGNATURE, TIMESTAMP, Forger, Mutation, Request

__all__ = ["HEADERS"]

_NAMES = (ID, TIMESTAMP, SIGNATURE)


def flip_bits(request: Request, forger: Forger) -> Request:
    """Change one to three bits of one header, its name included."""
    headers = list(request.headers)
    at = forger.random.randrange(len(headers))
    name, value = headers[at]
    raw = bytearray(name + b":" + value)
    for _ in range(forger.random.randint(1, 3)):
        raw[forger.random.randrange(len(raw))] ^= 1 << forger.random.randrange(8)
    headers[at] = (bytes(raw[: len(name)]), bytes(raw[len(name) + 1 :]))
    return replace(request, headers=tuple(headers))


def truncate(request: Request, forger: Forger) -> Request:
    """Lose the end of a value, or the whole header."""
    name = forger.random.choice(_NAMES)
    if forger.random.random() < 0.2:
        return replace(request, headers=tuple(pair for pair in request.headers if pair[0].lower() != name))
    value = request.value(name)
    return _with(request, name, value[: forger.random.randint(0, len(value))])


def extend(request: Request, forger: Forger) -> Request:
    """Put something before or after a value."""
    name = forger.random.choice(_NAMES)
    more = forger.random.choice([b" ", b"\t", b"0", b"\x00", b"=", b",", b".", b"\r\n", b"A", b"\xff"])
    value = request.value(name)
    return _with(request, name, more + value if forger.random.random() < 0.5 else value + more)


def take_another_id(request: Request, forger: Forger) -> Request:
    """Pass for another event."""
    return request.having(id=forger.other.value(ID))


def take_another_timestamp(request: Request, forger: Forger) -> Request:
    """Pass for fresher."""
    return request.having(timestamp=forger.other.value(TIMESTAMP))


def respell_the_timestamp(request: Request, forger: Forger) -> Request:
    """Write the same number otherwise."""
    stamp = request.value(TIMESTAMP)
    spellings = [b"0" + stamp, b"+" + stamp, stamp + b".0", b" " + stamp, stamp[:1] + b"_" + stamp[1:], stamp + b"e0"]
    spellings.append("".join(chr(0x660 + digit - 48) for digit in stamp if 48 <= digit < 58).encode())
    return request.having(timestamp=forger.random.choice(spellings))


def part_elsewhere(request: Request, forger: Forger) -> Request:
    """Keep the signed bytes and move the dots that part them."""
    stamp, _, rest = request.body.partition(b".")
    if forger.random.random() < 0.5:
        return replace(
            request.having(id=request.value(ID) + b"." + request.value(TIMESTAMP), timestamp=stamp), body=rest
        )
    return replace(request.having(timestamp=request.value(TIMESTAMP) + b"." + stamp), body=rest)


def repeat(request: Request, forger: Forger) -> Request:
    """Send a header twice, with the same value or another's."""
    name = forger.random.choice(_NAMES)
    value = forger.random.choice([request, forger.other]).value(name)
    again = (forger.random.choice([name, name.upper(), name.title()]), value)
    return replace(request, headers=forger.random.choice([(*request.headers, again), (again, *request.headers)]))


def replay_at_another_time(request: Request, forger: Forger) -> Request:
    """Send the very bytes later, or before they were signed."""
    away = forger.random.choice([301, 600, 86_400, 10**9]) * forger.random.choice([-1, 1])
    stamp = request.value(TIMESTAMP)
    return replace(request, now=(int(stamp) if stamp.isdigit() else request.now) + away)


def send_a_stray(request: Request, forger: Forger) -> Request:
    """Bring an event that a trusted key signed, for somebody else's URL."""
    return forger.random.choice(forger.strays)


def _with(request: Request, name: bytes, value: bytes) -> Request:
    return request.having(**{name.decode().removeprefix("webhook-"): value})


HEADERS: dict[str, Mutation] = {
    "headers: bits flipped": flip_bits,
    "headers: truncated or missing": truncate,
    "headers: extended": extend,
    "headers: another event's id": take_another_id,
    "headers: another event's timestamp": take_another_timestamp,
    "headers: timestamp respelt": respell_the_timestamp,
    "headers: parted elsewhere": part_elsewhere,
    "headers: repeated": repeat,
    "replayed at another time": replay_at_another_time,
    "signed for another URL": send_a_stray,
}
