"""`pcs-gateway serve`: check the configuration, then become the supervisor."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pcs_gateway.cli.verb import new_app
from pcs_gateway.clock import SystemClock
from pcs_gateway.config.loading import DEFAULT_FILE, LoadedConfig, load
from pcs_gateway.config.model import MOST_WORKERS, WORKERS_ALLOWED
from pcs_gateway.config.trying import try_out
from pcs_gateway.errors import CommandError
from pcs_gateway.processes.plan import SUPERVISOR_VARIABLE, ListenPlan, SupervisorPlan, available_cores

app = new_app()


@app.command()
def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The configuration file. Default: config/gateway.yaml."
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers", metavar="N", help="Worker processes, or auto; instead of the file's number."
        ),
    ] = None,
) -> None:
    r"""
    Run the gateway in the foreground.

    The process becomes the supervisor of the gateway: SIGTERM or Ctrl-C drains and ends it (a second one
    hurries), SIGHUP reads the configuration again. A file that cannot be used is told with all its problems,
    and the exit status is then 2.

    \b
    Examples:
      pcs-gateway serve
      pcs-gateway serve --config config/gateway.yaml --workers 2
    """
    loaded = load(config or DEFAULT_FILE, os.environ)
    notices = try_out(loaded, SystemClock().time(), is_gateway=True)
    plan = plan_for(loaded, workers)
    for notice in notices:
        typer.echo(f"pcs-gateway: {notice}", err=True)
    typer.echo(f"pcs-gateway: serving by {loaded.path.absolute()}", err=True)
    become_supervisor(plan)


def plan_for(loaded: LoadedConfig, workers: str | None = None) -> SupervisorPlan:
    """
    Return what the supervisor is to run.

    Args:
        workers: The number from the command line, which then outlasts every reload.

    Raises:
        CommandError: That number is none.
    """
    config = loaded.config
    listen = tuple(ListenPlan(one.address, tls=one.tls is not None) for one in config.listen)
    return SupervisorPlan(
        config=str(loaded.path.absolute()),
        listen=listen,
        admin=config.admin.address,
        workers=config.worker_count(available_cores()) if workers is None else _given_number(workers),
        workers_fixed=workers is not None,
        state_directory=str(Path(config.state.directory).absolute()),
        drain_delay=config.drain_delay,
        drain_timeout=config.drain_timeout,
        log_level=config.logging.level,
        log_format=config.logging.format,
    )


def become_supervisor(plan: SupervisorPlan) -> None:
    """
    Replace this program by the supervisor, in the same process; does not return.

    `-P`: a module that happens to lie in the current directory must not be taken for one of ours.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", "pcs_gateway.processes.supervisor"]
    os.execve(sys.executable, command, {**os.environ, SUPERVISOR_VARIABLE: plan.to_json()})  # noqa: S606 (no shell is what we want)


def _given_number(workers: str) -> int:
    if workers == "auto":
        return min(available_cores(), MOST_WORKERS)
    if workers.isascii() and workers.isdigit() and 1 <= int(workers) <= MOST_WORKERS:
        return int(workers)
    raise CommandError(f"--workers: found {workers!r}, allowed: {WORKERS_ALLOWED}", status=2)
