"""The machine's clocks."""

import time

from pcs_gateway.clock import SystemClock


def test_the_system_clock_reads_the_machine() -> None:
    """Each reading lies between two of the standard library's."""
    clock = SystemClock()

    before, now, after = time.time(), clock.time(), time.time()
    assert before <= now <= after

    before, now, after = time.monotonic(), clock.monotonic(), time.monotonic()
    assert before <= now <= after


async def test_sleeping_takes_the_time_it_says() -> None:
    """A pause ends after its time, and a negative one at once."""
    clock = SystemClock()

    begin = clock.monotonic()
    await clock.sleep(0.02)
    await clock.sleep(-5.0)

    assert 0.015 <= clock.monotonic() - begin < 4.0
