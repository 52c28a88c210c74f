"""What a receiver does again and again."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from ringback_receiver._background import Background

pytestmark = pytest.mark.anyio


async def test_failing_step_is_tried_again_ever_later(caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is logged, the pauses double, and the first success makes them short again."""
    outcomes = [OSError("one"), OSError("two"), OSError("three"), None, OSError("four"), None]
    moments: list[float] = []
    done = asyncio.Event()

    async def step() -> float:
        moments.append(time.monotonic())
        if len(moments) > len(outcomes):
            done.set()
            return 3600.0
        if (outcome := outcomes[len(moments) - 1]) is not None:
            raise outcome
        return 0.0

    background = Background("cannot do it", step, after_failure=0.1)
    await asyncio.wait_for(done.wait(), 10)
    await background.close()
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert [pause >= least for pause, least in zip(pauses, [0.1, 0.2, 0.4, 0.0, 0.1, 0.0], strict=True)] == [True] * 6
    assert pauses[4] < 0.75  # it would be 0.8, were they still doubled
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot do it: OSError: {word}" for word in ("one", "two", "three", "four")
    ]


async def test_it_can_be_stopped_in_the_middle_of_a_step() -> None:
    """Closing waits for nothing that hangs."""

    async def hang() -> float:
        await asyncio.sleep(3600)
        return 0.0

    background = Background("cannot do it", hang, after_failure=1.0)
    await asyncio.sleep(0.01)
    await asyncio.wait_for(background.close(), 1)
