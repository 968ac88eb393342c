"""
What of a configuration may be shown.

Masked are the fields that are marked secret, values under keys that sound like secrets, credentials
in URLs, and every text that came from an environment variable: a variable is where people keep what
does not belong into a file, and nothing here can tell which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.config.references import Path
from pcs_gateway.config.schema import kind_at
from pcs_gateway.section import CREDENTIALS, PRIVATE_URL, SECRET, Mark

MASK = "***"

_SECRET_NAME = re.compile(r"authorization|cookie|token|secret|passw|credential|api[-_]?key", re.IGNORECASE)
_USER_INFORMATION = re.compile(r"(//)[^/@\s]*@")


def masked(config: GatewayConfig, environment: Mapping[Path, str] | None = None) -> dict[str, Any]:
    """
    Return the effective configuration as plain data, fit for the admin API.

    Args:
        environment: Texts that came from environment variables, by their path, as they may be shown
            (`LoadedConfig.environment`). Numbers and durations are shown as they are.
    """
    values = config.model_dump()
    shown: dict[str, Any] = _masked(config.model_dump(mode="json"), ())
    for path, source in (environment or {}).items():
        if isinstance(_at(values, path), str):
            _replace(shown, path, source)
    return shown


def is_secret(path: Path) -> bool:
    """Return whether the value at `path` must not be shown, not even as part of an error."""
    kind = kind_at(path)
    if kind is not None and kind.mark is not None:
        return True
    return _is_chosen_key(path) and _SECRET_NAME.search(str(path[-1])) is not None


def _is_chosen_key(path: Path) -> bool:
    """Return whether the last key of `path` was chosen by the operator, not by a model."""
    parent = kind_at(path[:-1])
    return bool(path) and (parent is None or parent.section is None)


def without_credentials(text: str) -> str:
    """Return `text` with the user names and passwords of its URLs masked."""
    return _USER_INFORMATION.sub(rf"\1{MASK}@", text)


def _masked(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _masked(member, (*path, key)) for key, member in value.items()}
    if isinstance(value, list):
        return [_masked(item, (*path, index)) for index, item in enumerate(value)]
    if not isinstance(value, str) or not value:
        return value
    kind = kind_at(path)
    mark = kind.mark if kind is not None else None
    if mark is not None:
        return MASKS[mark](value)
    return MASK if is_secret(path) else without_credentials(value)


def _private_url(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/{MASK}"


MASKS: Mapping[Mark, Callable[[str], str]] = {
    SECRET: lambda _: MASK,
    CREDENTIALS: without_credentials,
    PRIVATE_URL: _private_url,
}


def _at(value: Any, path: Path) -> Any:
    """Return the value at `path`; None when there is nothing, as after a list was completed."""
    try:
        for part in path:
            value = value[part]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def _replace(value: Any, path: Path, text: str) -> None:
    *parents, last = path
    container = _at(value, tuple(parents))
    if container is not None and container[last] != MASK:
        container[last] = text
