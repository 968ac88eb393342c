"""Signs of life, and the end of the supervisor."""

import asyncio
import os
import subprocess
import sys

import pytest

from pcs_gateway.processes.liveness import ABANDONED_STATUS, Heartbeat, watch_lifeline
from pcs_gateway.processes.scoreboard import Scoreboard
from tests.fakes.clock import FakeClock

HANGING = """
import asyncio, sys, threading
from pcs_gateway.processes.liveness import watch_lifeline
async def main():
    watch_lifeline(int(sys.argv[1]), lambda: None, 0.2)
    threading.Event().wait()
asyncio.run(main())
"""


async def test_heart_beats_until_stopped() -> None:
    """The row's cell follows the clock each 100 ms, from the start on, and stands still after the stop."""
    row, clock = Scoreboard.create().row(1), FakeClock(50.0)
    heartbeat = Heartbeat(row, clock)

    heartbeat.start()
    first = row.heartbeat
    clock.now = 51.0
    async with asyncio.timeout(5):
        while row.heartbeat != 51.0:
            await asyncio.sleep(0.01)
    heartbeat.stop()
    clock.now = 52.0
    await asyncio.sleep(0.15)

    assert (50.0, 51.0) == (first, row.heartbeat)


async def test_end_of_the_supervisor_is_noticed() -> None:
    """When the last writer of the lifeline is gone, the loop is told."""
    readable, writable = os.pipe()
    gone = asyncio.Event()
    watch_lifeline(readable, gone.set, last_resort=86_400)  # it would end the whole run of tests

    await asyncio.sleep(0.01)
    before = gone.is_set()
    os.close(writable)
    async with asyncio.timeout(5):
        await gone.wait()

    assert not before
    os.close(readable)


def test_loop_that_hangs_is_ended() -> None:
    """A process whose loop hangs ends too when its supervisor is gone."""
    readable, writable = os.pipe()
    with subprocess.Popen([sys.executable, "-c", HANGING, str(readable)], pass_fds=[readable]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        os.close(writable)

        assert ABANDONED_STATUS == process.wait(20)
    os.close(readable)
