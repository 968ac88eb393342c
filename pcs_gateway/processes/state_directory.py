"""
The state directory of one gateway: its own (mode 0700), and of one gateway at a time.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pcs_gateway.errors import CommandError

LOCK_NAME: Final = "lock"
LISTENERS_NAME: Final = "listeners.json"
"""Where the gateway listens, for `status` and for whoever configured port 0."""

SNAPSHOT_NAME: Final = "snapshot.bin"
PREVIOUS_SNAPSHOT_NAME: Final = "snapshot.previous.bin"
"""The last snapshot of the run before; workers must not start from it, the control process may read it."""


class StateDirectory:
    """
    An opened and locked state directory; the lock ends with the process.

    Attributes:
        path: Absolute.
    """

    def __init__(self, path: Path, lock: int) -> None:
        """Use `open`."""
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> StateDirectory:
        """
        Make the directory if it is missing, take it for this process alone, and put an earlier run aside.

        Raises:
            CommandError: It cannot be used; the text says why.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(path)
            lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CommandError(f"cannot use the state directory {path}: {error.strerror}") from error
        _take(lock, path)
        state = cls(path, lock)
        (path / LISTENERS_NAME).unlink(missing_ok=True)
        if (path / SNAPSHOT_NAME).exists():
            (path / SNAPSHOT_NAME).rename(path / PREVIOUS_SNAPSHOT_NAME)
        return state

    def write_listeners(self, facts: Mapping[str, Any]) -> None:
        """Say where the gateway listens."""
        new = self.path / (LISTENERS_NAME + ".new")
        new.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        new.rename(self.path / LISTENERS_NAME)

    def close(self) -> None:
        """Leave it to the next gateway."""
        (self.path / LISTENERS_NAME).unlink(missing_ok=True)
        os.close(self._lock)


def _make_private(path: Path) -> None:
    """
    Take group and others their rights on our directory.

    A directory with other people's files is not ours to change: somebody may have named /tmp by mistake.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        raise CommandError(f"cannot use the state directory {path}: it belongs to uid {found.st_uid}")
    if not mode & 0o077:
        return
    if not (path / LOCK_NAME).exists() and any(path.iterdir()):
        raise CommandError(
            f"cannot use the state directory {path}: mode {mode:04o} lets others in and it holds "
            "files that are not a gateway's; name an empty directory, or give this one mode 0700"
        )
    path.chmod(0o700)


def _take(lock: int, path: Path) -> None:
    """Lock it, and leave our pid for whoever finds it locked."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(lock, 32).decode(errors="replace").strip()
        os.close(lock)
        raise CommandError(f"another gateway (pid {owner or '?'}) uses the state directory {path}") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
