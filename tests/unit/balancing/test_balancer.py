"""What the balancer adds to a strategy: readiness, what other workers have in flight, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import Random

import msgspec
import pytest

from pcs_gateway.backends.backend import AdministrativeState, Backend
from pcs_gateway.backends.member import Member
from pcs_gateway.balancing import LoadBalancer, LoadBalancingStrategy, StrategyContext
from pcs_gateway.balancing.balancer import EXACT_CELLS, OLDEST, SECONDS_PER_CELL
from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy
from pcs_gateway.balancing.round_robin import RoundRobinStrategy
from pcs_gateway.errors import NoHealthyInstances
from tests.fakes.members import make_members

LIMIT = 4


class Others:
    """Other workers: what they have in flight by name of the backend, and how often it was read."""

    def __init__(self, in_flight: dict[str, int], cells: int | None = None) -> None:
        self.in_flight = in_flight
        self.claims: dict[str, int] = {}
        """What they lease between this worker's look and its own lease."""
        self.reads = 0
        self._cells = cells

    def refresh(self, members: Sequence[Member]) -> int:
        self.reads += 1
        for member in members:
            member.refresh(self.in_flight.get(member.name, 0))
        return self._cells or len(members)

    def has_more_than_known(self, member: Member) -> bool:
        self.in_flight.update(self.claims)
        before = member.others
        member.refresh(self.in_flight.get(member.name, 0))
        return member.others > before


def make_balancer(members: list[Member], others: Others | None = None) -> LoadBalancer:
    """Give a balancer of these members, beside other workers."""
    tickets = count()
    strategy = LeastConnectionsStrategy(StrategyContext(lambda: next(tickets), Random(1)))
    balancer = LoadBalancer("pool", strategy, LIMIT, others or Others({}))
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
        balancer = make_balancer(make_members(1, 1), Others({"b0": LIMIT}))

        leases = [balancer.route_request(None, 1.0) for _ in range(LIMIT)]
        taken = [lease.member.name for lease in leases if lease is not None and lease.member is not None]

        assert ["b1"] * LIMIT == taken
        assert balancer.route_request(None, 1.0) is None


class TestOtherWorkers:
    """How old their counts may be, and what two workers do that choose in the same instant."""

    def test_few_cells_are_read_for_each_pick(self) -> None:
        """A small pool is exact: what another worker gave back is seen at once."""
        others = Others({"b0": LIMIT}, cells=EXACT_CELLS)
        balancer = make_balancer(make_members(1), others)
        assert balancer.route_request(None, 1.0) is None

        others.in_flight["b0"] = 0

        assert balancer.route_request(None, 1.0) is not None

    def test_many_cells_are_read_again_when_they_are_old(self) -> None:
        """A large pool's counts are good for a time that grows with the cost of reading them."""
        others = Others({}, cells=EXACT_CELLS + 1)
        balancer = make_balancer(make_members(1, 1), others)
        good_for = (EXACT_CELLS + 1) * SECONDS_PER_CELL

        for now in (1.0, 1.0, 1.0 + 0.9 * good_for, 1.0 + 1.1 * good_for):
            balancer.route_request(None, now)

        assert 2 == others.reads

    def test_counts_are_at_most_a_millisecond_old(self) -> None:
        """However many cells there are."""
        others = Others({}, cells=1_000_000)
        balancer = make_balancer(make_members(1, 1), others)

        for now in (1.0, 1.0 + 0.9 * OLDEST, 1.0 + 1.1 * OLDEST):
            balancer.route_request(None, now)

        assert 2 == others.reads

    def test_claim_of_the_same_instant_makes_way(self) -> None:
        """When another worker leased the same backend between look and lease, the next one is taken."""
        members = make_members(1, 1)
        others = Others({"b1": 1})
        balancer = make_balancer(members, others)
        others.claims = {"b0": 2}

        lease = balancer.route_request(None, 1.0)

        assert lease is not None
        assert lease.member is members[1]
        assert [0, 1] == [member.in_flight for member in members]

    def test_strategy_that_takes_turns_is_asked_once(self) -> None:
        """What another worker leases in the same instant is no reason to skip a turn."""
        members = make_members(1, 1)
        others = Others({})
        tickets = count()
        strategy = RoundRobinStrategy(StrategyContext(lambda: next(tickets), Random(1)))
        balancer = LoadBalancer("pool", strategy, LIMIT, others)
        balancer.replace(members, LIMIT)
        others.claims = {"b0": 1, "b1": 1}

        for _ in range(4):
            balancer.route_request(None, 1.0)

        assert [2, 2] == [member.in_flight for member in members]
        assert 4 == next(tickets)

    def test_claim_is_kept_when_nothing_else_has_room(self) -> None:
        """Another worker's lease of the same instant costs nobody the own one."""
        members = make_members(1, 1)
        others = Others({"b1": LIMIT})
        balancer = make_balancer(members, others)
        others.claims = {"b0": LIMIT + 1}

        lease = balancer.route_request(None, 1.0)

        assert lease is not None
        assert [1, 0] == [member.in_flight for member in members]


class TestInFlight:
    """What the limit of a whole pool is held against."""

    def test_attempts_of_all_workers_on_all_members_count(self) -> None:
        """Whoever is not ready any more still works on what it has."""
        balancer = make_balancer(make_members(1, 1, 1, unready=[2]), Others({"b0": 10, "b2": 2}))
        balancer.route_request(None, 1.0)

        assert 13 == balancer.in_flight(1.0)

    @pytest.mark.parametrize("strategy", [LeastConnectionsStrategy, RoundRobinStrategy])
    def test_small_pool_is_exact(self, strategy: type[LoadBalancingStrategy]) -> None:
        """Under every strategy: the others are read each time."""
        others = Others({}, cells=EXACT_CELLS)
        balancer = LoadBalancer("pool", strategy(StrategyContext(lambda: 0, Random(1))), LIMIT, others)
        balancer.replace(make_members(1), LIMIT)
        found = []
        for others.in_flight["b0"] in (0, 3, 1):
            found.append(balancer.in_flight(1.0))

        assert [0, 3, 1] == found

    def test_large_pool_reads_as_often_as_for_picks(self) -> None:
        """The own count is exact all the same."""
        others = Others({}, cells=1_000_000)
        balancer = make_balancer(make_members(1, 1), others)
        found = [balancer.in_flight(1.0)]
        others.in_flight["b0"] = 10
        balancer.route_request(None, 1.0)
        found += [balancer.in_flight(1.0), balancer.in_flight(1.0 + 1.1 * OLDEST)]

        assert ([0, 1, 11], 2) == (found, others.reads)


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
