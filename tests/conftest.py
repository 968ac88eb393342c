"""What every test shares: the event loop of production, and no silent skips.

A test that needs a program which pip cannot bring says so by a marker and skips where it is missing. Under
`--require-servers`, or with PCS_GATEWAY_REQUIRE_SERVERS=1 as `.ci/run` sets it, any skip is a failure.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest
import uvloop

PROGRAMS = {
    "needs_nginx": ("nginx", "nginx-light"),
    "needs_haproxy": ("haproxy", "haproxy"),
    "needs_wrk": ("wrk", "wrk"),
    "needs_ab": ("ab", "apache2-utils"),
    "needs_curl": ("curl", "curl"),
}
"""Marker: the program looked for, and the Debian package that brings it."""

SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian puts servers, which an ordinary user's PATH leaves out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--require-servers`."""
    parser.addoption(
        "--require-servers",
        action="store_true",
        default=os.environ.get("PCS_GATEWAY_REQUIRE_SERVERS", "") not in {"", "0"},
        help="a test that skips, for whatever reason, fails (environment: PCS_GATEWAY_REQUIRE_SERVERS=1)",
    )
    parser.addoption("--chaos", action="store_true", help="tests/chaos: every fault in every setting")


def pytest_configure(config: pytest.Config) -> None:
    """Let tests find servers where Debian puts them."""
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_DIRECTORIES])


def end_test_that_timed_out(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """
    Cancel whatever runs when the time of a test is over.

    pytest-timeout raises from a signal handler; uvloop reports what a signal handler raises as an unhandled
    exception and goes on waiting, so without this a test that hangs would hang for good.
    """
    loop.default_exception_handler(context)
    if isinstance(context.get("exception"), pytest.fail.Exception):
        for task in asyncio.all_tasks(loop):
            task.cancel(str(context["exception"]))


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make the loop of one test."""
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(end_test_that_timed_out)
    return loop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on uvloop, as production does."""
    return {"uvloop": new_event_loop}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, and say which package brings it."""
    for marker, (program, package) in PROGRAMS.items():
        if item.get_closest_marker(marker) is not None and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (make system-packages, or: apt install {package})")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where every server has to be there."""
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not expected_failure and item.config.getoption("--require-servers"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may skip: {call.excinfo.value if call.excinfo else ''}"
    return report
