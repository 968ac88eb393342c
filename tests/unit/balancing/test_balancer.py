"""What the balancer adds to a strategy: readiness, what other workers have in flight, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import Random

import msgspec
import pytest

from pcs_gateway.backends.backend import AdministrativeState, Backend
from pcs_gateway.backends.member import Member
from pcs_gateway.balancing import LoadBalancer, StrategyContext
from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy
from pcs_gateway.errors import NoHealthyInstances
from tests.fakes.members import make_members

LIMIT = 4


def make_balancer(members: list[Member], others: dict[str, int] | None = None) -> LoadBalancer:
    """Give a balancer of these members; `others` is what other workers have in flight, by name."""

    def read_others(asked: Sequence[Member]) -> int:
        for member in asked:
            member.refresh((others or {}).get(member.name, 0))
        return len(asked)

    tickets = count()
    strategy = LeastConnectionsStrategy(StrategyContext(lambda: next(tickets), Random(1)))
    balancer = LoadBalancer("pool", strategy, LIMIT, read_others)
    balancer.replace(members, LIMIT)
    return balancer


def drained(backend: Backend) -> Backend:
    """The same backend, taken out by an operator."""
    return msgspec.structs.replace(
        backend, ready=False, reason="draining", administrative_state=AdministrativeState.DRAINING
    )


class TestHealthyInstances:
    """The specification's question, which is not that for readiness."""

    def test_are_those_that_passed_their_checks(self) -> None:
        """An unhealthy one is left out; one that is healthy and drained is not."""
        members = make_members(1, 1, 1, unready=[1])
        members[2].backend = drained(members[2].backend)
        balancer = make_balancer(members)

        assert ["b0", "b2"] == [member.name for member in balancer.get_healthy_instances()]
        assert ["b0"] == [member.name for member in balancer.instances.members]


class TestLimit:
    """`connections.max_per_backend`."""

    def test_attempts_of_other_workers_count(self) -> None:
        """A backend that others fill gets nothing, and when all are full the request has to wait."""
        others = {"b0": LIMIT}
        balancer = make_balancer(make_members(1, 1), others)

        leases = [balancer.route_request(None, 1.0) for _ in range(LIMIT)]
        taken = [lease.member.name for lease in leases if lease is not None and lease.member is not None]

        assert ["b1"] * LIMIT == taken
        assert balancer.route_request(None, 1.0) is None

    def test_counts_of_others_are_at_most_a_millisecond_old(self) -> None:
        """What another worker gave back is seen a millisecond later."""
        others = {"b0": LIMIT}
        balancer = make_balancer(make_members(1), others)
        assert balancer.route_request(None, 1.0) is None

        others["b0"] = 0

        assert balancer.route_request(None, 1.0 + 1.01 * LoadBalancer.OLDEST) is not None


class TestNobodyIsReady:
    def test_each_backend_is_explained(self) -> None:
        """The error has a line for each, with its last check, and the words of the specification."""
        balancer = make_balancer(make_members(1, 1, unready=[0, 1]))

        with pytest.raises(NoHealthyInstances, match="No healthy instances available"):
            balancer.route_request(None, 1.0)

        assert [f"b{n}: unhealthy; last check: 200 in 1 ms" for n in (0, 1)] == balancer.explain()

    def test_who_was_tried_is_not_asked_again(self) -> None:
        """When all that are ready were tried there is nobody left."""
        members = make_members(1, 1)
        balancer = make_balancer(members)

        with pytest.raises(NoHealthyInstances):
            balancer.route_request(None, 1.0, tried=members)
