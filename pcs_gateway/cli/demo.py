"""`pcs-gateway demo`: three sample instances, the gateway before them, some traffic, and what to try."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from pcs_gateway.cli.demonstration.layout import Layout, plan
from pcs_gateway.cli.demonstration.stage import Demo
from pcs_gateway.cli.verb import new_app
from pcs_gateway.clock import SystemClock
from pcs_gateway.errors import CommandError
from pcs_gateway.units import RATE_ALLOWED, parse_rate

app = new_app()

HIGHEST_RATE = 1000.0
"""Requests per second; beyond it the demo would be a load test."""


@app.command()
def demo(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where clients connect; the admin API is local.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="For traffic; the next free one when taken.")
    ] = 8080,
    admin_port: Annotated[
        int, typer.Option("--admin-port", min=1, max=65535, help="The next free one when taken.")
    ] = 9901,
    rate: Annotated[
        str, typer.Option("--rate", metavar="RATE", help="Of the demo's own traffic; 0 for none.")
    ] = "20/s",
) -> None:
    r"""
    Run three sample instances, the gateway and some traffic.

    Prints where everything is and five things to try, then what happens, until Ctrl-C. All files are in a
    directory of its own, which is removed at the end.

    \b
    Examples:
      pcs-gateway demo
      pcs-gateway demo --rate 100/s
      pcs-gateway demo --host 0.0.0.0 --port 80
    """
    requests_per_second = _rate(rate)
    directory = Path(tempfile.mkdtemp(prefix="pcs-gateway-demo-"))
    try:
        layout = plan(directory, host, port, admin_port)
        uvloop.run(_run(layout, requests_per_second))
    except CommandError as error:
        raise CommandError(f"demo: {error}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    typer.echo("Everything has ended.")


async def _run(layout: Layout, rate: float) -> None:
    typer.echo("Starting three instances and the gateway ...")
    await Demo(layout, rate, SystemClock(), typer.echo).run()


def _rate(text: str) -> float:
    try:
        rate = parse_rate(text)
    except ValueError as error:
        raise CommandError(f"--rate {text}: {error}", status=2) from None
    if rate > HIGHEST_RATE:
        raise CommandError(f"--rate {text}: {RATE_ALLOWED}, at most {HIGHEST_RATE:g}/s", status=2)
    return rate
