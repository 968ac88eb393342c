"""
Validation errors told to the person who wrote the file: where, what was found, what is allowed.

The validator's input is never quoted, since it may hold the value of an environment variable; what is
quoted is the text of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pcs_gateway.config.document import Document
from pcs_gateway.config.masking import is_secret, without_credentials
from pcs_gateway.config.references import Path, Reference, path_text, suggestion
from pcs_gateway.config.schema import allowed_at, keys_at
from pcs_gateway.errors import Problem

LONGEST_FOUND = 60
"""Characters of the file that are quoted."""

CONSEQUENCES = frozenset({"default_factory_not_called"})
"""Errors that only follow from another one."""


def explained(error: ValidationError, document: Document) -> list[Problem]:
    """Return the problems behind a validation error."""
    details = error.errors(include_url=False, include_input=False)
    paths = [_path(one) for one in details]
    return [
        _problem(one, path, document)
        for one, path in zip(details, paths, strict=True)
        if one["type"] not in CONSEQUENCES and not _follows(one, path, paths)
    ]


def unheld(references: list[Reference], document: Document) -> Iterator[Problem]:
    """Yield the problems of references that do not hold."""
    for one in references:
        yield Problem(
            document.file,
            document.line(one.path),
            path_text(one.path),
            found(one.path, document),
            one.allowed,
            one.message,
        )


def found(path: Path, document: Document) -> str:
    """Return what the file says at `path`, short and without secrets; empty when it says nothing."""
    if path not in document.lines:
        return ""
    value = _value(document.data, path)
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    if is_secret(path):
        return "a value that is not shown"
    text = without_credentials(document.sources.get(path, ""))
    return _quoted(text) if isinstance(value, str) else text[:LONGEST_FOUND]


def _quoted(text: str) -> str:
    line = "".join(character if character.isprintable() else "?" for character in text)
    return f'"{line}"' if len(line) <= LONGEST_FOUND else f'"{line[:LONGEST_FOUND]}…"'


def _path(details: ErrorDetails) -> Path:
    return tuple(part for part in details["loc"] if part != "[key]")


def _follows(details: ErrorDetails, path: Path, paths: list[Path]) -> bool:
    """Tell whether a list is too short only because items of it were refused."""
    return details["type"] == "too_short" and any(
        len(one) > len(path) and one[: len(path)] == path for one in paths
    )


def _problem(details: ErrorDetails, path: Path, document: Document) -> Problem:
    kind, is_key = details["type"], details["loc"][-1:] == ("[key]",)
    line, place = document.line(path), path_text(path)
    if kind == "missing":
        return Problem(document.file, line, place, "nothing", allowed_at(path), "missing")
    if kind == "extra_forbidden":
        return Problem(document.file, line, place, _quoted(str(path[-1])), *_unknown_key(path))
    said, general = str(details.get("ctx", {}).get("error", "")), allowed_at(path)
    allowed = general if general.startswith(said) else said
    message = "not allowed as a name" if is_key else "not allowed"
    what = _quoted(str(path[-1])) if is_key else found(path, document)
    return Problem(document.file, line, place, what or "nothing", allowed, message)


def _unknown_key(path: Path) -> tuple[str, str]:
    """Return what is allowed, and the message with the nearest known key."""
    known = keys_at(path[:-1])
    hint = suggestion(str(path[-1]), known)
    return ", ".join(known), f"unknown key{hint}"


def _value(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data
