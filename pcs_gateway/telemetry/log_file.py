"""
One file of lines that several processes write to; or standard output.

The law of this file:

- it makes system calls that release the GIL and next to nothing else: it runs in the thread of `line_writer`;
- a full disk, a closed pipe or a directory that is gone costs lines, which are counted, and raises nothing;
- a line is never torn by another process: a file is opened for appending, and what is not a regular file is
  given at most PIPE_BUF bytes at once, which a pipe takes in one piece (pipe(7));
- a line of which only a part could be written is completed before the next one;
- a file that was renamed or removed is opened anew within a second of its next line, or at once when asked.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

CHECK_SECONDS: Final = 1.0
MODE: Final = 0o640
POLL_MILLISECONDS: Final = 1000
NEWLINE: Final = b"\n"


class LogFile:
    """
    A file by its path, or an open descriptor that belongs to somebody else.

    Attributes:
        error: Why lines cannot be written at present; "" while they can.
    """

    def __init__(self, destination: str | int, monotonic: Callable[[], float]) -> None:
        """Open nothing yet: the first `write` does."""
        self._path = destination if isinstance(destination, str) else ""
        self._descriptor = destination if isinstance(destination, int) else -1
        self._monotonic = monotonic
        self._identity: tuple[int, int] | None = None
        self._piece_bytes = 0
        self._checked = 0.0
        self._tail = b""
        self.error = ""

    def __repr__(self) -> str:
        return f"<LogFile {self._path or self._descriptor!r}, error {self.error!r}>"

    def write(self, lines: bytes) -> tuple[int, int]:
        """
        Write complete lines.

        Returns:
            How many lines are written now, one completed just now included, and how many are lost. A line of
            which a part is written counts only when it is completed.
        """
        lost = self._look_after()
        whole = self._tail + lines
        done = self._write_all(whole)
        rest = whole[done:]
        is_torn = bool(rest) and (whole[done - 1 : done] != NEWLINE if done else bool(self._tail))
        self._tail = rest[: rest.index(NEWLINE) + 1] if is_torn else b""
        return whole.count(NEWLINE, 0, done), lost + rest.count(NEWLINE) - is_torn

    def reopen(self) -> None:
        """Open the file anew before the next line, as after its rotation."""
        self._identity = None

    def close(self) -> None:
        """Close the file; a descriptor of somebody else stays open."""
        if self._path and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _look_after(self) -> int:
        now = self._monotonic()
        if self._identity is not None and now - self._checked < CHECK_SECONDS:
            return 0
        self._checked = now
        if self._identity is not None and not self._has_moved():
            return 0
        return self._open()

    def _has_moved(self) -> bool:
        try:
            found = Path(self._path).stat() if self._path else os.fstat(self._descriptor)
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._identity

    def _open(self) -> int:
        self._identity = None
        lost = 0
        try:
            if self._path:
                opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
                self.close()
                self._descriptor = opened
                lost = bool(self._tail)  # the rest of a line means nothing without its beginning
                self._tail = b""
            status = os.fstat(self._descriptor)
        except OSError as problem:
            self.error = str(problem)
            return lost
        self._identity = status.st_dev, status.st_ino
        self._piece_bytes = 0 if stat.S_ISREG(status.st_mode) else select.PIPE_BUF
        return lost

    def _write_all(self, lines: bytes) -> int:
        if self._descriptor < 0:
            return 0
        view = memoryview(lines)
        done = 0
        for end in piece_ends(lines, self._piece_bytes):
            while done < end:
                try:
                    done += os.write(self._descriptor, view[done:end])
                except BlockingIOError:  # somebody made the open file non-blocking for all who share it
                    self._wait_until_writable()
                except OSError as problem:
                    self.error = str(problem)
                    return done
        if self._identity is not None:  # else this is the old file, because the new one cannot be opened
            self.error = ""
        return done

    def _wait_until_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(POLL_MILLISECONDS)


def piece_ends(lines: bytes, limit: int) -> Iterator[int]:
    """
    Yield where to cut lines into pieces of whole lines of at most `limit` bytes each; 0 means not at all.

    A line longer than the limit is a piece of its own.
    """
    length = len(lines)
    begin = 0
    while limit and length - begin > limit:
        end = lines.rfind(NEWLINE, begin, begin + limit) + 1 or lines.find(NEWLINE, begin) + 1 or length
        yield end
        begin = end
    if begin < length:
        yield length
