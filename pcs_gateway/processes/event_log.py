"""
The log of a process that has no logging library: one line for each event, as `telemetry.logging` writes them.

It uses the standard library only, since the supervisor imports it.
"""

from __future__ import annotations

import json
import select
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO

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
    Events on standard error, with `time`, `level`, `event`, `process` and the fields of the event.

    Args:
        process: Its role, on every line.
        level: The least that is written: info, warning or error; debug is as info, no event is less.
        style: json or text.
        stream: Where to, instead of standard error.
    """

    def __init__(
        self,
        process: str,
        clock: Clock,
        level: str = "info",
        style: str = "json",
        stream: TextIO | None = None,
    ) -> None:
        self._process = process
        self._clock = clock
        self._least = SEVERITY[level]
        self._render = RENDERERS[style]
        self._stream = stream
        self._lost = 0

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
        """Write one line, unless that would wait: an end that is closed or not read loses it."""
        if SEVERITY[level] < self._least:
            return
        time = datetime.fromtimestamp(self._clock.time(), UTC).isoformat(timespec="milliseconds")
        line = {"time": time.replace("+00:00", "Z"), "level": level, "event": event, "process": self._process}
        if self._lost:
            fields = {**fields, "lost_before": self._lost}
        stream = self._stream or sys.stderr
        try:
            if not takes_a_line(stream):
                raise BlockingIOError
            stream.write(self._render({**line, **fields}) + "\n")
            stream.flush()
        except (OSError, ValueError):
            self._lost += 1
        else:
            self._lost = 0


def takes_a_line(stream: TextIO) -> bool:
    """Whether a line of usual length (PIPE_BUF, 4 KiB) can be written to this descriptor without waiting."""
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return bool(poll.poll(0))


def render_json(line: dict[str, Any]) -> str:
    """One JSON object."""
    return json.dumps(line, default=repr, separators=(",", ":"))


def render_text(line: dict[str, Any]) -> str:
    """Text for people: time, level, process, event, then name=value."""
    fields = dict(line)
    head = f"{fields.pop('time')} {fields.pop('level'):<7} {fields.pop('process')}: {fields.pop('event')}"
    return " ".join([head, *(f"{name}={value!r}" for name, value in fields.items())])


SEVERITY: Final = {"debug": 0, "info": 0, "warning": 1, "error": 2}
RENDERERS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {"json": render_json, "text": render_text}
