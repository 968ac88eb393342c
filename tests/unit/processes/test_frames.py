"""Frames: whatever the pieces, the same messages come out."""

import socket
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.processes.frames import MAX_FRAME_BYTES, FrameBuffer, FrameError, frame, listen_at, reachable
from pcs_gateway.processes.messages import Acknowledged, Hello, Refused


class TestFrames:
    def test_frame_is_length_and_body(self) -> None:
        """Four bytes of length stand before the message."""
        data = frame(Acknowledged(7))

        assert struct.unpack(">I", data[:4])[0] == len(data) - 4
        assert msgspec.msgpack.decode(data[4:], type=Acknowledged) == Acknowledged(7)

    @given(st.lists(st.integers(0, 10**12)), st.lists(st.integers(1, 40)))
    def test_any_pieces_make_the_same_bodies(self, versions: list[int], cuts: list[int]) -> None:
        """However the bytes are cut on the way, the bodies are the same and in order."""
        data = b"".join(frame(Acknowledged(version)) for version in versions)
        buffer, bodies = FrameBuffer(), []
        for cut in cuts:
            bodies += buffer.feed(data[:cut])
            data = data[cut:]
        bodies += buffer.feed(data)

        assert [msgspec.msgpack.decode(body, type=Acknowledged).version for body in bodies] == versions

    def test_announced_size_is_bounded(self) -> None:
        """A frame that says it is too long ends the connection before its body is kept."""
        with pytest.raises(FrameError, match="a frame of 33554433 bytes was announced"):
            FrameBuffer().feed(struct.pack(">I", MAX_FRAME_BYTES + 1))

    def test_too_long_message_is_not_sent(self) -> None:
        """What the other side would not take is refused here, by name."""
        with pytest.raises(FrameError, match="a Refused has"):
            frame(Refused("x" * MAX_FRAME_BYTES))


class TestSocketPath:
    @pytest.mark.parametrize("depth", [1, 40])
    def test_any_length_of_path_works(self, tmp_path: Path, depth: int) -> None:
        """A state directory deeper than a socket's name may be long can be served and dialled."""
        directory = tmp_path.joinpath(*["deeper"] * depth)
        directory.mkdir(parents=True)
        path = directory / "channel.sock"

        with (
            listen_at(path) as listener,
            reachable(path) as name,
            socket.socket(socket.AF_UNIX) as client,
        ):
            client.connect(name)
            listener.accept()[0].close()

        assert ["channel.sock"] == [entry.name for entry in directory.iterdir()]

    def test_newer_listener_takes_over(self, tmp_path: Path) -> None:
        """Who dials after a second listener came reaches that one."""
        path = tmp_path / "channel.sock"

        with (
            listen_at(path) as old,
            listen_at(path) as new,
            socket.socket(socket.AF_UNIX) as client,
        ):
            client.connect(str(path))
            new.accept()[0].close()
            with pytest.raises(BlockingIOError):
                old.accept()


def test_hello_is_understood_by_any_version() -> None:
    """A hello with more fields than we know is read: two versions can always say that they differ."""
    known = msgspec.msgpack.decode(frame(Hello(1, 2, 3))[4:])
    newer = msgspec.msgpack.encode({**known, "protocol": 99, "mood": "good"})

    assert msgspec.msgpack.decode(newer, type=Hello) == Hello(1, 2, 3, 99)
