"""What verifying and decoding an event costs, against the library that most people would use.

The same event, the same key: ``verify_event`` gives a typed event, ``standardwebhooks`` a dictionary.  Ed25519 is
compared with the bare call of ``cryptography`` over the same bytes.  The ways alternate, batch by batch.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

from standardwebhooks import Webhook

from benchmarks._figures import Figure, at_most, keep, ratios, spread
from benchmarks._receiver_load import make_posts
from benchmarks.receiver_servers import URL
from ringback_protocol import PrivateKey, Secret, verify_event
from ringback_protocol._base64 import decode_canonical
from ringback_protocol.keys import VerificationKey
from ringback_protocol.signing import signed_content

GOALS = {
    ("Ringback, HMAC", "standardwebhooks"): at_most(0.35),
    ("Ringback, Ed25519", "Ed25519 alone"): at_most(1.05),
}

Call = Callable[[], object]


def parts(key: PrivateKey | Secret) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers, as a server hands them over, and the body of one delivery."""
    head, _, body = make_posts(["req_01jz3d5m8k0c9n7q2r4t6v8x1y"], key)[0].partition(b"\r\n\r\n")
    pairs = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
    return [(name, value) for name, _, value in pairs], body


def verifying(key: PrivateKey | Secret) -> Call:
    """Return our whole work on one delivery."""
    headers, body = parts(key)
    known: VerificationKey = key.public() if isinstance(key, PrivateKey) else key
    return lambda: verify_event(headers, body, keys=[known], audiences=[URL], now=time.time())


def library(secret: Secret) -> Call:
    """Return what ``standardwebhooks`` does with it."""
    pairs, body = parts(secret)
    headers = {name.decode(): value.decode() for name, value in pairs}
    webhook = Webhook(secret.reveal())
    return lambda: webhook.verify(body, headers)


def raw_call(key: PrivateKey) -> Call:
    """Return the signature's check alone."""
    pairs, body = parts(key)
    headers = dict(pairs)
    content = signed_content(headers[b"webhook-id"], headers[b"webhook-timestamp"], body)
    signature = decode_canonical(headers[b"webhook-signature"].partition(b",")[2])
    assert signature is not None
    public = key.public()
    return lambda: public.verify(content, signature)


def main() -> None:
    """Print the ratios and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--count", type=int, default=1_000, help="calls a batch")
    arguments = parser.parse_args()
    chance, secret, private = random.Random(1), Secret.generate(), PrivateKey.generate()
    ways = {
        "Ringback, HMAC": verifying(secret),
        "standardwebhooks": library(secret),
        "Ringback, Ed25519": verifying(private),
        "Ed25519 alone": raw_call(private),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(arguments.rounds + 1):
        for name in chance.sample(list(ways), len(ways)):
            call = ways[name]
            began = time.perf_counter()
            for _ in range(arguments.count):
                call()
            if turn:  # the first warms up
                taken[name].append(1e6 * (time.perf_counter() - began) / arguments.count)
    print("Microseconds a delivery, median [quartiles]:")
    for name, values in taken.items():
        value = spread(values)
        print(f"  {name:20} {value['median']:7.1f}  [{value['low']:.1f} to {value['high']:.1f}]")
    figures = [
        Figure.of(f"verify and decode: {ours} ÷ {theirs}", ratios(taken[ours], taken[theirs]), goal=goal)
        for (ours, theirs), goal in GOALS.items()
    ]
    microseconds = {name: spread(values) for name, values in taken.items()}
    print(f"kept in {keep('receiver_verify', {'microseconds': microseconds}, figures)}")


if __name__ == "__main__":
    main()
