"""The verbs status, backend and reload against a real gateway."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcs_gateway.cli.finding import STILL_REACHED
from tests.fakes.processes.gateway import REPOSITORY, Gateway, ask, eventually, plan_for

FILE = """
listen: [{{address: "127.0.0.1:0"}}]
admin: {{address: "127.0.0.1:0"{token}}}
workers: 1
state: {{directory: {state}}}
pools:
  pcs:
    backends: [{{url: "http://127.0.0.1:{port}", name: one}}, {{url: "http://127.0.0.1:1", name: "dead:1"}}]
    health_check: {{interval: 200ms, timeout: 200ms}}
"""


class Terminal:
    """
    A gateway, and an operator's terminal beside it.

    Attributes:
        file: The gateway's configuration.
        admin: Its admin address.
    """

    def __init__(self, file: Path, admin: str) -> None:
        self.file = file
        self.admin = admin

    def type(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `pcs-gateway` with these arguments, in the file's directory."""
        return subprocess.run(
            [sys.executable, "-m", "pcs_gateway", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=self.file.parent,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120", **environment},
        )

    def configured(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same, with `--config`."""
        return self.type(*arguments, "--config", str(self.file))


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A gateway in front of one backend that lives and one that does not."""
    directory = tmp_path_factory.mktemp("gateway")
    backend = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=directory,
    )
    assert backend.stdout is not None
    port = backend.stdout.readline().split()[5].decode()
    file = directory / "gateway.yaml"
    file.write_text(FILE.format(state=directory / "state", port=port, token=""))
    plan = plan_for(
        directory,
        workers=1,
        control_module="pcs_gateway.control_process",
        worker_module="pcs_gateway.worker_process",
    )
    gateway = Gateway(plan, directory / "log")
    try:
        eventually(lambda: ask(gateway.admin, "/readyz")[0] == 200, "ready")
        eventually(lambda: '"event":"backend_ready"' in gateway.text(), "a ready backend")
        yield Terminal(file, gateway.admin)
    finally:
        gateway.process.terminate()
        gateway.process.wait(20)
        backend.kill()
        backend.communicate()


class TestStatus:
    def test_table_shows_backends_and_why_they_are_not_ready(self, terminal: Terminal) -> None:
        """One row for each backend, with the reason in words."""
        shown = terminal.configured("status")

        assert (shown.returncode, shown.stderr) == (0, "")
        assert "pcs-gateway 0.1.0: ready, 1 of 1 workers up" in shown.stdout
        assert "pcs (least_connections)" in shown.stdout
        rows = {line.split("│")[1].strip(): line for line in shown.stdout.splitlines() if "│" in line}
        assert "ready" in rows["one"]
        assert "unhealthy: connection refused" in rows["dead:1"]

    def test_json_is_the_admin_api_s_answer(self, terminal: Terminal) -> None:
        """For programs, the names are the specification's."""
        shown = json.loads(terminal.configured("status", "--json").stdout)

        one, dead = shown["pools"]["pcs"]["backends"]
        assert (one["health"]["status"], one["active_connections"]) == ("healthy", 0)
        assert dead["ready"] is False

    def test_another_server_at_the_address_is_told_as_such(self, terminal: Terminal) -> None:
        """It answered, but not as an admin API does."""
        port = terminal.file.read_text().partition('"http://127.0.0.1:')[2].partition('"')[0]
        shown = terminal.type("status", "--admin", f"127.0.0.1:{port}")

        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr == (
            f"pcs-gateway: http://127.0.0.1:{port} answered 404: this is no admin API of a gateway\n"
        )

    @pytest.mark.parametrize("scheme", ["", "http://"])
    def test_admin_url_is_enough(self, terminal: Terminal, scheme: str) -> None:
        """Without any file."""
        assert terminal.type("status", "--admin", scheme + terminal.admin).returncode == 0

    def test_file_in_the_usual_place_is_found(self, terminal: Terminal) -> None:
        """As `serve` finds it."""
        usual = terminal.file.parent / "config"
        usual.mkdir()
        (usual / "gateway.yaml").write_text(terminal.file.read_text())
        shown = terminal.type("status")
        (usual / "gateway.yaml").unlink()
        usual.rmdir()

        assert "1 of 1 workers up" in shown.stdout

    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            (("--admin", "127.0.0.1:1"), 1, "no gateway answers at http://127.0.0.1:1: connection refused"),
            (("--admin", "ftp://x"), 2, "--admin ftp://x: not the URL of an admin API"),
            (("--admin", "http://x.invalid"), 1, "no gateway answers at http://x.invalid: "),
            (
                ("--config", "nowhere.yaml"),
                2,
                f"nowhere.yaml: cannot be read: No such file or directory; {STILL_REACHED}",
            ),
            (("--no-such-option",), 2, "no such option"),
        ],
    )
    def test_errors_are_one_line(
        self, terminal: Terminal, arguments: tuple[str, ...], status: int, message: str
    ) -> None:
        """On standard error, without a traceback."""
        shown = terminal.type("status", *arguments)

        assert (shown.returncode, shown.stdout) == (status, "")
        assert message.lower() in shown.stderr.lower()
        assert shown.stderr.count("\n") == 1


