"""The supervisor with real processes: starting, replacing, ending."""

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from pcs_gateway.processes.plan import ListenPlan, Patience
from tests.component.processes.conftest import Start
from tests.fakes.processes.gateway import DYING, ask, eventually, is_alive


def when(event: dict[str, str]) -> float:
    """Unix time of an event."""
    return datetime.fromisoformat(event["time"]).timestamp()


class TestStart:
    def test_tells_the_real_ports(self, start: Start) -> None:
        """Port 0 is any free port, and listeners.json says which."""
        gateway = start(listen=(ListenPlan("127.0.0.1:0"), ListenPlan("[::1]:0")))

        facts = eventually(gateway.listeners, "listeners.json")
        answers = [eventually(partial(ask, one["bound"]), one["bound"]) for one in facts["listen"]]

        assert [200, 200] == [status for status, _ in answers]
        assert gateway.process.pid == facts["supervisor"]
        assert facts["listen"][1]["bound"].startswith("[::1]:")

    def test_state_directory_is_private(self, start: Start) -> None:
        """The state directory is made with mode 0700."""
        gateway = start()

        eventually(gateway.listeners, "listeners.json")

        assert 0o700 == stat.S_IMODE(Path(gateway.plan.state_directory).stat().st_mode)

    def test_imports_the_standard_library_only(self) -> None:
        """Nothing that was installed is imported by the supervisor."""
        program = (
            "import sys, pcs_gateway.processes.supervisor\n"
            "names = {name.split('.')[0] for name in sys.modules if not name.startswith('__')}\n"
            "print(sorted(names - sys.stdlib_module_names - {'pcs_gateway'} - BEFORE))"
        )
        before = "import sys; BEFORE = {name.split('.')[0] for name in sys.modules}\n"

        result = subprocess.run(
            [sys.executable, "-c", before + program], capture_output=True, text=True, check=False
        )

        assert "[]\n" == result.stdout, result.stderr

    @pytest.mark.parametrize("same", ["port", "state directory"])
    def test_second_gateway_is_refused(self, start: Start, tmp_path: Path, same: str) -> None:
        """A second gateway on the same port or state directory says so in one line and ends with 1."""
        first = start()
        address = first.address

        if same == "port":
            second = start(listen=(ListenPlan(address),), state_directory=str(tmp_path / "other"))
            expected = f"pcs-gateway: cannot listen on {address}: the address is already in use; "
            expected += "does another gateway run?\n"
        else:
            second = start()
            expected = f"pcs-gateway: another gateway (pid {first.process.pid}) uses the state directory "
            expected += f"{first.plan.state_directory}\n"

        assert 1 == second.process.wait(20)
        assert expected == second.text()
        assert 200 == ask(address)[0]

    def test_unusable_address_is_told(self, start: Start) -> None:
        """An address that is not of this machine is told in one line."""
        gateway = start(listen=(ListenPlan("192.0.2.1:80"),))

        assert 1 == gateway.process.wait(20)
        assert (
            "pcs-gateway: cannot listen on 192.0.2.1:80: this machine has no such address\n" == gateway.text()
        )

    def test_foreign_directory_is_left_alone(self, start: Start, tmp_path: Path) -> None:
        """A directory with other files in it does not become a state directory."""
        (tmp_path / "home").mkdir(mode=0o755)
        (tmp_path / "home" / "letter.txt").touch()

        gateway = start(state_directory=str(tmp_path / "home"))

        assert 1 == gateway.process.wait(20)
        assert "name an empty directory, or give this one mode 0700" in gateway.text()
        assert 0o755 == stat.S_IMODE((tmp_path / "home").stat().st_mode)


