"""`pcs-gateway serve`: from a configuration to the supervisor's plan."""

import os
from pathlib import Path

import pytest

from pcs_gateway.cli.main import main
from pcs_gateway.cli.serve import plan_for
from pcs_gateway.config.loading import load
from pcs_gateway.errors import CommandError
from pcs_gateway.processes.plan import ListenPlan, SupervisorPlan

POOLS = 'pools: {pcs: {backends: [{url: "http://127.0.0.1:8001"}]}}\n'


def plan(directory: Path, text: str = "", workers: str | None = None) -> SupervisorPlan:
    """The plan for a file with one pool and `text`."""
    file = directory / "gateway.yaml"
    file.write_text(POOLS + text)
    return plan_for(load(file, {}), workers)


def test_the_plan_says_what_the_file_says(tmp_path: Path) -> None:
    """Every key that the supervisor acts on is in its plan."""
    text = """
listen: [{address: "127.0.0.1:8080"}, {address: "[::1]:8080"}]
admin: {address: "127.0.0.1:9999"}
workers: 3
drain_delay: 2s
drain_timeout: 1m
state: {directory: /var/lib/gateway}
logging: {level: warning, format: text}
"""

    expected = SupervisorPlan(
        config=str(tmp_path / "gateway.yaml"),
        listen=(ListenPlan("127.0.0.1:8080"), ListenPlan("[::1]:8080")),
        admin="127.0.0.1:9999",
        workers=3,
        state_directory="/var/lib/gateway",
        drain_delay=2.0,
        drain_timeout=60.0,
        log_level="warning",
        log_format="text",
    )
    assert expected == plan(tmp_path, text)


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor's children find file and state wherever they are."""
    monkeypatch.chdir(tmp_path)

    made = plan(Path())

    assert str(tmp_path / "gateway.yaml") == made.config
    assert str(tmp_path / "var/lib/pcs-gateway") == made.state_directory


def test_automatic_workers_are_one_for_each_core(tmp_path: Path) -> None:
    """The default is the number of available cores, and a reload may change it."""
    made = plan(tmp_path)

    assert (len(os.sched_getaffinity(0)), False) == (made.workers, made.workers_fixed)


@pytest.mark.parametrize(("given", "workers"), [("2", 2), ("31", 31), ("auto", len(os.sched_getaffinity(0)))])
def test_the_command_line_overrides_the_file(tmp_path: Path, given: str, workers: int) -> None:
    """A number given to `serve` stands until the gateway ends."""
    made = plan(tmp_path, "workers: 5\n", given)

    assert (workers, True) == (made.workers, made.workers_fixed)


@pytest.mark.parametrize("given", ["0", "32", "-1", "two", "", "2.5"])
def test_a_wrong_number_of_workers_is_refused(tmp_path: Path, given: str) -> None:
    """The error says what was found and what is allowed; the status is that of wrong usage."""
    with pytest.raises(CommandError, match=r"--workers: found .* allowed: auto, or a whole number") as raised:
        plan(tmp_path, "", given)

    assert 2 == raised.value.status


def test_without_a_file_it_looks_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`serve` alone means config/gateway.yaml, and says so when that is missing."""
    monkeypatch.chdir(tmp_path)

    assert 2 == main(["serve"])
    assert "config/gateway.yaml: cannot be read: No such file or directory" in capsys.readouterr().err


def test_a_wrong_file_is_told_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every problem is a line, the status is 2, and nothing is started."""
    file = tmp_path / "gateway.yaml"
    file.write_text(POOLS + "workers: 0\ndrain_delay: soon\n")

    assert 2 == main(["serve", "--config", str(file)])
    assert 2 == len(capsys.readouterr().err.splitlines())
