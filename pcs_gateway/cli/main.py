"""The entry of the command line: the table of verbs, and how errors are shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from traceback import extract_tb
from typing import Annotated, Any, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from pcs_gateway import __version__
from pcs_gateway.errors import CommandError, ConfigurationError, GatewayError


class Verb(NamedTuple):
    """A verb: the module whose `app` it is, imported when it is called, and a line for `--help`."""

    module: str
    summary: str


VERBS = {
    "serve": Verb("pcs_gateway.cli.serve", "Run the gateway in the foreground."),
    "check": Verb("pcs_gateway.cli.check", "Check a configuration file and do nothing else."),
    "demo": Verb("pcs_gateway.cli.demo", "Run three sample instances, the gateway and some traffic."),
    "loadtest": Verb("pcs_gateway.cli.loadtest", "Put load on an HTTP service and report how it bore it."),
    "status": Verb("pcs_gateway.cli.status", "Show pools, backends and traffic of a running gateway."),
    "backend": Verb("pcs_gateway.cli.backend", "Drain, disable, enable or reweigh a backend."),
    "reload": Verb("pcs_gateway.cli.reload", "Make a running gateway read its configuration again."),
}

EXAMPLES = """
\b
Examples:
  pcs-gateway demo
  pcs-gateway check config/gateway.yaml
  pcs-gateway serve --config config/gateway.yaml --workers 2
  pcs-gateway status
  pcs-gateway backend drain pcs one
"""

BAD_USAGE = 2
"""Exit status for a wrong command line and for a wrong configuration file."""
INTERRUPTED = 130


class _Verbs(TyperGroup):
    """A group that imports a verb only when it is called, so that `--help` answers at once."""

    _verbs: Mapping[str, Verb] = {}

    def offer(self, verbs: Mapping[str, Verb]) -> None:
        """Stand in for the verbs with their names and summaries."""
        self._verbs = verbs
        for name, verb in verbs.items():
            self.add_command(TyperCommand(name, help=verb.summary, rich_markup_mode=None))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self._verbs:
            command = typer.main.get_command(import_module(self._verbs[name].module).app)
            command.name = name
            _keep_examples(command)
        return name, command, rest


def _keep_examples(command: Any) -> None:
    """Turn the escape in raw docstrings into the character that keeps the lines of an example."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        _keep_examples(inner)


def _version(wanted: bool) -> None:  # noqa: FBT001 - the signature of an option's callback
    if wanted:
        typer.echo(f"pcs-gateway {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Verbs,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(epilog=EXAMPLES)
def _root(
    version: Annotated[  # noqa: FBT002 - typer's way to say an option
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An asynchronous reverse proxy and load balancer in front of PCS instances."""


def main(arguments: Sequence[str] | None = None, verbs: Mapping[str, Verb] = VERBS) -> int:
    """Carry out a command line and return its exit status; errors go to standard error, a line each."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    group = cast("_Verbs", typer.main.get_command(app))
    group.offer(verbs)
    try:
        status = group.main(given or ["--help"], prog_name="pcs-gateway", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug of ours is one line too, with its place
        text, status = _told(error)
        typer.echo(text, err=True)
        return status


def _told(error: Exception) -> tuple[str, int]:
    """Return the text of an error, one line for each problem, and the exit status."""
    if isinstance(error, ConfigurationError):
        return str(error), BAD_USAGE
    if isinstance(error, GatewayError):
        return f"pcs-gateway: {error}", error.status if isinstance(error, CommandError) else 1
    if isinstance(error, TyperException):
        return f"pcs-gateway: {error.format_message()} (pcs-gateway --help shows the way)", BAD_USAGE
    if isinstance(error, OSError):
        return f"pcs-gateway: {error}", 1
    return f"pcs-gateway: internal error: {type(error).__name__}: {error} ({_place(error)})", 1


def _place(error: Exception) -> str:
    """Return file and line of where an error was raised."""
    frame = extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"