class TestReplacement:
    def test_killed_worker_is_replaced_at_once(self, start: Start) -> None:
        """A worker that dies is replaced without a delay, in an empty row; the others and clients go on."""
        gateway = start()
        scoreboard = gateway.scoreboard()
        workers = gateway.wait_for_workers(scoreboard)
        row, pid = next(iter(workers.items()))
        scoreboard.row(row).in_flight[7] = 3

        os.kill(pid, signal.SIGKILL)
        status, _ = ask(gateway.address)
        replaced = eventually(
            lambda: (
                found
                if len(found := gateway.accepting(scoreboard)) == 2 and pid not in found.values()
                else None
            ),
            "another worker",
        )

        died = gateway.events("process_died")[0]
        started = gateway.events("process_started")[-1]
        assert 200 == status
        assert (died["pid"], died["signal"], died["restart_in"]) == (pid, "SIGKILL", 0.0)
        assert when(started) - when(died) < 0.3
        assert set(workers.values()) - {pid} < set(replaced.values())
        assert 0 == scoreboard.in_flight(7)
        assert 1 == scoreboard.worker_restarts

    def test_stopped_worker_is_replaced_after_its_time(self, start: Start) -> None:
        """A worker whose heartbeat stands still is killed and replaced, the other one serves on."""
        gateway = start(patience=Patience(worker_silence=1.5, early_death=0.0))
        scoreboard = gateway.scoreboard()
        workers = gateway.wait_for_workers(scoreboard)
        pid, other = workers.values()

        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: not is_alive(pid), "the stopped worker gone")
        replaced = gateway.wait_for_workers(scoreboard)

        silent = gateway.events("process_silent")
        assert [one["pid"] for one in silent] == [pid]
        assert 1.5 <= silent[0]["seconds"] < 4
        assert other in replaced.values()
        assert not is_alive(pid)

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    def test_control_process_is_replaced_and_workers_are_not(self, start: Start, how: signal.Signals) -> None:
        """A control process that dies or hangs is replaced while the workers answer every request."""
        gateway = start(patience=Patience(control_silence=1.5, early_death=0.0))
        scoreboard = gateway.scoreboard()
        workers = gateway.wait_for_workers(scoreboard)
        pid = gateway.control()["pid"]

        os.kill(pid, how)
        deadline = time.monotonic() + 20
        statuses = set()
        while scoreboard.row(0).pid in {0, pid} and time.monotonic() < deadline:
            statuses.add(ask(gateway.address)[0])
        control = eventually(gateway.control, "the new control process")

        assert statuses <= {200}
        assert control["pid"] != pid
        assert 2 == control["workers"]
        assert [one["bound"] for one in control["listeners"]] == [gateway.address]
        assert gateway.accepting(scoreboard) == workers
        assert 1 == scoreboard.control_restarts

    def test_early_deaths_are_restarted_with_growing_delays(self, start: Start) -> None:
        """What dies right after its start is restarted after 1, 2, 4 … seconds."""
        gateway = start(workers=1, worker_module=DYING, patience=Patience())

        died = eventually(
            lambda: found if len(found := gateway.events("process_died")) == 3 else None, "three deaths"
        )
        started = [one for one in gateway.events("process_started") if one["role"] == "worker"]

        assert [1.0, 2.0, 4.0] == [one["restart_in"] for one in died]
        assert [3, 3, 3] == [one["status"] for one in died]
        assert when(started[1]) - when(died[0]) >= 0.99
        assert when(started[2]) - when(died[1]) >= 1.99

    def test_absence_of_the_supervisor_kills_nobody(self, start: Start) -> None:
        """After a pause of the whole machine every process gets its full time anew."""
        gateway = start(patience=Patience(worker_silence=2.0, control_silence=2.0, early_death=0.0))
        scoreboard = gateway.scoreboard()
        workers = gateway.wait_for_workers(scoreboard)
        everybody = [scoreboard.row(0).pid, *workers.values()]

        for pid in [gateway.process.pid, *everybody]:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(gateway.process.pid, signal.SIGCONT)
        eventually(lambda: gateway.events("supervisor_was_away"), "the supervisor is back")
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)

        assert 200 == ask(gateway.address)[0]
        assert gateway.accepting(scoreboard) == workers
        assert [] == gateway.events("process_silent")

    def test_hangup_signal_reaches_the_control_process(self, start: Start) -> None:
        """SIGHUP makes the control process reload, and nothing else happens."""
        gateway = start()
        workers = gateway.wait_for_workers(gateway.scoreboard())

        gateway.process.send_signal(signal.SIGHUP)

        eventually(lambda: gateway.control()["reloads"] == 1, "one reload")
        assert gateway.accepting(gateway.scoreboard()) == workers


