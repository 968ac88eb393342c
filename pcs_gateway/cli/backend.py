"""`pcs-gateway backend drain | enable | disable | weight`: orders for one backend of a running gateway."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from pcs_gateway.cli.admin import ANSWER_TIMEOUT, AdminOption, ConfigOption, backend_path, connect
from pcs_gateway.cli.verb import new_app
from pcs_gateway.errors import CommandError
from pcs_gateway.units import parse_duration

app = new_app(
    """Drain, disable, enable or reweigh a backend of a running gateway.

    \b
    Example:
      pcs-gateway backend drain pcs one
    """
)

Pool = Annotated[str, typer.Argument(metavar="POOL", help="The pool's name.")]
Backend = Annotated[str, typer.Argument(metavar="BACKEND", help="The backend's name, as `status` shows it.")]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="How long to wait until it is empty.")
]
Weight = Annotated[str, typer.Argument(metavar="WEIGHT", help="1 to 1000, or `default` for the file's.")]

CONFIGURED = "default"
"""The weight that ends an override."""

HIGHEST_WEIGHT = 1000


@app.command()
def drain(
    pool: Pool,
    backend: Backend,
    timeout: Timeout = "30s",
    admin: AdminOption = None,
    config: ConfigOption = None,
) -> None:
    r"""
    Give a backend no new attempts, and wait until it is empty.

    The exit status is 1 when it is not empty in time; it stays draining then.

    \b
    Examples:
      pcs-gateway backend drain pcs one
      pcs-gateway backend drain pcs 127.0.0.1:8002 --timeout 2m
    """
    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise CommandError(f"--timeout {timeout}: {error}", 2) from None
    client = connect(admin, config, os.environ)
    path = backend_path(pool, backend, "drain")
    answer = client.post(path, {"timeout": seconds}, timeout=seconds + ANSWER_TIMEOUT).body
    if not answer["drain"]["empty"]:
        raise CommandError(f"{pool}/{backend} is not empty after {timeout}: {answer['drain']['reason']}")
    typer.echo(f"{pool}/{backend} is draining and empty")


@app.command()
def disable(pool: Pool, backend: Backend, admin: AdminOption = None, config: ConfigOption = None) -> None:
    r"""
    Give a backend no new attempts until it is enabled.

    \b
    Example:
      pcs-gateway backend disable pcs one
    """
    _order(admin, config, pool, backend, "disable")


@app.command()
def enable(pool: Pool, backend: Backend, admin: AdminOption = None, config: ConfigOption = None) -> None:
    r"""
    Let a drained or disabled backend take attempts again.

    \b
    Example:
      pcs-gateway backend enable pcs one
    """
    _order(admin, config, pool, backend, "enable")


@app.command()
def weight(
    pool: Pool, backend: Backend, value: Weight, admin: AdminOption = None, config: ConfigOption = None
) -> None:
    r"""
    Change a backend's share of the traffic, until it is changed again or set to `default`.

    \b
    Examples:
      pcs-gateway backend weight pcs one 5
      pcs-gateway backend weight pcs one default
    """
    _order(admin, config, pool, backend, "weight", {"weight": _weight(value)})


def _weight(value: str) -> int | None:
    """Read a weight; `default` ends the override."""
    if value == CONFIGURED:
        return None
    number = (
        int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(HIGHEST_WEIGHT)) else 0
    )
    if not 1 <= number <= HIGHEST_WEIGHT:
        raise CommandError(f"WEIGHT {value}: a whole number from 1 to {HIGHEST_WEIGHT}, or {CONFIGURED}", 2)
    return number


def _order(
    admin: AdminOption,
    config: ConfigOption,
    pool: str,
    backend: str,
    action: str,
    body: dict[str, Any] | None = None,
) -> None:
    """Order something that is done at once, and say what holds then."""
    client = connect(admin, config, os.environ)
    typer.echo(summary(client.post(backend_path(pool, backend, action), body).body))


def summary(backend: dict[str, Any]) -> str:
    """Return one line about a backend."""
    readiness = "ready" if backend["ready"] else f"not ready ({backend['reason']})"
    return f"{backend['pool']}/{backend['name']} is {readiness}, weight {backend['weight']}"
