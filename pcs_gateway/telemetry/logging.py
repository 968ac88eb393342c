"""
The log of the control process and of the workers: structlog, one event on a line, on standard error.

A line has `time`, `level`, `event`, `process` and the fields of the event, as JSON or as text for people.
Records of the standard library's logging (asyncio, aiohttp) come out in the same form. All global state of
logging is set here, once, by `configure_logging`; everything else asks `structlog.get_logger()`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

from pcs_gateway.clock import Clock
from pcs_gateway.telemetry.config import LoggingConfig
from pcs_gateway.telemetry.line_writer import STANDARD_ERROR
from pcs_gateway.telemetry.redaction import MASK, is_secret_name

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

Event = MutableMapping[str, Any]
Processor = Callable[[Any, str, Event], Event]


def configure_logging(
    config: LoggingConfig,
    process: str,
    clock: Clock,
    write: Callable[[bytes], object] | None = None,
) -> None:
    """
    Set up logging for this process; again, with another configuration, after a reload.

    Args:
        config: Level and format.
        process: Its role, on every line ("control", "worker-0").
        clock: Stamps the lines.
        write: Takes each line; by default it is written to standard error at once. A worker gives it the
            `put` of a `LineWriter`, because a standard error that nobody reads must not hold up traffic.
    """
    level = LEVELS[config.level]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        stamp(process, clock),
        structlog.processors.format_exc_info,
        redact,
    ]
    render = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[render, RENDERERS[config.format]]
    )
    handler = LineHandler(write or write_to_standard_error)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class LineHandler(logging.Handler):
    """Gives each formatted line to a callable."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Format and hand over; what cannot be formatted is told to standard error by the base class."""
        try:
            self._write(self.format(record).encode() + b"\n")
        except Exception:  # noqa: BLE001 (a line of log must never end what it tells about)
            self.handleError(record)


def write_to_standard_error(line: bytes) -> None:
    """Write a line at once; a standard error that is closed or full loses it."""
    try:
        os.write(STANDARD_ERROR, line)
    except OSError:
        pass


def stamp(process: str, clock: Clock) -> Processor:
    """Return a processor that adds `time` (RFC 3339, UTC, milliseconds) and `process`, in front."""

    def add(_logger: object, _method: str, event: Event) -> Event:
        time = datetime.fromtimestamp(clock.time(), UTC).isoformat(timespec="milliseconds")
        front = {
            "time": time.replace("+00:00", "Z"),
            "level": event.pop("level"),
            "event": event.pop("event"),
            "process": process,
        }
        return front | dict(event)

    return add


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Mask the value of every field with a secret name, in nested values too; show bytes as text."""
    return {name: _shown(name, value) for name, value in event.items()}


def _shown(name: str, value: Any) -> Any:
    if is_secret_name(name):
        return MASK
    if isinstance(value, dict):
        return {key: _shown(str(key), nested) for key, nested in value.items()}
    if isinstance(value, list | tuple):
        return [_shown("", nested) for nested in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):  # names of files may hold surrogates, which no JSON can
        return value.encode(errors="backslashreplace").decode()
    return value


def render_json(_logger: object, _method: str, event: Event) -> str:
    """Return an event as one JSON object; values of unknown types by their `repr`."""
    return msgspec.json.encode(event, enc_hook=repr).decode()


def render_text(_logger: object, _method: str, event: Event) -> str:
    """Return an event as one line of text: time, level, process, event, then name=value."""
    fields = dict(event)
    text = str(fields.pop("event")).replace("\n", "\\n")
    head = f"{fields.pop('time')} {fields.pop('level'):<7} {fields.pop('process')}: {text}"
    exception = fields.pop("exception", "")
    line = " ".join([head, *(f"{name}={value!r}" for name, value in fields.items())])
    return f"{line}\n{exception}" if exception else line


RENDERERS: Final[dict[str, Processor | Callable[[Any, str, Event], str]]] = {
    "json": render_json,
    "text": render_text,
}
