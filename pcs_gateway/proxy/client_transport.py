"""A client's socket: how fast it is read and written, and what the kernel still holds for either side."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import sys
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ

RATE_WINDOW = 10.0
"""Seconds over which limits.minimum_body_rate is judged, at least."""

KERNEL_STEP = 64 * 1024
"""A client's kernel makes room for more in steps of up to this, however steadily its program reads."""

NO_BYTES = bytes(4)
"""How the kernel says that nothing waits in a buffer: a C integer."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends a reset."""


def has_unread(transport: asyncio.Transport) -> bool:
    """Tell whether bytes of the peer wait in the kernel; that takes a system call."""
    fd = transport.get_extra_info("socket").fileno()
    return fd >= 0 and ioctl(fd, FIONREAD, NO_BYTES) != NO_BYTES


class ClientTransport(asyncio.Protocol):
    """
    The transport's side of a client's connection.

    Attributes:
        is_behind: What was read is still being decoded, a part in each turn of the loop; until then nothing
            more is read.
        is_reading_paused: Nothing is read, so the client has to wait.
    """

    __slots__ = (
        "_buffer_limit",
        "_judged",
        "_judged_unsent",
        "_taken",
        "_unsent",
        "is_behind",
        "is_reading_paused",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_behind = self.is_reading_paused = False
        self._buffer_limit = 0
        self._unsent = 0
        self._taken = self._judged = 0.0
        self._judged_unsent = 0

    def read_ahead(self, size: int) -> None:
        """Hold at most about `size` bytes of a response for this client before its backend has to wait."""
        if size != self._buffer_limit:
            self._buffer_limit = size
            self.transport.set_write_buffer_limits(high=size)

    def pause_reading(self) -> None:
        """Stop reading; the kernel's buffers fill up and the client has to wait."""
        if not self.is_reading_paused and not self.transport.is_closing():
            self.is_reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self.is_reading_paused and not self.is_behind and not self.transport.is_closing():
            self.is_reading_paused = False
            self.transport.resume_reading()

    def takes(self, now: float) -> bool:
        """
        Tell whether the client has taken some of what was written since this was asked last.

        The kernel's buffer counts too: it is larger than ours, and makes room in large steps only.
        """
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        fd = self.transport.get_extra_info("socket").fileno()
        if fd >= 0:
            self._unsent += int.from_bytes(ioctl(fd, TIOCOUTQ, NO_BYTES), sys.byteorder)
        if self._unsent == before:
            return False
        self._taken = now
        return True

    def takes_too_slowly(self, now: float, minimum_rate: float) -> bool:
        """
        Tell, once for each window, whether the client took less than `minimum_rate` bytes a second in it.

        To be asked after `takes`, while everything written waits for the client. A window is as long as the
        kernel's largest step takes at that rate, else a client just fast enough would seem to stand still.
        """
        elapsed = now - self._judged
        if not self._judged or self._unsent > self._judged_unsent:
            # the first time, or more was written meanwhile
            self._judge_from(now)
        elif minimum_rate and elapsed >= max(RATE_WINDOW, KERNEL_STEP / minimum_rate):
            taken = self._judged_unsent - self._unsent
            self._judge_from(now)
            return taken < minimum_rate * elapsed
        return False

    def _judge_from(self, now: float) -> None:
        self._judged = now
        self._judged_unsent = self._unsent

    def caught_up(self) -> None:
        """Judge the client's speed anew: it has emptied the buffer."""
        self._judged = 0.0

    def has_unread(self) -> bool:
        """Tell whether bytes of the client wait in the kernel; that takes a system call."""
        return has_unread(self.transport)

    def is_lost(self) -> bool:
        """Tell whether the connection was reset; the loop says so only while it is read."""
        fd = self.transport.get_extra_info("socket").fileno()
        poller = select.poll()
        if fd >= 0:
            poller.register(fd, 0)
        return bool(poller.poll(0))

    def reset_at_close(self) -> None:
        """Let the client see a reset when the connection closes."""
        if not self.transport.is_closing():
            raw: socket.socket = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
