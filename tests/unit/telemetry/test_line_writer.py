"""Lines on their way to a file."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pcs_gateway.telemetry.line_writer import LineWriter

LINES = b"0123456789\n" * 100


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


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.001)


def test_lines_are_written_in_order(tmp_path: Path) -> None:
    """After close everything that was taken is in the file and counted."""
    path = tmp_path / "log"
    writer = LineWriter(str(path), time.monotonic)
    for number in range(1000):
        writer.put(b"%d\n" % number)

    assert writer.close(10.0)
    assert list(range(1000)) == [int(line) for line in path.read_bytes().splitlines()]
    assert (1000, 0, 0) == (writer.written, writer.dropped, writer.waiting_bytes)


def test_pipe_that_nobody_reads_does_not_block(pipe: tuple[int, int]) -> None:
    """The queue takes its share and the rest is dropped; what was taken arrives when somebody reads."""
    reader, descriptor = pipe
    writer = LineWriter(descriptor, time.monotonic, capacity_bytes=200_000)
    began = time.monotonic()
    taken = sum(writer.put(LINES) for _ in range(1000))
    spent = time.monotonic() - began
    dropped = writer.dropped

    assert spent < 1.0
    assert dropped == (1000 - taken) * 100
    assert 181 <= taken < 400
    assert not writer.close(0.0)
    assert dropped == writer.dropped

    received = 0
    while received < taken * len(LINES):
        received += len(os.read(reader, 1 << 20))
    wait_until(lambda: writer.waiting_bytes == 0)

    assert taken * 100 == writer.written


def test_lines_that_wait_at_the_end_are_dropped(pipe: tuple[int, int]) -> None:
    """A process that ends while nobody reads loses lines, and each of them is counted."""
    reader, descriptor = pipe
    writer = LineWriter(descriptor, time.monotonic)
    for _ in range(1000):
        writer.put(LINES)

    assert not writer.close(0.05)
    assert writer.written + writer.dropped == 100_000

    os.close(reader)  # the thread must end before its descriptor has another owner
    wait_until(lambda: writer.waiting_bytes == 0)


def test_lines_that_cannot_be_written_are_counted(pipe: tuple[int, int]) -> None:
    """A reader that left costs lines; the writer goes on taking them and tells why."""
    reader, descriptor = pipe
    os.close(reader)
    writer = LineWriter(descriptor, time.monotonic)
    writer.put(LINES)
    writer.put(LINES)

    assert writer.close(10.0)
    assert (0, 200) == (writer.written, writer.dropped)
    assert "Broken pipe" in writer.error


def test_reopen_follows_a_rotation(tmp_path: Path) -> None:
    """A line after reopen is in the new file."""
    path = tmp_path / "log"
    writer = LineWriter(str(path), time.monotonic)
    writer.put(b"one\n")
    wait_until(lambda: writer.written == 1)
    path.rename(tmp_path / "log.1")
    writer.reopen()
    writer.put(b"two\n")
    writer.close(10.0)

    assert ["one\n", "two\n"] == [(tmp_path / name).read_text() for name in ("log.1", "log")]


def test_repr_tells_the_state(tmp_path: Path) -> None:
    """A writer in a log says how it does."""
    writer = LineWriter(str(tmp_path / "log"), time.monotonic)
    writer.put(b"one\n")
    writer.close(10.0)

    assert repr(writer) == (
        f"<LineWriter 1 written, 0 dropped, 0 bytes waiting, <LogFile '{tmp_path}/log', error ''>>"
    )
