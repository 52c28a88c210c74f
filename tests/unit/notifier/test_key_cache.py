"""However strangers ask for keys, few look-ups are made."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from ringback_notifier._key_cache import (
    _BURST,
    FAILURES_KEPT,
    KEPT,
    MOST_UNKNOWN,
    RATE,
    KeyCache,
    KeysBusy,
    KeysUnknown,
)


class Clock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class LookUp:
    """A look-up that counts; only the names in ``keys`` have some."""

    def __init__(self, **keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate: Callable[[], object] = lambda: None

    def __call__(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        self.gate()
        if self.error is not None:
            raise self.error
        return self.keys.get(name, ())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_answer_is_given_again_for_a_while(clock: Clock) -> None:
    """Ten seconds without a look-up; then a changed key is seen."""
    look_up = LookUp(portal=("old",))
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        assert [await cache.get("portal") for _ in range(100)] == [("old",)] * 100
        look_up.keys["portal"] = ("new", "old")
        clock.now += KEPT - 0.1
        assert await cache.get("portal") == ("old",)
        clock.now += 0.2
        assert await cache.get("portal") == ("new", "old")

    asyncio.run(ask())
    assert look_up.asked == ["portal", "portal"]


def test_those_who_ask_at_the_same_time_share_a_look_up(clock: Clock) -> None:
    """A hundred callers, one look-up."""
    look_up = LookUp(portal=("key",))
    look_up.gate = lambda: time.sleep(0.05)
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> list[tuple[str, ...]]:
        return await asyncio.gather(*(cache.get("portal") for _ in range(100)))

    assert asyncio.run(ask()) == [("key",)] * 100
    assert look_up.asked == ["portal"]


def test_made_up_names_cost_a_few_look_ups_and_hide_no_real_one(clock: Clock) -> None:
    """A stranger who asks for ever new names is told to come later; a destination that has keys is always answered."""
    look_up = LookUp(portal=("key",))
    cache = KeyCache(look_up, clock=clock)

    async def flood() -> int:
        await cache.get("portal")
        busy = 0
        for second in range(20):
            clock.now += 1.0
            for number in range(100):
                try:
                    assert await cache.get(f"x{second}_{number}") == ()
                except KeysBusy:
                    busy += 1
            assert await cache.get("portal") == ("key",)
        return busy

    busy = asyncio.run(flood())
    made_up = [name for name in look_up.asked if name != "portal"]
    assert len(made_up) + busy == 2_000
    assert _BURST <= len(made_up) <= _BURST + 20 * RATE
    assert 2 <= look_up.asked.count("portal") <= 3
    assert len(cache._unknown) <= MOST_UNKNOWN


def test_only_so_many_names_without_keys_are_remembered(clock: Clock) -> None:
    """Memory is bounded, too; the oldest is forgotten."""
    cache = KeyCache(LookUp(), clock=clock)

    async def ask() -> None:
        for number in range(MOST_UNKNOWN + 10):
            clock.now += 1 / RATE
            await cache.get(f"x{number}")

    asyncio.run(ask())
    assert len(cache._unknown) == MOST_UNKNOWN
    assert "x0" not in cache._unknown
    assert f"x{MOST_UNKNOWN + 9}" in cache._unknown


def test_a_database_that_fails_is_not_asked_for_every_request(clock: Clock) -> None:
    """Once a second and name is enough, and when it is back the keys are there."""
    look_up = LookUp(portal=("key",))
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        await cache.get("portal")
        clock.now += KEPT
        look_up.error = ConnectionError()
        for _ in range(50):
            with pytest.raises(KeysUnknown):
                await cache.get("portal")
        assert look_up.asked == ["portal"] * 2
        look_up.error = None
        clock.now += FAILURES_KEPT
        assert await cache.get("portal") == ("key",)

    asyncio.run(ask())


def test_a_failure_is_no_answer_and_names_no_secret(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks next for a name looks again; the error's text, which may quote a connection, is in no log."""
    look_up = LookUp(portal=("key",))
    look_up.error = RuntimeError("whsk_secret")
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        with pytest.raises(KeysUnknown) as raised:
            await cache.get("portal")
        assert raised.value.__cause__ is None
        look_up.error = None
        assert await cache.get("portal") == ("key",)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(ask())
    assert "RuntimeError" in caplog.text
    assert "whsk_" not in caplog.text


def test_a_look_up_that_hangs_keeps_neither_callers_nor_threads(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told that nobody knows, a third caller joins instead of looking, and two threads are all."""
    monkeypatch.setattr("ringback_notifier._key_cache._LOOK_UP_SECONDS", 0.05)
    released = threading.Event()
    look_up = LookUp(portal=("key",))
    look_up.gate = lambda: released.wait(10)
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        threads = threading.active_count()
        for name in ("portal", "portal", "a", "b", "c", "d"):
            with pytest.raises(KeysUnknown):
                await cache.get(name)
        assert threading.active_count() == threads + 2
        assert look_up.asked == ["portal", "a"]
        released.set()
        assert await cache.get("portal") == ("key",)

    asyncio.run(ask())


def test_a_look_up_that_hangs_keeps_no_process_from_ending() -> None:
    """The API server can be stopped while a secrets back end is silent."""
    program = (
        "import asyncio, time\n"
        "from ringback_notifier import _key_cache\n"
        "_key_cache._LOOK_UP_SECONDS = 0.05\n"
        "async def main():\n"
        "    try:\n"
        "        await _key_cache.KeyCache(lambda name: time.sleep(120)).get('portal')\n"
        "    except _key_cache.KeysUnknown:\n"
        "        print('unknown')\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("unknown\n", "")
