"""One file of lines that several processes write to."""

import fcntl
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.telemetry.log_file import LogFile, piece_ends
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return a pipe: the end to read from, the end to write to."""
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            pass


class TestFile:
    def test_lines_are_appended(self, tmp_path: Path, clock: FakeClock) -> None:
        """What a file held before stays, and the file is not for everybody to read."""
        path = tmp_path / "access.log"
        file = LogFile(str(path), clock.monotonic)
        written = file.write(b"one\ntwo\n")
        file.close()
        again = LogFile(str(path), clock.monotonic)
        again.write(b"three\n")
        again.close()

        assert (2, 0) == written
        assert path.read_bytes() == b"one\ntwo\nthree\n"
        assert path.stat().st_mode & 0o007 == 0

    @pytest.mark.parametrize("seconds", [1.0, 60.0])
    def test_renamed_file_is_opened_anew(self, tmp_path: Path, clock: FakeClock, seconds: float) -> None:
        """A second after a rotation the lines go to the new file."""
        path = tmp_path / "access.log"
        file = LogFile(str(path), clock.monotonic)
        file.write(b"one\n")
        path.rename(tmp_path / "access.log.1")
        clock.advance(0.5)
        file.write(b"two\n")
        clock.advance(seconds)
        file.write(b"three\n")
        file.close()

        assert (tmp_path / "access.log.1").read_bytes() == b"one\ntwo\n"
        assert path.read_bytes() == b"three\n"

    def test_reopen_needs_no_waiting(self, tmp_path: Path, clock: FakeClock) -> None:
        """After a signal the very next line goes to the new file."""
        path = tmp_path / "access.log"
        file = LogFile(str(path), clock.monotonic)
        file.write(b"one\n")
        path.rename(tmp_path / "access.log.1")
        file.reopen()
        file.write(b"two\n")
        file.close()

        assert path.read_bytes() == b"two\n"

    def test_truncated_file_is_written_from_its_beginning(self, tmp_path: Path, clock: FakeClock) -> None:
        """A rotation that copies and truncates leaves no hole of zeros."""
        path = tmp_path / "access.log"
        file = LogFile(str(path), clock.monotonic)
        file.write(b"one\n")
        os.truncate(path, 0)
        file.write(b"two\n")
        file.close()

        assert path.read_bytes() == b"two\n"

    def test_writers_of_one_file_tear_no_lines(self, tmp_path: Path) -> None:
        """Four processes append at once, and each line comes out in one piece."""
        path = tmp_path / "access.log"
        lines = lines_of_writers(str(path), path.read_bytes)

        assert len(lines) == 4 * 2000
        assert all(len(line) == 300 and len(set(line)) == 1 for line in lines)

    def test_missing_directory_costs_lines(self, tmp_path: Path, clock: FakeClock) -> None:
        """The lines are counted as lost and the reason is told, until the directory is there."""
        path = tmp_path / "later" / "access.log"
        file = LogFile(str(path), clock.monotonic)
        lost = file.write(b"one\ntwo\n")
        error = file.error
        path.parent.mkdir()
        written = file.write(b"three\n")
        file.close()

        assert ((0, 2), (1, 0)) == (lost, written)
        assert "No such file or directory" in error
        assert file.error == ""

    def test_file_that_cannot_be_replaced_is_written_on(self, tmp_path: Path, clock: FakeClock) -> None:
        """While no new file can be opened the old one takes the lines, and the reason is told."""
        directory = tmp_path / "logs"
        directory.mkdir()
        file = LogFile(str(directory / "access.log"), clock.monotonic)
        file.write(b"one\n")
        directory.rename(tmp_path / "old")
        clock.advance(1.0)
        written = file.write(b"two\n")
        file.close()

        assert (1, 0) == written
        assert "No such file" in file.error
        assert (tmp_path / "old" / "access.log").read_bytes() == b"one\ntwo\n"


@contextmanager
def small_files() -> Iterator[Callable[[int], None]]:
    """
    Let no file of this process grow beyond 10 bytes; gives what makes room up to another size.

    It lasts no longer than the writes of a test: pytest's own output may be a file too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def allow(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    allow(10)
    try:
        yield allow
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


