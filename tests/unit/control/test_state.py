"""What is remembered, as a file."""

from pathlib import Path

import pytest

from pcs_gateway.backends.backend import AdministrativeState, Health, HealthStatus
from pcs_gateway.control.state import FORMAT, State, StateFile, StoredBackend
from pcs_gateway.processes.columns import Columns

STATE = State(
    version=17,
    saved=1_700_000_000.5,
    columns=Columns().allot([("pcs", "http://127.0.0.1:8001")], 17),
    slots={"pcs": 3},
    backends=(
        StoredBackend(
            "pcs",
            "http://127.0.0.1:8001",
            Health(HealthStatus.UNHEALTHY, 1_700_000_000.25, "connection refused"),
            AdministrativeState.DRAINING,
            7,
            1_700_000_030.0,
            "5 gateway failures in a row",
            ("127.0.0.1",),
        ),
    ),
    baseline={"workers": 2},
)


def test_what_was_stored_is_loaded(tmp_path: Path) -> None:
    """A state comes back as it was."""
    StateFile(tmp_path).store(STATE)

    assert StateFile(tmp_path).load() == STATE


def test_file_is_its_owner_s_alone_and_replaced_whole(tmp_path: Path) -> None:
    """Mode 0600, and nothing half written is left."""
    file = StateFile(tmp_path)
    file.store(STATE)
    file.store(State(version=18))

    assert [path.name for path in tmp_path.iterdir()] == ["control.json"]
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.load() == State(version=18)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version": "x"}', b'{"format": %d}' % (FORMAT + 1), b"\xff\x00", b"null"],
)
def test_file_that_cannot_be_used_is_as_none(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, a gateway starts."""
    file = StateFile(tmp_path)
    file.path.write_bytes(content)

    assert file.load() is None


def test_missing_file_is_none(tmp_path: Path) -> None:
    """The first start remembers nothing."""
    assert StateFile(tmp_path).load() is None


def test_directory_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    """What cannot be stored is logged; the gateway goes on."""
    StateFile(tmp_path / "gone").store(STATE)

    assert StateFile(tmp_path / "gone").load() is None
