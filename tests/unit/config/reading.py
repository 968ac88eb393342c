"""A configuration text read as a file would be."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pcs_gateway.config.loading import LoadedConfig, load
from pcs_gateway.errors import ConfigurationError, Problem

POOLS = 'pools: {pcs: {backends: [{url: "http://127.0.0.1:8001"}]}}\n'
"""The smallest complete file."""


def pool(keys: str, backends: int = 1) -> str:
    """Return a file with one pool of so many backends, which has these keys too."""
    urls = ", ".join(f"{{url: 'http://a:{port}'}}" for port in range(1, backends + 1))
    return f"pools: {{pcs: {{backends: [{urls}], {keys}}}}}\n"


def loaded(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Load a text from a file in `directory`."""
    file = directory / "gateway.yaml"
    file.write_text(text, "utf-8")
    return load(file, environ or {})


def problems_of(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> list[Problem]:
    """Return all problems of a text that must have some."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(directory, text, environ)
    return caught.value.problems


def only(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> Problem:
    """Return the problem of a text that must have exactly one."""
    problems = problems_of(directory, text, environ)
    assert 1 == len(problems), problems
    return problems[0]


def told(directory: Path, text: str) -> list[str]:
    """Return the notices of a text, from their lines on."""
    config = loaded(directory, text)
    return [notice.removeprefix(f"{config.path}:") for notice in config.notices]
