"""`pcs-gateway loadtest`: its report, its interruption, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from pcs_gateway.cli.main import main
from pcs_gateway.sample import SampleConfig, SampleServer


@pytest.fixture
async def sample() -> AsyncIterator[SampleServer]:
    """A service to be loaded."""
    async with SampleServer(SampleConfig(instance="one")) as server:
        yield server


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """Start the verb."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcs_gateway", "loadtest", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_the_report_is_for_people(sample: SampleServer) -> None:
    """Counts, percentiles, statuses and instances stand in it."""
    process = await start(f"{sample.url}/api/v1/prompts/?size=2", "--rate", "100/s", "--duration", "1s",
                          "--arrivals", "constant")  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, errors) == (0, b"")
    assert output.startswith(b"100 requests in 1.0 s, 100 successful")
    for words in (
        b"response time (ms)",
        b"p99.9",
        b"statuses            200 100",
        b"instances           one 100",
    ):
        assert words in output


async def test_the_report_is_for_programs(sample: SampleServer) -> None:
    """With --json it is the whole report; header, method, body and expected status are sent as given."""
    process = await start(
        f"{sample.url}/api/v1/contexts/search",
        *("--users", "2", "--duration", "300ms", "--json", "--method", "POST"),
        *("-H", "Authorization: Bearer x", "--body", '{"query": "subject 7"}', "--expect", "200"),
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)

    report = json.loads(output)
    assert report["summary"]["failed_requests"] == 0
    assert report["detailed_metrics"]["statuses"].keys() == {"200"}


async def test_ctrl_c_ends_it_with_the_report(sample: SampleServer) -> None:
    """What was measured until then is reported, and the status is 0."""
    process = await start(f"{sample.url}/api/v1/health/", "--rate", "100/s", "--duration", "10m")
    async with asyncio.timeout(20):
        while not sample.connections:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()

    assert process.returncode == 0
    assert b" 0 failed" in output.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["127.0.0.1:8080"], "URL: allowed is a scheme and an authority"),
        (["http://x", "--rate", "5"], "--rate 5: a number per s, m or h"),
        (["http://x", "--users", "0"], "--users: "),
        (["http://x", "--duration", "5"], "--duration: a duration with its unit"),
        (["http://x", "--arrivals", "often"], "--arrivals: "),
        (["http://x", "-H", "nonsense"], "--header 'nonsense': allowed is NAME: VALUE"),
        (["http://x", "--duration", "1s", "--ramp", "2s"], "ramp_up_time"),
    ],
)
def test_nonsense_is_refused_by_the_option_s_name(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error and status 2."""
    assert main(["loadtest", *arguments]) == 2

    shown = capsys.readouterr()
    assert line in shown.err
    assert shown.err.count("\n") == 1
