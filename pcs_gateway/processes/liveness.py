"""What ties a process to its supervisor: it shows that it lives, obeys, and notices when it is alone."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final

from pcs_gateway.clock import Clock
from pcs_gateway.processes.scoreboard import Row

HEARTBEAT_EVERY: Final = 0.1
"""Seconds between two heartbeats."""

ABANDONED_STATUS: Final = 70
"""Exit status of a process that the last resort ended (EX_SOFTWARE of sysexits.h)."""


class Heartbeat:
    """
    Advances the heartbeat of a row from the event loop, so that a loop that hangs shows as one.

    A process that has a sweep of its own calls `beat` from there instead of `start`.
    """

    __slots__ = ("_clock", "_handle", "_row")

    def __init__(self, row: Row, clock: Clock) -> None:
        self._row = row
        self._clock = clock
        self._handle: asyncio.TimerHandle | None = None

    def beat(self) -> None:
        """Show one sign of life."""
        self._row.heartbeat = self._clock.monotonic()

    def start(self) -> None:
        """Beat now and each 100 ms from the running loop."""
        self.beat()
        self._handle = asyncio.get_running_loop().call_later(HEARTBEAT_EVERY, self.start)

    def stop(self) -> None:
        """Beat no more."""
        if self._handle is not None:
            self._handle.cancel()


def heed(handlers: Mapping[signal.Signals, Callable[[], None]]) -> None:
    """
    Call these for signals, in the running loop.

    The supervisor starts processes with SIGTERM blocked, or one that came while they import would kill them;
    whatever came until now is handled now.
    """
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)


def watch_lifeline(fd: int, on_gone: Callable[[], None], last_resort: float) -> None:
    """
    Call `on_gone` in the running loop when the supervisor is gone, and end the process if that does not.

    A thread waits for the end of file on the lifeline, since a loop that hangs would never see it and nobody
    is left to kill this process: `last_resort` seconds later it is ended as it stands.

    Args:
        fd: The lifeline, `lifeline_fd` of the plan.
        on_gone: Begins to drain and exit.
        last_resort: More than a drain takes.
    """
    loop = asyncio.get_running_loop()

    def wait() -> None:
        while os.read(fd, 1):
            pass
        try:
            loop.call_soon_threadsafe(on_gone)
        except RuntimeError:
            return  # the loop is closed: the process ends already
        threading.Event().wait(last_resort)
        os._exit(ABANDONED_STATUS)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
