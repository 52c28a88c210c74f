"""However strangers ask for keys, few look-ups are made, and whatever becomes of one, the next is not hindered."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from ringback_notifier import _key_cache
from ringback_notifier._key_cache import FAILURES_KEPT, KEPT, MOST_THREADS, KeyCache, KeysUnknown


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
        self.gate: Callable[[str], object] = lambda name: None

    def __call__(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        self.gate(name)
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
    look_up.gate = lambda name: time.sleep(0.05)
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> list[tuple[str, ...]]:
        return await asyncio.gather(*(cache.get("portal") for _ in range(100)))

    assert asyncio.run(ask()) == [("key",)] * 100
    assert look_up.asked == ["portal"]


def test_that_there_are_no_keys_is_an_answer_too(clock: Clock) -> None:
    """It is kept as any other, and then a new connection is seen."""
    look_up = LookUp()
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        assert [await cache.get("portal") for _ in range(100)] == [()] * 100
        look_up.keys["portal"] = ("key",)
        clock.now += KEPT
        assert await cache.get("portal") == ("key",)

    asyncio.run(ask())
    assert look_up.asked == ["portal", "portal"]


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
    """It is said once per outage; the error's text, which may quote a connection, is in no log and no error."""
    look_up = LookUp(portal=("key",))
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        for error in (RuntimeError("whsk_secret"), None, RuntimeError("whsk_secret")):
            look_up.error = error
            for _ in range(5):
                clock.now += KEPT
                if error is None:
                    assert await cache.get("portal") == ("key",)
                    continue
                with pytest.raises(KeysUnknown) as raised:
                    await cache.get("portal")
                assert raised.value.__cause__ is None

    with caplog.at_level(logging.DEBUG):
        asyncio.run(ask())
    said = [record.getMessage() for record in caplog.records if record.name == _key_cache.__name__]
    assert len(said) == 2
    assert all("'portal'" in line and "RuntimeError" in line for line in said)
    assert "whsk_" not in caplog.text


class Hanging:
    """A secrets back end whose silence begins and ends by command, but for those who were caught in it."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.caught: list[threading.Event] = []

    def __call__(self, name: str) -> None:
        if name in self.names:
            released = threading.Event()
            self.caught.append(released)
            released.wait(20)


@pytest.fixture
def giving_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups are given up soon."""
    monkeypatch.setattr(_key_cache, "GIVEN_UP_AFTER", 0.4)


async def unknown(cache: KeyCache, name: str) -> None:
    with pytest.raises(KeysUnknown):
        await cache.get(name)


async def given_up(cache: KeyCache, clock: Clock, name: str) -> None:
    """Ask until the look-up is given up, and until the pause after it is over."""
    await unknown(cache, name)
    clock.now += FAILURES_KEPT


def test_a_look_up_that_hangs_keeps_no_caller_and_no_other_name(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told soon that nobody knows, the next joins instead of looking, and other names are served."""
    monkeypatch.setattr(_key_cache, "ANSWERED_WITHIN", 0.3)
    look_up = LookUp(portal=("key",), other=("key",))
    look_up.gate = hanging = Hanging("portal", "a", "b", "c")
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        threads = threading.active_count()
        await asyncio.gather(*(unknown(cache, name) for name in ("portal", "portal", "portal", "a", "b", "c")))
        assert threading.active_count() == threads + 4
        assert sorted(look_up.asked) == ["a", "b", "c", "portal"]
        assert await cache.get("other") == ("key",)
        for caught in hanging.caught:
            caught.set()
        assert await cache.get("portal") == ("key",)

    asyncio.run(ask())


@pytest.mark.usefixtures("giving_up")
def test_a_look_up_that_never_returns_is_given_up(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The next question looks anew, and is answered if the back end is well again; that is said once."""
    look_up = LookUp(portal=("key",))
    look_up.gate = hanging = Hanging("portal")
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        for _ in range(2):
            await given_up(cache, clock, "portal")
        hanging.names.clear()
        assert await cache.get("portal") == ("key",)
        look_up.keys["portal"] = ("new",)
        clock.now += KEPT - 1.0
        for caught in hanging.caught:  # what comes that late is heard by nobody
            caught.set()
        await asyncio.sleep(0.05)
        assert await cache.get("portal") == ("key",)

    asyncio.run(ask())
    (said,) = [record.getMessage() for record in caplog.records if record.name == _key_cache.__name__]
    assert said == (
        "ringback: keys of destination 'portal' cannot be looked up: no answer for 0 s; the next question asks anew"
    )


@pytest.mark.usefixtures("giving_up")
def test_threads_that_never_return_are_few(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """With so many of a name, no other is begun until one of them returns."""
    look_up = LookUp(portal=("key",))
    look_up.gate = hanging = Hanging("portal")
    cache = KeyCache(look_up, clock=clock)

    async def ask() -> None:
        before = threading.active_count()
        for _ in range(MOST_THREADS + 3):
            await given_up(cache, clock, "portal")
        assert threading.active_count() == before + MOST_THREADS
        assert len(look_up.asked) == MOST_THREADS
        hanging.names.clear()
        await unknown(cache, "portal")
        clock.now += FAILURES_KEPT
        hanging.caught[0].set()
        for _ in range(500):  # until the loop has heard of it, too
            if cache._threads["portal"] < MOST_THREADS:
                break
            await asyncio.sleep(0.01)
        assert await cache.get("portal") == ("key",)
        for caught in hanging.caught:
            caught.set()

    asyncio.run(ask())
    assert len([record for record in caplog.records if "have not returned" in record.getMessage()]) == 1


def test_a_look_up_that_hangs_keeps_no_process_from_ending() -> None:
    """The API server can be stopped while a secrets back end is silent."""
    program = (
        "import asyncio, time\n"
        "from ringback_notifier import _key_cache\n"
        "_key_cache.ANSWERED_WITHIN = 0.05\n"
        "async def main():\n"
        "    try:\n"
        "        await _key_cache.KeyCache(lambda name: time.sleep(120)).get('portal')\n"
        "    except _key_cache.KeysUnknown:\n"
        "        print('unknown')\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("unknown\n", "")
