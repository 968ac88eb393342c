"""
The log of a process that has no logging library: one JSON line for each event.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Protocol, TextIO

from pcs_gateway.clock import Clock


class Log(Protocol):
    """Where events go; a structlog logger is one too."""

    def info(self, event: str, **fields: object) -> object:
        """Tell what happened."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Tell what an operator should look at."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Tell what went wrong."""
        ...


class EventLog:
    """
    Events as JSON lines with `time`, `level`, `event`, `process` and the fields of the event.

    Attributes:
        process: The process' role, on every line.
    """

    def __init__(self, process: str, clock: Clock, stream: TextIO | None = None) -> None:
        """Write to `stream`; to standard error when there is none."""
        self.process = process
        self._clock = clock
        self._stream = stream

    def info(self, event: str, **fields: object) -> None:
        """Tell what happened."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell what an operator should look at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell what went wrong."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        """One line by one write; an error of the log's own end must never end a process."""
        time = datetime.fromtimestamp(self._clock.time(), UTC).isoformat(timespec="milliseconds")
        line = {"time": time.replace("+00:00", "Z"), "level": level, "event": event, "process": self.process}
        stream = self._stream or sys.stderr
        try:
            stream.write(json.dumps(line | fields, default=str) + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass
