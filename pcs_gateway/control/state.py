"""
What the control process knows, as a file: the next one, or the next run of the gateway, continues from it.

Times are unix seconds in the file, since the monotonic clock begins anew with the machine. The file is
replaced whole by a rename, so a reader finds the old one or the new one. A file that cannot be read is as
none: every backend is then checked before it gets traffic, as on the first start.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import structlog

from pcs_gateway.backends.backend import AdministrativeState, Health
from pcs_gateway.processes.columns import Columns

FORMAT = 1
"""Raised with each change after which an older file would be misread."""

_log = structlog.get_logger()


class StoredBackend(msgspec.Struct, frozen=True):
    """
    What is remembered of one backend.

    Attributes:
        ejected_until: Unix seconds; 0.0 when it is not ejected.
        ejections_in_a_row: As counted at `forgiving_since`, unix seconds.
        addresses: Of its host, so that it is reachable while DNS is not.
        ready: Whether it was published as ready.
        has_passed: Whether it had passed a check.
        ready_since: Unix seconds at which it became ready; 0.0 when it needs no slow start.
    """

    pool: str
    url: str
    health: Health
    administrative_state: AdministrativeState = AdministrativeState.ACTIVE
    weight_override: int | None = None
    ejected_until: float = 0.0
    ejection_reason: str = ""
    addresses: tuple[str, ...] = ()
    ready: bool = False
    has_passed: bool = False
    ready_since: float = 0.0
    ejections_in_a_row: int = 0
    forgiving_since: float = 0.0


class State(msgspec.Struct, frozen=True):
    """
    Everything that is remembered.

    Attributes:
        version: Of the last snapshot that may have been published.
        saved: Unix seconds.
        slots: Index of each pool's cells in the scoreboard.
        baseline: The configuration with which this run of the gateway started; it holds secrets.
    """

    version: int = 0
    saved: float = 0.0
    columns: Columns = Columns()
    slots: dict[str, int] = {}
    backends: tuple[StoredBackend, ...] = ()
    baseline: dict[str, Any] = {}
    format: int = FORMAT


class StateFile:
    """The file, in the state directory."""

    def __init__(self, directory: Path) -> None:
        """Keep it in `directory`, which exists."""
        self.path = directory / "control.json"

    def __repr__(self) -> str:
        return f"<StateFile {self.path}>"

    def load(self) -> State | None:
        """Read what was remembered; None when there is nothing that can be used."""
        try:
            state = msgspec.json.decode(self.path.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("state_not_read", path=str(self.path), error=str(error))
            return None
        if state.format != FORMAT:
            _log.warning("state_not_read", path=str(self.path), error=f"format {state.format}, not {FORMAT}")
            return None
        return state

    def store(self, state: State) -> None:
        """Replace the file, readable by its owner only; a failure is logged and does no further harm."""
        new = self.path.with_name(self.path.name + ".new")
        try:
            new.unlink(missing_ok=True)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(state))
            new.rename(self.path)
        except OSError as error:
            _log.error("state_not_stored", path=str(self.path), error=str(error))
