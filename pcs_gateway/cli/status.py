"""`pcs-gateway status`: pools, backends and traffic of a running gateway."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pcs_gateway.cli.admin import AdminOption, ConfigOption, connect
from pcs_gateway.cli.verb import moment, new_app

app = new_app()

JsonOption = Annotated[bool, typer.Option("--json", help="The admin API's answer, for programs.")]


@app.command()
def status(
    as_json: JsonOption = False,  # noqa: FBT002 - typer's way to say an option
    admin: AdminOption = None,
    config: ConfigOption = None,
) -> None:
    r"""
    Show pools, backends and traffic of a running gateway.

    Percentiles are of the last minute.

    \b
    Examples:
      pcs-gateway status
      pcs-gateway status --json | jq .pools
      pcs-gateway status --admin http://127.0.0.1:9901
    """
    document = connect(admin, config, os.environ).get("/api/v1/status")
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    console = Console()
    for line in headlines(document):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for name, pool in document["pools"].items():
        console.print(table(name, pool))


def headlines(document: dict[str, Any]) -> list[str]:
    """Return what is to be said of the gateway as a whole."""
    workers = document["workers"]
    traffic = document["performance"]
    up = sum(worker["up"] for worker in workers)
    times = [f"{name} {duration(traffic['response_time'][name])}" for name in ("p50", "p95", "p99")]
    facts = [
        f"{traffic['throughput']['requests_per_second']:.1f} requests/s",
        f"{traffic['throughput']['concurrent_users']} connections",
        *times,
        f"errors {traffic['errors']['error_rate']:.2%}",
    ]
    return [
        f"pcs-gateway {document['version']}: {document['status']}, {up} of {len(workers)} workers up",
        ", ".join(facts),
        *rejection(document["configuration"]),
        *document["configuration"]["needs_restart"],
    ]


def rejection(configuration: dict[str, Any]) -> list[str]:
    """Return one line when the file cannot be used as it is now; none when it can."""
    rejected = configuration["rejected"]
    if rejected is None:
        return []
    first, *others = rejected["problems"]
    more = f" (and {len(others)} more)" if others else ""
    return [f"configuration rejected at {moment(rejected['time'])}, a restart would fail: {first}{more}"]


def table(name: str, pool: dict[str, Any]) -> Table:
    """Return one pool as a table, a row for each backend."""
    facts = [pool["strategy"]]
    if pool["waiting"]:
        facts.append(f"{pool['waiting']} waiting")
    if pool["overloaded_workers"]:
        facts.append("overloaded")
    if pool["concurrency_limit"]:
        facts.append(f"at most {pool['concurrency_limit']} in flight")
    facts += levels(pool)
    if pool["shared_failure"]:
        facts.append(f"all backends fail alike: {pool['shared_failure']['kind']}")
    result = Table(title=f"{name} ({', '.join(facts)})", title_justify="left", title_style="bold")
    for column in ("backend", "state"):
        result.add_column(column, overflow="fold")
    priority = ("priority",) if has_levels(pool) else ()
    for column in (*priority, "in flight", "weight", "p50", "p95", "p99"):
        result.add_column(column, justify="right", no_wrap=True)
    for backend in pool["backends"]:
        times = backend["response_time"]
        result.add_row(
            Text(backend["name"]),
            Text("ready", "green") if backend["ready"] else Text(unreadiness(backend), "red"),
            *(str(backend[key]) for key in priority),
            str(backend["active_connections"]),
            str(backend["weight"]),
            *(duration(times[percentile]) for percentile in ("p50", "p95", "p99")),
        )
    return result


def levels(pool: dict[str, Any]) -> list[str]:
    """Return which priority levels of a pool take how much of its traffic, and which of them panic."""
    if not has_levels(pool):
        return ["panics" for level in pool["levels"] if level["panic"]]
    return [
        f"level {level['priority']} takes {level['load']:.0%}{' and panics' if level['panic'] else ''}"
        for level in pool["levels"]
        if level["load"]
    ]


def has_levels(pool: dict[str, Any]) -> bool:
    """Tell whether a pool has more than one priority level."""
    return len({backend["priority"] for backend in pool["backends"]}) > 1


def unreadiness(backend: dict[str, Any]) -> str:
    """Return why a backend is not ready, and for how long it is ejected."""
    if not backend["ejected_for"]:
        return str(backend["reason"])
    row = backend["ejections_in_a_row"]
    times = f", {row} times in a row" if row > 1 else ""
    return f"{backend['reason']} (for {backend['ejected_for']:.0f} s more{times})"


def duration(seconds: float) -> str:
    """Return a duration with three digits for people; a dash for none."""
    if seconds <= 0:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"
