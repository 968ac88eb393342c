"""What processes cost, read from /proc."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.accounting import (
    Stat,
    descendants,
    memory,
    parse_stat,
    peak_resident,
    reset_peak,
    tree,
    usage,
)

BURN = "import time\nwhile time.process_time() < 0.3: pass"


def test_command_names_with_brackets_and_spaces_do_not_shift_fields() -> None:
    """The name ends at the last bracket."""
    line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 3 4 20 0 1 0 1 2 3"

    assert parse_stat(line) == Stat(pid=42, parent=7, own_ticks=33, children_ticks=7)


def test_descendants_are_found_over_generations() -> None:
    """Grandchildren belong to the tree, strangers do not."""
    stats = [Stat(1, 0, 0, 0), Stat(5, 1, 0, 0), Stat(6, 5, 0, 0), Stat(7, 6, 0, 0), Stat(8, 1, 0, 0)]

    assert [stat.pid for stat in descendants(stats, 5)] == [5, 6, 7]


def test_cpu_time_of_an_ended_child_is_not_lost() -> None:
    """What a child used counts while it lives and after its parent reaped it."""
    before = usage(os.getpid())
    subprocess.run([sys.executable, "-c", BURN], check=True, timeout=30)
    used = usage(os.getpid()).since(before)

    assert used.cpu >= 0.28


def test_cpu_time_of_a_living_child_counts() -> None:
    """The whole tree is read, not the root alone."""
    script = f"{BURN}\nprint('done', flush=True)\nimport sys\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        used = usage(child.pid)
        child.communicate(timeout=10)

    assert used.processes == 1
    assert 0.28 <= used.cpu < 5
    assert used.context_switches > 0


def test_own_cpu_time_is_finer_than_a_clock_tick() -> None:
    """Two milliseconds of work show, though /proc/PID/stat counts in hundredths."""
    before = usage(os.getpid())
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    used = usage(os.getpid()).since(before)

    assert used.cpu >= 0.002


def test_a_process_that_is_gone_is_an_error() -> None:
    """A server that died in the middle must not read as one that costs nothing."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(10)

    with pytest.raises(ProcessLookupError):
        usage(child.pid)


def test_memory_of_a_tree_is_positive_and_shared_pages_count_once() -> None:
    """The proportional size is never above the resident size."""
    held = memory(os.getpid())

    assert 0 < held.pss <= held.rss


def test_peak_begins_anew() -> None:
    """After a reset the peak is what the process holds from then on."""
    pid = os.getpid()
    del [bytearray(64 << 20)][0]
    before = peak_resident(pid)
    reset_peak(pid)
    after = peak_resident(pid)

    assert after < before
    assert tree(pid)[0].pid == pid
