"""
Where a running gateway is: told by its configuration file, even by one that it would refuse.

A gateway serves on while its file has an error, and that is when it must be reached. So only the sections
`state` and `admin` count here; where the YAML as a whole cannot be read, each of the two is read on its own.
What neither says is never guessed: an order must not go to another gateway.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from pcs_gateway.config.document import Document, parse
from pcs_gateway.config.loading import DEFAULT_FILE, load, read_text
from pcs_gateway.control.config import AdminConfig, StateConfig
from pcs_gateway.errors import CommandError, ConfigurationError
from pcs_gateway.processes.state_directory import LISTENERS_NAME
from pcs_gateway.section import Section

STILL_REACHED = "the running gateway can still be reached with --admin URL"

_NEXT_KEY = re.compile(r"""^(?=[\w"'])""", re.MULTILINE)
"""Where a key of the file itself begins: what belongs to it is indented, or begins with - or a bracket."""

_AnySection = TypeVar("_AnySection", bound=Section)


class Whereabouts(NamedTuple):
    """
    Where a gateway should be.

    Attributes:
        address: Of its admin API.
        token: Of its file; empty without one.
        hint: What to say when nobody answers there.
    """

    address: str
    token: str
    hint: str


def find(file: Path | None, environ: Mapping[str, str]) -> Whereabouts:
    """
    Find the gateway of a configuration file.

    Args:
        file: None for the file that `serve` would read; when there is none, the defaults tell.

    Raises:
        CommandError: The file says too little.
    """
    if file is None and not DEFAULT_FILE.exists():
        hint = f"{DEFAULT_FILE} not found; give --config FILE or --admin URL"
        return _whereabouts(StateConfig(), AdminConfig(), hint)
    path = file or DEFAULT_FILE
    try:
        config = load(path, environ).config
    except ConfigurationError as error:
        return _despite(error, path, environ)
    return _whereabouts(config.state, config.admin, f"by {path}; --admin URL reaches one that is elsewhere")


def _despite(error: ConfigurationError, path: Path, environ: Mapping[str, str]) -> Whereabouts:
    """Find the gateway of a file with these errors."""
    refused = CommandError(f"{error.problems[0]}; {STILL_REACHED}", 2)
    try:
        text = read_text(path)
    except ConfigurationError:
        raise refused from None
    state = _section(StateConfig, "state", text, environ)
    if state is None:
        raise refused
    admin = _section(AdminConfig, "admin", text, environ)
    found = _whereabouts(state, admin, f"{path} has errors; {STILL_REACHED}")
    if not found.address:
        raise refused
    return found


def _whereabouts(state: StateConfig, admin: AdminConfig | None, hint: str) -> Whereabouts:
    address, token = (admin.address, admin.token) if admin is not None else ("", "")
    return Whereabouts(_running_at(state) or address, token, hint)


def _running_at(state: StateConfig) -> str:
    """Return the admin address of the gateway that uses this state directory; empty when none does."""
    try:
        facts = json.loads(Path(state.directory, LISTENERS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    address = str(facts.get("admin", ""))
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def _section(kind: type[_AnySection], name: str, text: str, environ: Mapping[str, str]) -> _AnySection | None:
    """Return a section of a file with errors, the defaults where it has none; None when it cannot be read."""
    try:
        document = _document(name, text, environ)
        if any(path[:1] == (name,) for path in document.unknown):
            return None
        section: Any = document.data.get(name)
        return kind.model_validate({} if section is None else section)
    except (ConfigurationError, ValidationError):
        return None


def _document(name: str, text: str, environ: Mapping[str, str]) -> Document:
    """Return the whole file, or what of it stands under the key `name` when it is no YAML."""
    try:
        return parse(text, "", environ)
    except ConfigurationError:
        begins = re.compile(rf"""(["']?){name}\1\s*:""")
        parts = [part for part in _NEXT_KEY.split(text) if begins.match(part)]
        return parse("".join(parts), "", environ)
