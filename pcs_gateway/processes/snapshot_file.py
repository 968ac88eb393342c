"""
The last published snapshot as a file, for workers that start while the control process is away.

The supervisor moves the file of an earlier run aside before it starts anything, so what a worker finds was
published in this run.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pcs_gateway.processes.messages import Snapshot

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def store_snapshot(path: Path, snapshot: Snapshot) -> None:
    """
    Replace the file by one that holds this snapshot, readable by its owner only (it may hold secrets).

    Raises:
        OSError: It cannot be written; the old file is as it was.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(_encoder.encode(snapshot))
    new.rename(path)


def load_snapshot(path: Path) -> Snapshot | None:
    """Read a snapshot; None when there is none, or one that other code wrote and this code cannot read."""
    try:
        return _decoder.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
