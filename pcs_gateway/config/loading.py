"""A configuration file read, checked, and told about: all of its problems at once, or a `GatewayConfig`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from pcs_gateway.config.document import MOST_BYTES, Document, parse
from pcs_gateway.config.explaining import explained, unheld
from pcs_gateway.config.masking import masked
from pcs_gateway.config.model import REFERENCES_CHECKED, GatewayConfig
from pcs_gateway.config.notices import notices
from pcs_gateway.config.references import Path, dangling, path_text
from pcs_gateway.errors import ConfigurationError, Problem
from pcs_gateway.units import UNITS_REQUIRED

DEFAULT_FILE = FilePath("config/gateway.yaml")
"""Where `serve` looks, from the working directory, when it is not told."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """
    A configuration and where it came from.

    Attributes:
        path: The file, as it was named.
        notices: One line for each thing that an operator should know; to be said at start-up.
        digest: Of the file's bytes; another one means that the file has changed.
        lines: Where each value of the file stands, by its path.
        environment: Texts that came from environment variables, by their path, as they may be shown.
    """

    config: GatewayConfig
    path: FilePath
    notices: list[str]
    digest: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    environment: Mapping[Path, str] = field(default_factory=dict)

    def masked(self) -> dict[str, Any]:
        """Return the effective configuration with all secrets masked."""
        return masked(self.config, self.environment)


def load(path: FilePath | str, environ: Mapping[str, str]) -> LoadedConfig:
    """
    Read and check a configuration file.

    Args:
        environ: The environment that `${NAME}` reads.

    Raises:
        ConfigurationError: The file cannot be read or has problems; all of them are in it.
    """
    path = FilePath(path)
    content = _read(path)
    document = parse(_decoded(content, path), str(path), environ)
    config = checked(document)
    digest = hashlib.sha256(content).hexdigest()
    told = [f"{path}:{notice}" for notice in notices(config, document.data, document.lines)]
    return LoadedConfig(config, path, told, digest, document.lines, document.environment)


def read_text(path: FilePath) -> str:
    """Return what a configuration file holds, whatever it means. Raises ConfigurationError."""
    return _decoded(_read(path), path)


def checked(document: Document) -> GatewayConfig:
    """Return the configuration that a document holds. Raises ConfigurationError with every problem."""
    problems = list(document.problems)
    unknown = {path_text(path) for path in document.unknown}
    config: GatewayConfig | None = None
    try:
        context = {UNITS_REQUIRED: True, REFERENCES_CHECKED: True}
        config = GatewayConfig.model_validate(document.data, context=context)
    except ValidationError as error:
        problems += [one for one in explained(error, document) if one.path not in unknown]
    problems += [one for one in unheld(dangling(document.data), document) if one.path not in unknown]
    if problems or config is None:
        raise ConfigurationError(sorted(problems, key=lambda one: one.line))
    return config


def _decoded(content: bytes, path: FilePath) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError([Problem(str(path), line, "", "", "UTF-8 text", "not text")]) from None


def _read(path: FilePath) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError([Problem(str(path), 0, "", "", "", f"cannot be read: {reason}")]) from None
    except ValueError:
        raise ConfigurationError([Problem("", 0, "", "", "the path of a file", "not a file name")]) from None
