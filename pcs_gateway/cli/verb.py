"""What verbs share: an `app` that behaves as the others do, and how a moment is written."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def new_app(summary: str | None = None) -> typer.Typer:
    """
    Return an application with plain help and no extra options.

    An app with one command is the verb itself; one with several needs a `summary` and shows them as
    its own verbs. Commands raise `GatewayError`, which `main` shows as one line, return an exit status
    or nothing. In the docstring of a command, a line with only a backspace escape keeps the lines of the
    paragraph below it as they are: that is how examples are shown.
    """
    return typer.Typer(
        help=summary,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=summary is not None,
    )


def moment(seconds: float) -> str:
    """Return Unix seconds as date and time of where the command is run."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
