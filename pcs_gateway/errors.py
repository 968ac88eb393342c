"""
What can go wrong, as one tree; each error says who is to blame.

    GatewayError
    ├── ConfigurationError    the operator's file: every problem in it at once
    ├── CommandError          the operator's command cannot be carried out
    └── NoHealthyInstances    no backend of the pool may take an attempt
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class GatewayError(Exception):
    """The root: everything that the gateway raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing wrong with a configuration file. Holds no secret: `found` is the text of the file,
    never the value of an environment variable.

    Attributes:
        file: The file as it was named; empty when the configuration came from elsewhere.
        line: Counted from 1; 0 when it has no place in the file.
        path: Of the key, as in `pools.pcs.backends[0].url`; empty for the file as a whole.
        found: What stands there; empty when nothing does.
        allowed: What may stand there; empty when the message says it.
        message: What is wrong, in a few words.
    """

    file: str
    line: int
    path: str
    found: str
    allowed: str
    message: str

    def __str__(self) -> str:
        """Return the problem as one line, `file:line: path: message: found …; allowed: …`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        facts = [f"found {self.found}"] if self.found else []
        facts += [f"allowed: {self.allowed}"] if self.allowed else []
        return ": ".join(part for part in (place, self.path, self.message, "; ".join(facts)) if part)


class ConfigurationError(GatewayError):
    """The configuration cannot be used; nothing of it was applied."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Take all problems, in the order of their lines."""
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CommandError(GatewayError):
    """
    A command of the command line cannot be carried out; its text is shown as one line.

    Attributes:
        status: The exit status, 1 unless something finer is meant.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        """Take the line to show."""
        self.status = status
        super().__init__(message)


class NoHealthyInstances(GatewayError):  # noqa: N818 - the specification's words
    """
    No backend of the pool may take an attempt: answer 503 and try again later.

    Attributes:
        pool: The pool's name.
        details: One line for each backend: why it is not ready.
    """

    def __init__(self, pool: str, details: Sequence[str] = ()) -> None:
        """Take the pool and what is known of its backends."""
        self.pool = pool
        self.details = tuple(details)
        super().__init__("No healthy instances available")