class TestEnd:
    def test_drain_resets_nobody(self, start: Start) -> None:
        """Under load every connection that was accepted gets its answer; later ones are refused."""
        gateway = start(drain_delay=0.5)
        gateway.wait_for_workers(gateway.scoreboard())
        admin = gateway.admin
        clients = [Client(gateway.address) for _ in range(8)]
        slow = Client(gateway.address, "/slow/1.5", times=1)

        eventually(lambda: all(client.answers > 3 for client in clients), "load")
        gateway.process.terminate()
        ready = eventually(lambda: found if (found := ask(admin, "/readyz")[0]) == 503 else None, "not ready")
        answered = sum(client.answers for client in clients)
        assert 0 == gateway.process.wait(20)
        for client in [*clients, slow]:
            client.join()

        assert 503 == ready
        assert sum(client.answers for client in clients) > answered, "accepting went on"
        assert [client.failure for client in clients] == ["ConnectionRefusedError"] * len(clients)
        assert (1, "") == (slow.answers, slow.failure)
        assert [] == gateway.children()
        assert {} == gateway.listeners()

    def test_drain_ends_at_its_timeout(self, start: Start) -> None:
        """What is in flight beyond drain_timeout does not keep the gateway."""
        gateway = start(drain_timeout=0.5)
        gateway.wait_for_workers(gateway.scoreboard())
        slow = Client(gateway.address, "/slow/60", times=1)

        eventually(lambda: slow.sent, "a slow request")
        gateway.process.terminate()

        assert 0 == gateway.process.wait(20)
        slow.join()
        assert 0 == slow.answers

    def test_stopped_worker_cannot_hold_up_the_end(self, start: Start) -> None:
        """A worker that does not react is killed after drain_timeout and the farewell."""
        gateway = start(drain_timeout=0.1, patience=Patience(farewell=0.5))
        pid = next(iter(gateway.wait_for_workers(gateway.scoreboard()).values()))

        os.kill(pid, signal.SIGSTOP)
        gateway.process.terminate()

        assert 0 == gateway.process.wait(20)
        assert [(one["pid"], one["signal"]) for one in gateway.events("process_signalled")][-1] == (
            pid,
            "SIGKILL",
        )

    def test_second_signal_hurries(self, start: Start) -> None:
        """A second SIGINT ends the delay and what is in flight."""
        gateway = start(drain_delay=60.0, drain_timeout=60.0, patience=Patience(hurry=0.5))
        gateway.wait_for_workers(gateway.scoreboard())
        slow = Client(gateway.address, "/slow/60", times=1)

        eventually(lambda: slow.sent, "a slow request")
        gateway.process.send_signal(signal.SIGINT)
        eventually(lambda: gateway.events("draining"), "the drain begins")
        assert gateway.process.poll() is None
        gateway.process.send_signal(signal.SIGINT)

        assert 0 == gateway.process.wait(15)
        slow.join()

    def test_death_of_the_supervisor_drains_the_workers(self, start: Start) -> None:
        """When the supervisor is gone, workers finish what is in flight and everything ends."""
        gateway = start()
        gateway.wait_for_workers(gateway.scoreboard())
        address = gateway.address
        slow = Client(address, "/slow/1", times=1)

        eventually(lambda: slow.sent, "a slow request")
        gateway.process.kill()
        gateway.process.wait()
        slow.join()
        eventually(lambda: not gateway.children(), "all processes gone")

        assert (1, "") == (slow.answers, slow.failure)
        with pytest.raises(ConnectionRefusedError):
            ask(address)