class TestBackend:
    def test_drain_enable_disable(self, terminal: Terminal) -> None:
        """Each order says what holds then."""
        drained = terminal.configured("backend", "drain", "pcs", "one", "--timeout", "10s")
        assert (drained.returncode, drained.stdout) == (0, "pcs/one is draining and empty\n")
        enabled = terminal.configured("backend", "enable", "pcs", "one")
        assert enabled.stdout == "pcs/one is ready, weight 1\n"
        disabled = terminal.configured("backend", "disable", "pcs", "dead:1")
        assert disabled.stdout == "pcs/dead:1 is not ready (disabled by order of an operator), weight 1\n"
        terminal.configured("backend", "enable", "pcs", "dead:1")

    def test_weight_and_default(self, terminal: Terminal) -> None:
        """An override and its end."""
        assert "weight 5" in terminal.configured("backend", "weight", "pcs", "one", "5").stdout
        assert "weight 1" in terminal.configured("backend", "weight", "pcs", "one", "default").stdout

    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            (("drain", "pcs", "two"), 1, "pool 'pcs' has no backend 'two'; it has: one, dead:1"),
            (("enable", "nope", "one"), 1, "there is no pool 'nope'; there are: pcs"),
            (("weight", "pcs", "one", "0"), 2, "weight 0: a whole number from 1 to 1000, or default"),
            (("weight", "pcs", "one", "1001"), 2, "weight 1001: a whole number from 1 to 1000, or default"),
            (("weight", "pcs", "one", "half"), 2, "weight half: a whole number from 1 to 1000, or default"),
            (("drain", "pcs", "one", "--timeout", "soon"), 2, "--timeout soon: a duration with its unit"),
            (("enable", "pcs"), 2, "missing argument 'backend'"),
        ],
    )
    def test_errors_are_one_line(
        self, terminal: Terminal, arguments: tuple[str, ...], status: int, message: str
    ) -> None:
        """With what is allowed, and an exit status that a script sees."""
        shown = terminal.configured("backend", *arguments)

        assert (shown.returncode, shown.stdout) == (status, "")
        assert message.lower() in shown.stderr.lower()
        assert shown.stderr.count("\n") == 1


class TestReload:
    def test_good_bad_and_restored_file(self, terminal: Terminal) -> None:
        """What changed; every problem with exit status 2; and back."""
        good = terminal.file.read_text()
        terminal.file.write_text(good + "timeouts: {connect: 2s}\n")
        applied = terminal.configured("reload")
        assert applied.returncode == 0

        terminal.file.write_text(good + "nonsense: 1\ntimeouts: {connect: soon}\n")
        rejected = terminal.type("reload", "--admin", terminal.admin)
        assert (rejected.returncode, rejected.stdout) == (2, f"{terminal.file}: rejected\n")
        assert len(rejected.stderr.splitlines()) == 2
        assert all(line.startswith(f"{terminal.file}:") for line in rejected.stderr.splitlines())
        assert "nonsense" in rejected.stderr
        assert "timeouts.connect" in rejected.stderr

        terminal.file.write_text(good)
        assert terminal.configured("reload").returncode == 0

    def test_what_is_in_force_already_is_told_with_when_and_why(self, terminal: Terminal) -> None:
        """Most often the watcher was faster than the operator."""
        again = terminal.configured("reload")

        assert again.returncode == 0
        told = re.escape(f"{terminal.file}: unchanged: in force since ")
        assert re.fullmatch(rf"{told}\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \(.+\)\n", again.stdout)

    @pytest.mark.parametrize("broken", ["workers: many\n", "listen: [unclosed\n", "a: b: c\n"])
    def test_a_gateway_is_reached_and_tells_while_its_file_has_errors(
        self, terminal: Terminal, broken: str
    ) -> None:
        """Orders work, and `status` says that a restart would fail, until the file is good again."""
        good = terminal.file.read_text()
        terminal.file.write_text(good + broken)
        rejected = terminal.configured("reload")
        shown = terminal.configured("status")
        drained = terminal.configured("backend", "drain", "pcs", "one", "--timeout", "10s")
        document = json.loads(terminal.configured("status", "--json").stdout)
        terminal.file.write_text(good)

        assert (rejected.returncode, rejected.stdout) == (2, f"{terminal.file}: rejected\n")
        assert (drained.returncode, drained.stdout) == (0, "pcs/one is draining and empty\n")
        problem = rejected.stderr.splitlines()[0]
        assert re.search(
            rf"^configuration rejected at .*, a restart would fail: {re.escape(problem)}",
            shown.stdout,
            re.MULTILINE,
        )
        assert document["configuration"]["rejected"]["problems"] == rejected.stderr.splitlines()

        terminal.configured("reload")
        enabled = terminal.configured("backend", "enable", "pcs", "one")
        assert enabled.stdout == "pcs/one is ready, weight 1\n"
        assert "rejected" not in terminal.configured("status").stdout

    def test_token_is_taken_from_the_environment_or_the_file(self, terminal: Terminal) -> None:
        """A wrong or missing one is told with the variable's name."""
        good = terminal.file.read_text()
        port = good.partition('"http://127.0.0.1:')[2].partition('"')[0]
        terminal.file.write_text(
            FILE.format(state=terminal.file.parent / "state", port=port, token=", token: geheim")
        )
        assert terminal.configured("reload").returncode == 0

        eventually(lambda: ask(terminal.admin, "/api/v1/status")[0] == 401, "a token is asked for")
        without = terminal.type("status", "--admin", terminal.admin)
        assert (without.returncode, "PCS_GATEWAY_ADMIN_TOKEN" in without.stderr) == (1, True)
        given = terminal.type("status", "--admin", terminal.admin, PCS_GATEWAY_ADMIN_TOKEN="geheim")
        assert given.returncode == 0
        assert terminal.configured("status").returncode == 0

        terminal.file.write_text(good)
        terminal.type("reload", "--admin", terminal.admin, PCS_GATEWAY_ADMIN_TOKEN="geheim")
        eventually(lambda: ask(terminal.admin, "/api/v1/status")[0] == 200, "no token is asked for")
