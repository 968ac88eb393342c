"""What is short, and what is left for clients."""

import errno
import os

import pytest

from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.processes.shortage import (
    LEAST_CONNECTIONS,
    RESERVED,
    connections_within,
    is_of_descriptors,
    is_ours,
    needed_for_backends,
)


@pytest.mark.parametrize(
    ("number", "ours", "of_descriptors"),
    [
        (errno.EMFILE, True, True),
        (errno.ENFILE, True, True),
        (errno.ENOBUFS, True, False),
        (errno.ENOMEM, True, False),
        (errno.EADDRNOTAVAIL, False, False),
        (errno.ECONNREFUSED, False, False),
        (errno.EHOSTUNREACH, False, False),
    ],
)
def test_shortages_are_told_from_what_a_backend_does(number: int, ours: bool, of_descriptors: bool) -> None:
    """Only a lack of descriptors is helped by closing connections."""
    error = OSError(number, os.strerror(number))

    assert (ours, of_descriptors) == (is_ours(error), is_of_descriptors(error))


@pytest.mark.parametrize(
    ("descriptors", "wanted", "for_backends", "expected"),
    [
        pytest.param(32_768, 20_000, 72, 20_000, id="enough"),
        pytest.param(20_000, 20_000, 72, 20_000 - RESERVED - 72, id="lowered"),
        pytest.param(RESERVED + 1000, 20_000, 900, 500, id="half-at-least"),
        pytest.param(RESERVED + 1000, 400, 900, 400, id="no-more-than-configured"),
        pytest.param(64, 20_000, 72, LEAST_CONNECTIONS, id="far-too-few"),
        pytest.param(64, 4, 72, 4, id="far-too-few-and-fewer-configured"),
    ],
)
def test_clients_leave_backends_what_they_may_need(
    descriptors: int, wanted: int, for_backends: int, expected: int
) -> None:
    """A low limit of descriptors is taken off the clients' connections, down to half of it."""
    assert expected == connections_within(descriptors, wanted, for_backends)


def test_backends_need_as_many_as_their_pools_allow() -> None:
    """Sum over pools of backends times attempts in flight."""
    backends = [{"url": f"http://b{number}:80"} for number in range(3)]
    pools = [
        PoolConfig.model_validate({"backends": backends}),
        PoolConfig.model_validate({"backends": backends[:1], "connections": {"max_per_backend": 100}}),
    ]

    assert 3 * 24 + 100 == needed_for_backends(pools)
