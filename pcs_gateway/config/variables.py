"""
Environment variables in a configuration file: `${NAME}`, `${NAME:-default}`, and `$$` for a dollar sign.

As in a shell, the default stands in for a variable that is not set or empty. A dollar sign before
anything else stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE_ALLOWED = "${NAME} or ${NAME:-default}; $$ is a dollar sign"

_DOLLAR = re.compile(
    r"\$(?:\$|\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|(?P<broken>)))"
)


@dataclass(frozen=True, slots=True)
class Substitution:
    """
    A text with its variables replaced.

    Attributes:
        text: The result; of use only when nothing is missing or broken.
        has_variables: Whether any variable stood in it, defaults included.
        names: Variables whose value came from the environment.
        missing: Variables that are not set and have no default.
        is_broken: Whether `${` begins something that is no variable.
    """

    text: str
    has_variables: bool
    names: tuple[str, ...]
    missing: tuple[str, ...]
    is_broken: bool


def substitute(text: str, environ: Mapping[str, str]) -> Substitution:
    """Replace the variables of `text`. What comes in is text: it is never read as YAML or again."""
    names: list[str] = []
    missing: list[str] = []
    parts: list[str] = []
    end, variables, is_broken = 0, 0, False
    for match in _DOLLAR.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        name, default = match["name"], match["default"]
        is_broken |= match["broken"] is not None
        if name is None:
            parts.append("$")
            continue
        variables += 1
        if name in environ and (environ[name] or default is None):
            names.append(name)
            parts.append(environ[name])
        elif default is not None:
            parts.append(default)
        else:
            missing.append(name)
    parts.append(text[end:])
    return Substitution("".join(parts), variables > 0, tuple(names), tuple(missing), is_broken)


def without_defaults(text: str) -> str:
    """Return `text` with its variables named, their defaults left out: fit to be shown."""
    return _DOLLAR.sub(lambda match: f"${{{match['name']}}}" if match["name"] else match[0], text)
