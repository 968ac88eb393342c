"""`pcs-gateway demo` as a user meets it: started, read, its five things done as printed, and ended."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.request import urlopen

import psutil
import pytest

pytestmark = pytest.mark.slow

Found = TypeVar("Found")

START_DEADLINE = 40.0
DEADLINE = 15.0


class RunningDemo:
    """
    A demo in a process of its own, whose output is a pipe.

    Args:
        arguments: Options of `pcs-gateway demo`.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pcs_gateway", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, deadline: float = DEADLINE) -> re.Match[str]:
        """Wait until a line of the output matches."""
        try:
            return until(lambda: re.search(pattern, self.text), f"a line with {pattern!r}", deadline)
        except AssertionError as error:
            raise AssertionError(f"{error} in\n{self.text}") from None

    def started(self) -> "RunningDemo":
        self.wait_for("Ctrl-C ends everything", START_DEADLINE)
        return self

    def commands(self, number: int) -> list[str]:
        """Give the commands printed under one of the five things."""
        _, _, rest = self.text.partition(f"\n{number}. ")
        indented = re.match(r".*\n((?:     .*\n?)+)", rest)
        assert indented is not None
        return [line.strip() for line in indented[1].splitlines()]

    def url(self) -> str:
        return self.wait_for(r"traffic\s+(http://[^/]+)/")[1]

    def ask_nine(self) -> Counter[str]:
        """Ask nine times, one after the other, each on a connection of its own."""
        counts: Counter[str] = Counter()
        for _ in range(9):
            with urlopen(f"{self.url()}/api/v1/health/") as answer:
                counts[answer.headers["X-PCS-Instance"]] += 1
        return counts

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and give the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status

    def close(self) -> None:
        """End it whatever happened."""
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
        assert self.process.stdout is not None
        self._reader.join(DEADLINE)
        self.process.stdout.close()


def until(look: Callable[[], Found | None], what: str, deadline: float = DEADLINE) -> Found:
    """Look again and again until there is something."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {deadline} s: {what}")


def shell(command: str) -> str:
    """Carry out a command as printed; give its output."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def demo() -> Iterator[RunningDemo]:
    """One demo for all tests that leave it as they found it."""
    running = RunningDemo("--port", "28080", "--admin-port", "29901", "--rate", "50/s")
    try:
        yield running.started()
    finally:
        running.close()


def test_it_says_where_everything_is(demo: RunningDemo) -> None:
    """URLs answer, pids are alive, files are there; and no terminal is needed to read it."""
    for url in re.findall(r"http://127[^ ]+(?:status|metrics|size=3)", demo.text):
        with urlopen(url) as answer:
            assert answer.status == 200
    instances = dict(re.findall(r"instance (\w+)\s+(?:is started again, )?pid (\d+)", demo.text))
    configuration = Path(demo.wait_for(r"configuration\s+(\S+)")[1])

    assert instances.keys() == {"one", "two", "three"}
    assert all(psutil.pid_exists(int(pid)) for pid in instances.values())
    assert psutil.pid_exists(int(demo.wait_for(r"gateway\s+pid (\d+)")[1]))
    assert "round_robin" in configuration.read_text()
    assert "\x1b" not in demo.text


@pytest.mark.needs_curl
def test_nine_requests_are_three_for_each(demo: RunningDemo) -> None:
    """The first command counts three answers of every instance, whatever other traffic there is."""
    counted = [line.split() for line in shell(demo.commands(1)[0]).splitlines()]

    assert sorted(counted) == [["3", "x-pcs-instance:", name] for name in ("one", "three", "two")]


def test_a_killed_instance_is_not_missed_and_comes_back(demo: RunningDemo) -> None:
    """Requests go on without an error; it is out within two seconds, and back when asked for."""
    kill, bring_back = demo.commands(2)
    shell(kill)
    killed = time.monotonic()
    counts: Counter[str] = Counter()
    while "two is out" not in demo.text and time.monotonic() < killed + DEADLINE:
        counts += demo.ask_nine()
    out_after = time.monotonic() - killed
    without = demo.ask_nine()
    shell(bring_back)
    demo.wait_for("two is back")

    assert out_after < 3
    assert counts.keys() <= {"one", "three"}
    assert without.keys() == {"one", "three"}
    assert demo.ask_nine() == {"one": 3, "two": 3, "three": 3}
    seen = demo.text.count("traffic: ")
    until(lambda: demo.text.count("traffic: ") > seen, "a line of figures")
    failed = re.findall(r"traffic: \d+ requests, (\d+) failed", demo.text)
    assert set(failed) == {"0"}, demo.text


