"""The state directory: private, and of one gateway at a time."""

import json
import os
import stat
from pathlib import Path

import pytest

from pcs_gateway.errors import CommandError
from pcs_gateway.processes.state_directory import StateDirectory


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_missing_directory_is_made(tmp_path: Path) -> None:
    """It is made with its parents, for its owner alone."""
    path = tmp_path / "var" / "lib" / "gateway"

    StateDirectory.open(path).close()

    assert 0o700 == mode(path)


def test_empty_directory_is_made_private(tmp_path: Path) -> None:
    """An empty directory that lets others in is taken and closed to them."""
    path = tmp_path / "made-by-hand"
    path.mkdir(mode=0o755)

    StateDirectory.open(path).close()

    assert 0o700 == mode(path)


def test_own_directory_is_made_private_again(tmp_path: Path) -> None:
    """A directory that was a gateway's before is closed to others when somebody opened it."""
    StateDirectory.open(tmp_path / "state").close()
    (tmp_path / "state").chmod(0o750)

    StateDirectory.open(tmp_path / "state").close()

    assert 0o700 == mode(tmp_path / "state")


def test_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    """A directory with other files that lets others in is refused and not changed."""
    path = tmp_path / "home"
    path.mkdir(mode=0o755)
    (path / "letter.txt").touch()

    with pytest.raises(CommandError, match="mode 0755 lets others in"):
        StateDirectory.open(path)
    assert 0o755 == mode(path)


def test_second_gateway_is_refused(tmp_path: Path) -> None:
    """While one gateway has it, another is told which one; afterwards it is free."""
    first = StateDirectory.open(tmp_path / "state")
    with pytest.raises(
        CommandError, match=rf"another gateway \(pid {os.getpid()}\) uses the state directory"
    ):
        StateDirectory.open(tmp_path / "state")
    first.close()

    StateDirectory.open(tmp_path / "state").close()


def test_file_in_its_place_is_told(tmp_path: Path) -> None:
    """A file where the directory should be is an error, not a crash."""
    (tmp_path / "state").touch()

    with pytest.raises(CommandError, match="cannot use the state directory"):
        StateDirectory.open(tmp_path / "state")


def test_snapshot_of_an_earlier_run_is_put_aside(tmp_path: Path) -> None:
    """Workers of this run cannot start from it, the control process can still read it."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "snapshot.bin").write_bytes(b"old")

    StateDirectory.open(tmp_path / "state").close()

    assert not (tmp_path / "state" / "snapshot.bin").exists()
    assert b"old" == (tmp_path / "state" / "snapshot.previous.bin").read_bytes()


def test_listeners_are_told_while_it_runs(tmp_path: Path) -> None:
    """Where the gateway listens is a file for as long as it does."""
    state = StateDirectory.open(tmp_path / "state")
    state.write_listeners({"admin": "127.0.0.1:9901"})

    told = json.loads((tmp_path / "state" / "listeners.json").read_text())
    state.close()

    assert {"admin": "127.0.0.1:9901"} == told
    assert not (tmp_path / "state" / "listeners.json").exists()
