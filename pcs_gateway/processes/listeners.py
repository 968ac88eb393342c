"""
Listening sockets: opened by the supervisor, shared by all workers, closed without resetting anybody.

Closing a listening socket resets what its queue still holds, and whoever completes a handshake in that
moment. So before the end a filter drops SYN segments: nobody new gets in (a client repeats its SYN and is
refused once the socket is closed), handshakes under way end within `Patience.settle`, and workers accept what
is queued and then close. Connections that exist are not touched.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

from pcs_gateway.errors import CommandError
from pcs_gateway.processes.plan import Listener, ListenPlan

BACKLOG: Final = 65_535
"""Connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn."""

SO_ATTACH_FILTER: Final = 26
"""From asm-generic/socket.h; Python has no name for it."""

_INSTRUCTION = struct.Struct("=HBBI")
_DROP_SYN: Final = (
    _INSTRUCTION.pack(0x30, 0, 0, 13)  # ldb [13]: the flags of the TCP header
    + _INSTRUCTION.pack(0x45, 0, 1, 0x02)  # jset #2: is SYN among them?
    + _INSTRUCTION.pack(0x06, 0, 0, 0)  # ret #0: drop
    + _INSTRUCTION.pack(0x06, 0, 0, 0xFFFFFFFF)  # ret #-1: keep
)
"""A classic BPF program, see the kernel's networking/filter documentation."""

_MEANINGS: Final = {
    errno.EADDRINUSE: "the address is already in use; does another gateway run?",
    errno.EACCES: "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EAFNOSUPPORT: "this machine has no IPv6",
}


@dataclass(frozen=True)
class OpenListener:
    """
    One listening socket of the supervisor.

    Attributes:
        plan: As configured.
        socket: Non-blocking.
        bound: Where it really listens.
    """

    plan: ListenPlan
    socket: socket.socket
    bound: str

    def inherited(self) -> Listener:
        """What a worker is told of it."""
        return Listener(self.plan.address, self.plan.tls, self.bound, self.socket.fileno())

    def planned_as(self, plan: ListenPlan) -> OpenListener:
        """The same socket under another plan."""
        return OpenListener(plan, self.socket, self.bound)


def parse_address(address: str) -> tuple[str, int]:
    """
    Split `host:port` or `[ipv6]:port`.

    Raises:
        CommandError: It is neither.
    """
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not (colon and port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise CommandError(f"cannot listen on {address!r}: must be host:port or [ipv6]:port, port 0 to 65535")
    return host, int(port)


def open_listener(plan: ListenPlan) -> OpenListener:
    """
    Listen on an address.

    Raises:
        CommandError: It cannot; the text says which address and why.
    """
    host, port = parse_address(plan.address)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(plan, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _cannot_listen(plan, error) from error
    return OpenListener(plan, listener, _bound(listener))


def refuse_new_connections(listener: socket.socket) -> None:
    """
    Drop SYN segments from now on, on every copy of this listening socket; connections that exist go on.

    Raises:
        OSError: The kernel does not take the filter.
    """
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    length = len(_DROP_SYN) // _INSTRUCTION.size
    listener.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", length, ctypes.addressof(program))
    )


def _cannot_listen(plan: ListenPlan, error: OSError) -> CommandError:
    reason = _MEANINGS.get(error.errno or 0) or error.strerror or os.strerror(error.errno or 0)
    return CommandError(f"cannot listen on {plan.address}: {reason}")


def _bound(listener: socket.socket) -> str:
    """The address and port that the kernel chose."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"
