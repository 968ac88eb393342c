"""The stored snapshot."""

import stat
from pathlib import Path

import pytest

from pcs_gateway.backends import PoolSnapshot
from pcs_gateway.processes.messages import Snapshot
from pcs_gateway.processes.snapshot_file import load_snapshot, store_snapshot

SNAPSHOT = Snapshot(4, {"workers": "auto"}, (PoolSnapshot("pcs", 0, ()),))


def test_stored_is_what_is_loaded(tmp_path: Path) -> None:
    """A snapshot is stored and replaced as a whole."""
    store_snapshot(tmp_path / "snapshot.bin", Snapshot(3, {}, ()))
    store_snapshot(tmp_path / "snapshot.bin", SNAPSHOT)

    assert SNAPSHOT == load_snapshot(tmp_path / "snapshot.bin")
    assert ["snapshot.bin"] == [entry.name for entry in tmp_path.iterdir()]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """It may hold secrets: mode 0600, even when somebody left a file with the name it is written under."""
    (tmp_path / "snapshot.bin.new").touch(mode=0o666)

    store_snapshot(tmp_path / "snapshot.bin", SNAPSHOT)

    assert 0o600 == stat.S_IMODE((tmp_path / "snapshot.bin").stat().st_mode)


@pytest.mark.parametrize("content", [None, b"", b"\xc1garbage", b"\x81\xa4type\xa5other"])
def test_no_usable_file_is_no_snapshot(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, broken or of other code is as none."""
    path = tmp_path / "snapshot.bin"
    if content is not None:
        path.write_bytes(content)

    assert load_snapshot(path) is None
