"""Gateways of real processes that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.processes.gateway import Gateway, plan_for

Start = Callable[..., Gateway]
"""Starts a gateway; keyword arguments change its plan."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start gateways, each with a log of its own; all are gone after the test."""
    started: list[Gateway] = []

    def start_one(**changes: Any) -> Gateway:
        gateway = Gateway(plan_for(tmp_path, **changes), tmp_path / f"log-{len(started)}")
        started.append(gateway)
        return gateway

    yield start_one
    for gateway in started:
        gateway.stop()
