"""`pcs-gateway loadtest URL`: load on any HTTP service, and how it bore it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
import uvloop
from pydantic import ValidationError

from pcs_gateway.cli.verb import new_app
from pcs_gateway.errors import CommandError
from pcs_gateway.loadtest import LoadTestConfig, LoadTester, LoadTestReport
from pcs_gateway.units import parse_rate

app = new_app()

OPTIONS = {
    "base_url": "URL",
    "target_rps": "--rate",
    "concurrent_users": "--users",
    "ramp_up_time": "--ramp",
    "headers": "--header",
    "test_scenarios": "URL, --method and --expect",
}
"""What the fields of the configuration are called on the command line, where that differs."""


@app.command()
def loadtest(  # noqa: PLR0913, PLR0917 - a command has as many parameters as options
    url: Annotated[str, typer.Argument(metavar="URL", help="What is requested.")],
    rate: Annotated[
        str, typer.Option("--rate", metavar="RATE", help="Open loop: requests on schedule, such as 200/s.")
    ] = "0",
    users: Annotated[
        int, typer.Option("--users", help="Closed loop: users who wait. Open loop: the most connections.")
    ] = 64,
    duration: Annotated[str, typer.Option("--duration", metavar="DURATION")] = "10s",
    ramp: Annotated[
        str, typer.Option("--ramp", metavar="DURATION", help="Until the full rate, or all users.")
    ] = "0s",
    arrivals: Annotated[
        str, typer.Option("--arrivals", help="poisson (independent clients) or constant.")
    ] = "poisson",
    method: Annotated[str, typer.Option("--method")] = "GET",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="As often as needed.")
    ] = None,
    body: Annotated[str, typer.Option("--body", metavar="TEXT")] = "",
    expect: Annotated[
        list[int] | None, typer.Option("--expect", metavar="STATUS", help="Success. Default: 200 to 399.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION")] = "30s",
    keep_alive: Annotated[bool, typer.Option(help="Use connections again.")] = True,  # noqa: FBT002 - an option
    seed: Annotated[int | None, typer.Option("--seed", help="Of chance, to repeat a test.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole report.")] = False,  # noqa: FBT002 - an option
) -> None:
    r"""
    Put load on an HTTP service and report how it bore it.

    With --rate requests leave on schedule whatever the answers do, and response times count from the moment a
    request was due: a pause is in the times of all requests due in it. Without, each of the users waits for
    the answer before the next request. Ctrl-C ends the test early, with the report.

    \b
    Examples:
      pcs-gateway loadtest http://127.0.0.1:8080/api/v1/health/ --rate 500/s --duration 30s --ramp 5s
      pcs-gateway loadtest http://127.0.0.1:8080/api/v1/prompts/ --users 16
      pcs-gateway loadtest http://127.0.0.1:8080/api/v1/prompts/generate --rate 50/s --method POST --body '{}'
    """
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "") if parts.netloc else "/"
    config = _validated(
        base_url=f"{parts.scheme}://{parts.netloc}",
        target_rps=_rate(rate),
        concurrent_users=users,
        duration=duration,
        ramp_up_time=ramp,
        arrivals=arrivals,
        headers=dict(map(_field, header or ())),
        timeout=timeout,
        keep_alive=keep_alive,
        seed=seed,
        test_scenarios=[
            {"name": method, "method": method, "path": path, "body": body, "expected_status": expect or ()}
        ],
    )
    report = uvloop.run(run(config))
    typer.echo(report.model_dump_json(indent=2) if as_json else "\n".join(lines(report)))


async def run(config: LoadTestConfig) -> LoadTestReport:
    """Run a test to its end or to the first SIGINT or SIGTERM."""
    running = LoadTester().start(config)
    stopping: set[asyncio.Task[LoadTestReport]] = set()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(
            number, lambda: stopping.add(asyncio.create_task(running.stop()))
        )
    report = await running.wait()
    await asyncio.gather(*stopping)
    return report


def lines(report: LoadTestReport) -> Iterator[str]:
    """Return a report for people."""
    summary, metrics = report.summary, report.detailed_metrics
    yield (
        f"{summary.total_requests} requests in {metrics.duration:.1f} s, "
        f"{summary.successful_requests} successful ({summary.throughput:.1f}/s), "
        f"{summary.failed_requests} failed ({summary.error_rate:.2%}), {metrics.connections} connections"
    )
    for name, times in (("response time", metrics.response_time), ("service time", metrics.service_time)):
        yield (
            f"{name + ' (ms)':<19} p50 {_ms(times.p50)}  p90 {_ms(times.p90)}  p95 {_ms(times.p95)}  "
            f"p99 {_ms(times.p99)}  p99.9 {_ms(times.p99_9)}  max {_ms(times.max)}  mean {_ms(times.average)}"
        )
    for name, counts in (
        ("statuses", metrics.statuses), ("instances", metrics.instances), ("failures", metrics.failures),
    ):  # fmt: skip
        if counts:
            yield f"{name:<19} {', '.join(f'{key} {count}' for key, count in counts.items())}"
    for one in metrics.failed[:3]:
        yield f"failed at {one.at:.3f} s   {one.failure}: {one.detail}"
    for warning in report.warnings:
        yield f"warning: {warning}"
    for recommendation in report.recommendations:
        yield f"recommendation: {recommendation}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def _rate(text: str) -> float:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise CommandError(f"--rate {text}: {error}", status=2) from None


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CommandError(f"--header {text!r}: allowed is NAME: VALUE", status=2)
    return name.strip(), value.strip()


def _validated(**values: Any) -> LoadTestConfig:
    """Return the configuration. Raises CommandError with all that is wrong, by the options' names."""
    try:
        return LoadTestConfig.model_validate(values)
    except ValidationError as error:
        problems = {
            _option(one["loc"]): one["msg"].removeprefix("Value error, ") for one in reversed(error.errors())
        }
        told = "; ".join(f"{option}: {message}" for option, message in reversed(problems.items()))
        raise CommandError(told, status=2) from None


def _option(location: tuple[int | str, ...]) -> str:
    if not location:
        return "options"
    name = str(location[0])
    return OPTIONS.get(name, f"--{name.replace('_', '-')}")
