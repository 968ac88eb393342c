"""
Frames of the channel: four bytes of length, most significant first, then that many bytes of MessagePack.

And where the channel's socket is: a path in the state directory, however long that is.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""More than a snapshot of 1,024 backends and some thousand routes needs, by a factor of ten."""

MAX_SOCKET_PATH_BYTES: Final = 107
"""What fits `sun_path` of unix(7) with its terminating zero."""

_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()


class FrameError(Exception):
    """What came, or what should leave, is no frame: too long."""


def frame(message: msgspec.Struct) -> bytes:
    """
    Encode a message as one frame.

    Raises:
        FrameError: It is longer than the other side would take.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(
            f"a {type(message).__name__} has {len(body)} bytes, at most {MAX_FRAME_BYTES} may be sent"
        )
    return _LENGTH.pack(len(body)) + body


class FrameBuffer:
    """Bytes as they arrive, cut into the bodies of frames."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """
        Take what arrived and return the bodies that are now complete.

        Raises:
            FrameError: The next frame says it is longer than any may be; the connection is of no more use.
        """
        self._bytes += data
        bodies = []
        start = 0
        while len(self._bytes) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes, start)
            if length > MAX_FRAME_BYTES:
                raise FrameError(
                    f"a frame of {length} bytes was announced, at most {MAX_FRAME_BYTES} may come"
                )
            end = start + _LENGTH.size + length
            if len(self._bytes) < end:
                break
            bodies.append(bytes(self._bytes[start + _LENGTH.size : end]))
            start = end
        del self._bytes[:start]
        return bodies


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of this socket short enough for the kernel: its own, or one by way of its open directory."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen_at(path: Path) -> socket.socket:
    """
    Listen on a Unix socket at this path; who dials finds either the old socket there or this one, never none.

    Raises:
        OSError: The directory cannot be written to.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with reachable(new) as name:
        listener.bind(name)
    listener.listen(128)
    listener.setblocking(False)
    new.rename(path)
    return listener