def test_a_drained_instance_gets_nothing(demo: RunningDemo) -> None:
    """The command answers when it is empty; then the others share; then it has its share again."""
    drain, enable = demo.commands(3)

    assert "pcs/three is draining and empty" in shell(drain)
    assert demo.ask_nine().keys() == {"one", "two"}
    shell(enable)
    until(lambda: demo.ask_nine() == {"one": 3, "two": 3, "three": 3}, "three has its share again")


def test_the_edited_file_is_in_force(demo: RunningDemo) -> None:
    """With weight 7 nine requests are 7, 1 and 1; undone they are 3, 3 and 3."""
    edit, undo = demo.commands(4)
    shell(edit)
    until(lambda: demo.ask_nine() == {"one": 7, "two": 1, "three": 1}, "the new weights")
    shell(undo)
    until(lambda: demo.ask_nine() == {"one": 3, "two": 3, "three": 3}, "the old weights")


@pytest.mark.needs_ab
def test_ab_keeps_its_connections_and_fails_nothing(demo: RunningDemo) -> None:
    """All 2,000 requests are answered on kept-alive connections."""
    output = shell(demo.commands(5)[0])

    assert re.search(r"Complete requests: +2000\n", output)
    assert re.search(r"Failed requests: +0\n", output)
    assert re.search(r"Keep-Alive requests: +2000\n", output)
    assert "Non-2xx" not in output


def test_the_status_can_be_seen(demo: RunningDemo) -> None:
    """The last command shows both pools."""
    shown = shell(demo.wait_for(r"See it all: +(.*)")[1])

    assert "pcs (round_robin)" in shown
    assert "background (least_connections)" in shown


def test_ctrl_c_ends_everything() -> None:
    """Exit status 0, no process, no file and no listener is left; taken ports were gone around."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        taken, admin_taken = first.getsockname()[1], second.getsockname()[1]
        running = RunningDemo("--port", str(taken), "--admin-port", str(admin_taken), "--rate", "0")
        try:
            url = running.started().url()
            admin = running.wait_for(r"admin\s+http://127.0.0.1:(\d+)/")[1]
            directory = Path(running.wait_for(r"configuration\s+(\S+)")[1]).parent
            children = psutil.Process(running.process.pid).children(recursive=True)
            status = running.end(signal.SIGINT)
        finally:
            running.close()
    port = int(url.rpartition(":")[2])

    assert status == 0
    assert port > taken
    assert int(admin) > admin_taken
    assert len(children) >= 7
    assert not [child for child in children if child.is_running()]
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert running.lines[-1] == "Everything has ended."


def test_it_can_be_ended_while_it_starts() -> None:
    """A signal before anything is ready ends what was begun."""
    running = RunningDemo("--port", "28380", "--admin-port", "29391")
    try:
        running.wait_for("Starting")
        until(lambda: psutil.Process(running.process.pid).children(), "a child")
        children = psutil.Process(running.process.pid).children(recursive=True)

        assert running.end(signal.SIGTERM) == 0
        assert not [child for child in children if child.is_running()]
    finally:
        running.close()


def test_the_death_of_the_gateway_ends_the_demo() -> None:
    """Without its gateway the demo has no sense: one line says why, and the status is 1."""
    running = RunningDemo("--port", "28480", "--admin-port", "29491", "--rate", "0")
    try:
        gateway = int(running.started().wait_for(r"gateway\s+pid (\d+)")[1])
        children = psutil.Process(running.process.pid).children(recursive=True)
        psutil.Process(gateway).kill()

        assert running.process.wait(DEADLINE) == 1
        running.wait_for("pcs-gateway: demo: the gateway was killed by SIGKILL")
        until(lambda: not [child for child in children if child.is_running()], "the end of all processes")
    finally:
        running.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "203.0.113.7"], "no port from 8080 upwards can be listened on at 203.0.113.7"),
        (["--rate", "20"], "--rate 20: "),
        (["--rate", "5000/s"], "at most 1000/s"),
        (["--port", "0"], "--port"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments: list[str], expected: str) -> None:
    """What was found and what is allowed, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "pcs_gateway", "demo", *arguments],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert done.returncode in {1, 2}
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
