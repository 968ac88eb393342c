"""
The link between supervisor and control process: a socket pair that carries one JSON object per packet.

    supervisor → control   {"draining": true}                      it was told to stop; say so in /readyz
                           {"reload": true}                        SIGHUP
                           {"request": 7, "generation": 3}         the new generation serves
                           {"request": 7, "error": "…"}            it does not; the old one serves on
    control → supervisor   {"new_generation": {"request": 7, "listen": […], "workers": 4}}
                           {"drain": {"delay": 0.0, "timeout": 30.0}}

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final

MAX_PACKET_BYTES: Final = 128 * 1024
"""More than 64 addresses need; below what a Unix socket buffers by default."""


def link_pair() -> tuple[socket.socket, socket.socket]:
    """Make both ends, non-blocking."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send_packet(link: socket.socket, message: dict[str, Any]) -> bool:
    """Send one message without waiting; return whether the other end took it."""
    try:
        link.send(json.dumps(message).encode())
    except OSError:
        return False
    return True


def receive_packet(link: socket.socket) -> dict[str, Any] | None:
    """
    Receive one message; None when the other end is gone.

    Raises:
        BlockingIOError: There is none now.
        ValueError: What came is no JSON object.
    """
    try:
        packet = link.recv(MAX_PACKET_BYTES)
    except ConnectionResetError:
        return None
    if not packet:
        return None
    message = json.loads(packet)
    if not isinstance(message, dict):
        raise ValueError(f"a link message must be a JSON object, found {type(message).__name__}")  # noqa: TRY004 (as for bad JSON)
    return message