class TestGenerations:
    def test_kept_address_refuses_nobody(self, start: Start) -> None:
        """A new generation serves the old address and a new one; the old workers leave, no client notices."""
        gateway = start()
        scoreboard = gateway.scoreboard()
        workers = gateway.wait_for_workers(scoreboard)
        address = gateway.address
        clients = [Client(address) for _ in range(4)]

        eventually(lambda: all(client.answers > 3 for client in clients), "load")
        status, answer = gateway.change(["127.0.0.1:0", "[::1]:0"], workers=3)
        eventually(lambda: len(gateway.children()) == 4, "the old workers gone")
        ends = [client.end() for client in clients]
        served = [one["bound"] for one in gateway.listeners()["listen"]]

        assert (200, {"generation": 2}) == (status, answer)
        assert [""] * 4 == ends
        assert served[0] == address
        assert [2, 2] == [ask(one)[1]["generation"] for one in served]
        assert not set(gateway.accepting(scoreboard).values()) & set(workers.values())
        assert [1, 2] == [gateway.control()[one] for one in ("generation", "workers")], "it was not replaced"

    def test_dropped_address_is_refused(self, start: Start) -> None:
        """An address that is no longer configured is closed without a reset."""
        gateway = start()
        gateway.wait_for_workers(gateway.scoreboard())
        address = gateway.address
        client = Client(address)

        eventually(lambda: client.answers > 3, "load")
        assert 200 == gateway.change(["[::1]:0"])[0]
        client.join()

        assert "ConnectionRefusedError" == client.failure
        assert 200 == ask(gateway.address)[0]

    def test_address_in_use_changes_nothing(self, start: Start) -> None:
        """A new generation that cannot listen is told why, and the old one serves on."""
        gateway = start()
        scoreboard = gateway.scoreboard()
        workers = gateway.wait_for_workers(scoreboard)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            status, answer = gateway.change(["127.0.0.1:0", address])

        assert 409 == status
        assert answer["error"].startswith(f"cannot listen on {address}: the address is already in use")
        assert gateway.accepting(scoreboard) == workers
        assert 1 == ask(gateway.address)[1]["generation"]

    def test_failed_generation_is_abandoned(self, start: Start) -> None:
        """When new workers end before they accept, the old ones serve on and the next change works."""
        gateway = start()
        scoreboard = gateway.scoreboard()
        workers = gateway.wait_for_workers(scoreboard)
        Path(gateway.plan.state_directory, "fail-generation-2").touch()

        status, answer = gateway.change(["127.0.0.1:0"], workers=1)
        second = gateway.change(["127.0.0.1:0"], workers=1)

        assert 409 == status
        assert "a worker ended before it accepted connections" in answer["error"]
        assert set(workers.values()) <= {one["pid"] for one in gateway.events("process_started")}
        assert (200, {"generation": 3}) == second
        eventually(lambda: ask(gateway.address)[1]["generation"] == 3, "an answer of the third generation")

    def test_too_many_workers_are_refused(self, start: Start) -> None:
        """A generation that has no room beside the old one is refused with the numbers."""
        gateway = start()
        gateway.wait_for_workers(gateway.scoreboard())

        status, answer = gateway.change(["127.0.0.1:0"], workers=62)

        assert 409 == status
        assert answer["error"].endswith("there is room for 61 more")


class Client:
    """
    Sends one request after another, each on a new connection, until one fails.

    Attributes:
        answers: How many were answered completely.
        failure: The class of the exception that ended it; empty when it was told to end.
        sent: Its first request is on its way.
    """

    def __init__(self, address: str, path: str = "/", times: int = 10**9) -> None:
        self.answers = 0
        self.failure = ""
        self.sent = False
        self._address = address
        self._path = path
        self._times = times
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self.answers < self._times:
            connection = http.client.HTTPConnection(self._address, timeout=30)
            try:
                connection.request("GET", self._path, headers={"Connection": "close"})
                self.sent = True
                connection.getresponse().read()
                self.answers += 1
            except (OSError, http.client.HTTPException) as error:
                self.failure = type(error).__name__
                return
            finally:
                connection.close()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def end(self) -> str:
        """Tell it to end; return its failure."""
        self._times = 0
        self._thread.join()
        return self.failure
