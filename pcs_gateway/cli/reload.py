"""`pcs-gateway reload`: make a running gateway read its configuration again."""

from __future__ import annotations

import os
from typing import Any

import typer

from pcs_gateway.cli.admin import AdminOption, ConfigOption, connect
from pcs_gateway.cli.verb import moment, new_app

app = new_app()

STATUSES = {"rejected": 2, "incomplete": 1}
"""Exit status by result; 0 for the others."""


@app.command()
def reload(admin: AdminOption = None, config: ConfigOption = None) -> None:
    r"""
    Make a running gateway read its configuration again.

    The file is checked first: with a problem in it nothing changes, every problem is shown and the exit
    status is 2. No connection is closed. What only a restart applies is named.

    \b
    Examples:
      pcs-gateway reload
      pcs-gateway reload --config /etc/pcs-gateway/gateway.yaml
      pcs-gateway reload --admin http://127.0.0.1:9901
    """
    report = connect(admin, config, os.environ).post("/api/v1/reload", taken=(409, 422)).body
    for line in summary(report):
        typer.echo(line)
    for problem in report["problems"]:
        typer.echo(problem, err=True)
    raise typer.Exit(STATUSES.get(report["result"], 0))


def summary(report: dict[str, Any]) -> list[str]:
    """Return what became of a reload, line by line."""
    since = f": in force since {moment(report['since'])} ({report['by']})" if report["since"] else ""
    lines = [f"{report['file']}: {report['result']}{since}"]
    if report["changed"]:
        lines.append(f"changed: {', '.join(report['changed'])}")
    if report["generation"] is not None:
        lines.append(f"generation {report['generation']} of workers serves")
    return [*lines, *report["needs_restart"], *report["notices"]]
