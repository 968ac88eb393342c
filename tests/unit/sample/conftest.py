"""A running sample instance for each test."""

from collections.abc import AsyncIterator

import pytest

from pcs_gateway.sample import SampleConfig, SampleServer


@pytest.fixture
async def sample() -> AsyncIterator[SampleServer]:
    """One instance with its data in memory and nothing wrong with it."""
    async with SampleServer(SampleConfig(instance="one", seed=1)) as server:
        yield server
