"""
Lines on their way to a file, through a bounded queue and a thread, so that the caller never waits.

A pipe that nobody reads holds up the thread and nothing else. What does not fit into the queue is dropped and
counted. The thread only makes the system calls of `log_file`: it holds the GIL for microseconds per batch.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final

from pcs_gateway.telemetry.log_file import NEWLINE, LogFile

CAPACITY_BYTES: Final = 4 << 20
"""About 12,000 lines of access log: a second or so of a slow disk at full load."""
STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2


class LineWriter:
    """
    A queue of lines, and the thread that writes them.

    Attributes:
        written: Lines written so far.
    """

    def __init__(
        self,
        destination: str | int,
        monotonic: Callable[[], float],
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        """Start the thread for a path, or for an open descriptor; the clock is for looking after the file."""
        self.written = 0
        self._file = LogFile(destination, monotonic)
        self._capacity = capacity_bytes
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        # each number has one writing thread, so none needs a lock
        self._taken_bytes = 0
        self._done_bytes = 0
        self._taken_lines = 0
        self._refused = 0
        self._lost = 0
        self._reopen_wanted = False
        self._thread = Thread(target=self._run, name="line-writer", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return (
            f"<LineWriter {self.written} written, {self.dropped} dropped, "
            f"{self.waiting_bytes} bytes waiting, {self._file}>"
        )

    @property
    def dropped(self) -> int:
        """Lines that did not fit into the queue, or could not be written."""
        return self._refused + self._lost

    @property
    def waiting_bytes(self) -> int:
        """What was taken and is neither written nor lost yet."""
        return self._taken_bytes - self._done_bytes

    @property
    def error(self) -> str:
        """Why lines cannot be written at present; "" while they can."""
        return self._file.error

    def put(self, lines: bytes) -> bool:
        """
        Hand over complete lines.

        Returns:
            Whether they were taken; if not, they are dropped and counted.
        """
        if self.waiting_bytes + len(lines) > self._capacity:
            self._refused += lines.count(NEWLINE)
            return False
        self._taken_bytes += len(lines)
        self._taken_lines += lines.count(NEWLINE)
        self._queue.put(lines)
        return True

    def reopen(self) -> None:
        """Open the file anew before the next line, as after its rotation."""
        self._reopen_wanted = True

    def close(self, timeout: float) -> bool:
        """
        Write what is waiting, for at most `timeout` seconds, and end the thread.

        With a timeout of 0 the thread is left to end by itself, as when another writer takes over. Otherwise
        lines that are still waiting count as dropped: the process is about to end.

        Returns:
            Whether it is done.
        """
        self._queue.put(None)
        self._thread.join(timeout)
        is_done = not self._thread.is_alive()
        if timeout > 0 and not is_done:
            self._refused += self._taken_lines - self.written - self._lost
        return is_done

    def _run(self) -> None:
        while (lines := self._queue.get()) is not None:
            if self._reopen_wanted:
                self._reopen_wanted = False
                self._file.reopen()
            written, lost = self._file.write(lines)
            self.written += written
            self._lost += lost
            self._done_bytes += len(lines)
        self._file.close()