class TestFullDisk:
    """A limit on the size of files (RLIMIT_FSIZE) cuts writes short just as a full disk does."""

    def test_torn_line_is_completed_first(self, tmp_path: Path, clock: FakeClock) -> None:
        """When there is room again the rest of the line comes before the next line."""
        path = tmp_path / "access.log"
        file = LogFile(str(path), clock.monotonic)
        with small_files() as allow:
            full = file.write(b"line-1\nline-2\nline-3\n")
            still_full = file.write(b"line-4\n")
            allow(1000)
            roomy = file.write(b"line-5\n")
        file.close()

        assert [(1, 1), (0, 1), (2, 0)] == [full, still_full, roomy]
        assert path.read_bytes() == b"line-1\nline-2\nline-5\n"

    def test_whole_lines_leave_no_rest(self, tmp_path: Path, clock: FakeClock) -> None:
        """A disk that is full exactly at the end of a line tears nothing."""
        path = tmp_path / "access.log"
        file = LogFile(str(path), clock.monotonic)
        with small_files() as allow:
            full = file.write(b"line-ten.\nline-2\n")
            allow(1000)
            file.write(b"line-3\n")
        file.close()

        assert (1, 1) == full
        assert path.read_bytes() == b"line-ten.\nline-3\n"

    def test_rest_of_a_line_is_not_written_to_another_file(self, tmp_path: Path, clock: FakeClock) -> None:
        """A rotation in between loses the line, and the new file begins with a whole one."""
        path = tmp_path / "access.log"
        file = LogFile(str(path), clock.monotonic)
        with small_files() as allow:
            file.write(b"line-1\nline-2\n")
            path.rename(tmp_path / "access.log.1")
            allow(1000)
            file.reopen()
            result = file.write(b"line-3\n")
        file.close()

        assert (1, 1) == result
        assert path.read_bytes() == b"line-3\n"


class TestPipe:
    def test_closed_pipe_costs_lines(self, pipe: tuple[int, int], clock: FakeClock) -> None:
        """Nobody is there to read: counted, told, and nothing else."""
        reader, writer = pipe
        os.close(reader)
        file = LogFile(writer, clock.monotonic)

        assert (0, 2) == file.write(b"one\ntwo\n")
        assert "Broken pipe" in file.error

    def test_descriptor_of_somebody_else_stays_open(self, pipe: tuple[int, int], clock: FakeClock) -> None:
        """Standard output is not ours to close."""
        reader, writer = pipe
        file = LogFile(writer, clock.monotonic)
        file.write(b"one\n")
        file.close()
        os.write(writer, b"two\n")

        assert os.read(reader, 100) == b"one\ntwo\n"

    def test_pipe_that_does_not_block_is_waited_for(self, pipe: tuple[int, int], clock: FakeClock) -> None:
        """Others may have made the pipe non-blocking; every line arrives all the same."""
        reader, writer = pipe
        os.set_blocking(writer, False)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        lines = b"".join(b"%07d\n" % number for number in range(50_000))
        received: list[bytes] = []
        thread = threading.Thread(target=lambda: received.append(read_all(reader)))
        thread.start()
        file = LogFile(writer, clock.monotonic)
        result = file.write(lines)
        os.close(writer)
        thread.join(20)

        assert (50_000, 0) == result
        assert [lines] == received

    def test_writers_of_one_pipe_tear_no_lines(self, pipe: tuple[int, int], clock: FakeClock) -> None:
        """Four processes write at once into a small pipe, and each line comes out in one piece."""
        reader, writer = pipe
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        lines = lines_of_writers(writer, lambda: read_all(reader, writer))

        assert len(lines) == 4 * 2000
        assert all(len(line) == 300 and len(set(line)) == 1 for line in lines)


WRITER = """
import sys
from time import monotonic
from pcs_gateway.telemetry.log_file import LogFile

destination, letter = sys.argv[1:]
file = LogFile(int(destination) if destination.isdigit() else destination, monotonic)
for _ in range(20):
    file.write((letter * 300 + "\\n").encode() * 100)
"""
"""Writes 2000 lines of 300 bytes, 100 at once."""


def lines_of_writers(destination: str | int, read: Callable[[], bytes]) -> list[bytes]:
    """
    Let four processes write at once, and return the lines that came out.

    They are started anew and not forked: a fork of a process with threads may hang for good.
    """
    inherited = (destination,) if isinstance(destination, int) else ()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(destination), letter], pass_fds=inherited)
        for letter in "abcd"
    ]
    if isinstance(destination, str):
        for process in writers:
            process.wait(20)
    lines = read().splitlines()
    assert [process.wait(20) for process in writers] == [0, 0, 0, 0]
    return lines


def read_all(descriptor: int, writer: int | None = None) -> bytes:
    """Return everything until the last writer closes; `writer` is our own end, closed first."""
    if writer is not None:
        os.close(writer)
    parts = []
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
    return b"".join(parts)


class TestPieceEnds:
    @given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 40))
    def test_pieces_are_whole_lines_within_the_limit(self, lengths: list[int], limit: int) -> None:
        """A piece ends with a line and is too long only when it is a single line."""
        lines = b"".join(b"x" * length + b"\n" for length in lengths)
        begin = 0
        for end in piece_ends(lines, limit):
            piece = lines[begin:end]
            begin = end
            assert piece.endswith(b"\n")
            assert len(piece) <= limit or piece.count(b"\n") == 1

        assert begin == len(lines)

    def test_no_limit_is_one_piece(self) -> None:
        """A regular file takes everything at once."""
        assert [4] == list(piece_ends(b"a\nb\n", 0))

    def test_unfinished_line_is_a_piece(self) -> None:
        """Bytes without a line's end are not lost."""
        assert [2, 10] == list(piece_ends(b"a\nbbbbbbbb", 4))


def test_pipe_takes_a_piece_at_once() -> None:
    """The premise of the pieces: PIPE_BUF is what POSIX promises, or more."""
    assert select.PIPE_BUF >= 512
