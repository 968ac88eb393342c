"""A client's socket: how fast it is read and written, and what the kernel still holds for either side."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import sys
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ

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
        is_reading_paused: Nothing is read, so the client has to wait.
    """

    __slots__ = ("_buffer_limit", "_taken", "_unsent", "is_reading_paused", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_reading_paused = False
        self._buffer_limit = 0
        self._unsent = 0
        self._taken = 0.0

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
        if self.is_reading_paused and not self.transport.is_closing():
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
