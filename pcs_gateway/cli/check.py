"""`pcs-gateway check`: all that is wrong with a configuration file, or that nothing is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pcs_gateway.cli.verb import new_app
from pcs_gateway.clock import SystemClock
from pcs_gateway.config.loading import DEFAULT_FILE, LoadedConfig, load
from pcs_gateway.config.trying import try_out

app = new_app()


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The configuration file. Default: config/gateway.yaml.")
    ] = DEFAULT_FILE,
) -> None:
    r"""
    Check a configuration file and do nothing else.

    Every problem is one line with file, line, key, what was found and what is allowed; the exit status
    is then 2. Keys that have no effect are named, and are no problem. Certificates and keys are read and
    tried out, so are the places of the access log and of the state. Environment variables are read as
    `serve` reads them.

    \b
    Examples:
      pcs-gateway check
      pcs-gateway check /etc/pcs-gateway/gateway.yaml
    """
    loaded = load(file, os.environ)
    for notice in try_out(loaded, SystemClock().time(), is_gateway=False):
        typer.echo(notice)
    typer.echo(summary(loaded))


def summary(loaded: LoadedConfig) -> str:
    """Return one line that says what a valid file configures."""
    config = loaded.config
    backends = sum(len(pool.backends) for pool in config.pools.values())
    listeners = ", ".join(
        listener.address if listener.tls is None else f"{listener.address} (TLS)"
        for listener in config.listen
    )
    counts = [
        _counted(len(config.pools), "pool"),
        _counted(backends, "backend"),
        _counted(len(config.routes), "route"),
    ]
    return f"{loaded.path}: valid: {', '.join(counts)}; listens on {listeners}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
