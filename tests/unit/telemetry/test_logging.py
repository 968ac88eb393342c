"""The log of the control process and of the workers."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from pcs_gateway.telemetry.config import LoggingConfig
from pcs_gateway.telemetry.logging import configure_logging
from tests.fakes.clock import FakeClock


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()

    def configure(self, **config: Any) -> None:
        """Set up logging into this stream."""
        configure_logging(LoggingConfig(**config), "control", FakeClock(), self.stream.write)

    @property
    def text(self) -> str:
        """All lines."""
        return self.stream.getvalue().decode()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Each line of JSON."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return what is logged, and put logging back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # or setting up ours would close those of pytest
    yield Lines()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_event_is_one_object_on_a_line(lines: Lines) -> None:
    """Time, level, event and process come first, then the event's own fields."""
    lines.configure()
    structlog.get_logger().warning("backend_ejected", pool="pcs", failures=5)

    assert lines.text == (
        '{"time":"2023-11-14T22:30:00.000Z","level":"warning","event":"backend_ejected","process":"control",'
        '"pool":"pcs","failures":5}\n'
    )


def test_events_below_the_level_are_left_out(lines: Lines) -> None:
    """The level of the configuration holds for ours and for the standard library's."""
    lines.configure(level="warning")
    structlog.get_logger().info("started")
    logging.getLogger("asyncio").info("using selector")
    structlog.get_logger().error("failed")

    assert ["failed"] == [event["event"] for event in lines.events]


def test_level_follows_a_reload(lines: Lines) -> None:
    """Configured again, the same logger has the new level."""
    logger = structlog.get_logger()
    lines.configure(level="error")
    logger.info("before")
    lines.configure(level="debug")
    logger.debug("after")

    assert ["after"] == [event["event"] for event in lines.events]


def test_records_of_the_standard_library_look_the_same(lines: Lines) -> None:
    """What asyncio and aiohttp say has the same fields."""
    lines.configure()
    logging.getLogger("aiohttp.server").error("Error handling %s", "request")

    assert lines.events == [
        {
            "time": "2023-11-14T22:30:00.000Z",
            "level": "error",
            "event": "Error handling request",
            "process": "control",
        }
    ]


def test_secrets_are_masked(lines: Lines) -> None:
    """By the names of fields, at any depth."""
    lines.configure()
    structlog.get_logger().info(
        "request", token="t", headers={"Authorization": "Bearer t", "Accept": "*"}, pools=[{"api_key": "t"}]
    )
    event = lines.events[0]

    assert ("***", {"Authorization": "***", "Accept": "*"}, [{"api_key": "***"}]) == (
        event["token"],
        event["headers"],
        event["pools"],
    )


def test_exception_is_part_of_its_line(lines: Lines) -> None:
    """A traceback does not tear the log into lines that are no JSON."""
    lines.configure()
    try:
        raise ValueError("three\nlines\n")
    except ValueError:
        structlog.get_logger().exception("failed")

    assert "ValueError: three" in lines.events[0]["exception"]


@pytest.mark.parametrize("value", [b"\xff\x00", object(), {1, 2}, 1 + 2j, "\ud800", float("nan")])
def test_any_value_can_be_logged(lines: Lines, value: object) -> None:
    """A log never fails because of what it is given."""
    lines.configure()
    structlog.get_logger().info("odd", value=value)

    assert ["odd"] == [event["event"] for event in lines.events]


def test_text_of_any_script_stays_as_it_is(lines: Lines) -> None:
    """Only what no encoding has is replaced."""
    lines.configure()
    structlog.get_logger().info("named", name="Grüße, 世界")

    assert lines.events[0]["name"] == "Grüße, 世界"


def test_text_is_for_people(lines: Lines) -> None:
    """The same event, readable; a line's end inside it cannot pretend to be another event."""
    lines.configure(format="text")
    structlog.get_logger().info("bad\nname", pool="a\nb")

    assert lines.text == "2023-11-14T22:30:00.000Z info    control: bad\\nname pool='a\\nb'\n"


def test_standard_error_is_the_default() -> None:
    """Without anything else lines go to standard error, and a closed one does no harm."""
    program = (
        "import os, structlog\n"
        "from pcs_gateway.clock import SystemClock\n"
        "from pcs_gateway.telemetry.config import LoggingConfig\n"
        "from pcs_gateway.telemetry.logging import configure_logging\n"
        "configure_logging(LoggingConfig(), 'worker-0', SystemClock())\n"
        "structlog.get_logger().info('one')\n"
        "os.close(2)\n"
        "structlog.get_logger().info('two')\n"
        "print('done')\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert [("one", "worker-0")] == [
        (event["event"], event["process"]) for event in map(json.loads, answer.stderr.splitlines())
    ]
    assert answer.stdout == "done\n"
