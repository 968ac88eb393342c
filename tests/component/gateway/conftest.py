"""The whole gateway before real instances; every process is gone after its test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.processes.whole import Instance, WholeGateway, backends, instances

Start = Callable[..., WholeGateway]
"""Starts a gateway; see `start`."""

QUICK_CHECK = {"interval": "500ms", "fast_interval": "200ms", "timeout": "500ms", "rise": 2, "fall": 3}
"""An instance that dies is out after 0.5 + 2 × 0.2 seconds, jitter and the checks themselves not counted."""


@pytest.fixture
def three() -> Iterator[list[Instance]]:
    """Three instances: i0, i1 and i2."""
    with instances(3) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """
    Start a gateway before some instances and return it when it is ready.

    `pool` has keys of the pool `pcs`, `descriptors` is the limit of each process; all other keyword arguments
    are sections of the configuration.
    """
    started: list[WholeGateway] = []

    def start_one(
        these: list[Instance],
        *,
        workers: int = 2,
        pool: dict[str, Any] | None = None,
        descriptors: int | None = None,
        **sections: Any,
    ) -> WholeGateway:
        directory = tmp_path / f"gateway-{len(started)}"
        directory.mkdir()
        file = configuration(these, workers=workers, pool=pool, **sections)
        started.append(WholeGateway(directory, file, descriptors))
        started[-1].wait_until_ready(workers, len(these))
        return started[-1]

    yield start_one
    for gateway in started:
        gateway.stop()


def configuration(
    these: list[Instance], *, workers: int = 2, pool: dict[str, Any] | None = None, **sections: Any
) -> dict[str, Any]:
    """Give the configuration that `start` starts with."""
    pcs = {"backends": backends(these), "health_check": QUICK_CHECK, **(pool or {})}
    return {"workers": workers, "pools": {"pcs": pcs}, **sections}
