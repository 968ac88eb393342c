"""What every strategy keeps, whoever wrote it; a new one joins by standing in the table."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from pcs_gateway.backends.member import Member
from pcs_gateway.balancing import STRATEGIES, LoadBalancer, LoadBalancingStrategy, StrategyContext
from pcs_gateway.errors import NoHealthyInstances
from tests.fakes.members import make_members


@pytest.fixture(params=sorted(STRATEGIES))
def strategy(request: pytest.FixtureRequest) -> LoadBalancingStrategy:
    """Give each strategy of the table."""
    tickets = count(1)
    context = StrategyContext(take_ticket=lambda: next(tickets), random=Random(7))
    return STRATEGIES[request.param](context)


def balancer_of(strategy: LoadBalancingStrategy, members: list[Member], maximum: int = 1000) -> LoadBalancer:
    """Give a balancer over these members."""
    balancer = LoadBalancer("pool", strategy, maximum)
    balancer.replace(members, maximum)
    return balancer


class TestEveryStrategy:
    """Rules that hold for all strategies."""

    def test_selects_one_of_the_instances(self, strategy: LoadBalancingStrategy) -> None:
        """The proposal is always one of the ready members."""
        balancer = balancer_of(strategy, make_members(1, 2, 3))

        chosen = {strategy.select_instance(balancer.instances, None) for _ in range(200)}

        assert chosen <= set(balancer.instances)
        assert len(chosen) >= 1

    def test_orders_all_the_others_once(self, strategy: LoadBalancingStrategy) -> None:
        """After the first, every other instance is proposed exactly once."""
        balancer = balancer_of(strategy, make_members(1, 1, 4, 2))
        first = strategy.select_instance(balancer.instances, None)

        others = list(strategy.order(balancer.instances, None, first))

        assert {m.name for m in balancer.instances} - {first.name} == {m.name for m in others}
        assert len(balancer.instances) - 1 == len(others)

    def test_spreads_held_leases_over_all_backends(self, strategy: LoadBalancingStrategy) -> None:
        """Leases that are held reach every backend."""
        members = make_members(1, 1, 1)
        balancer = balancer_of(strategy, members)

        for _ in range(60):
            balancer.route_request(None, 0.0)

        assert all(member.in_flight > 0 for member in members)
        assert 60 == sum(member.in_flight for member in members)

    def test_unready_backend_gets_no_attempts(self, strategy: LoadBalancingStrategy) -> None:
        """A member that is not ready is never leased."""
        members = make_members(1, 1, 1, unready=(1,))
        balancer = balancer_of(strategy, members)

        for _ in range(60):
            balancer.route_request(None, 0.0)

        assert 0 == members[1].in_flight

    def test_tried_backend_gets_no_second_attempt(self, strategy: LoadBalancingStrategy) -> None:
        """What was tried is passed over, and when all were tried there is nobody."""
        members = make_members(1, 1)
        balancer = balancer_of(strategy, members)

        leases = [balancer.route_request(None, 0.0, tried=(members[0],)) for _ in range(20)]

        assert {members[1]} == {lease.member for lease in leases if lease is not None}
        with pytest.raises(NoHealthyInstances):
            balancer.route_request(None, 0.0, tried=tuple(members))

    def test_limit_is_kept_and_then_the_request_waits(self, strategy: LoadBalancingStrategy) -> None:
        """At max_per_backend everywhere there is no lease; an ended lease makes room for one."""
        members = make_members(1, 5, 1)
        balancer = balancer_of(strategy, members, maximum=4)

        leases = [balancer.route_request(None, 0.0) for _ in range(12)]

        assert [4, 4, 4] == [member.in_flight for member in members]
        assert balancer.route_request(None, 0.0) is None
        assert leases[0] is not None
        leases[0].end()
        assert balancer.route_request(None, 0.0) is not None
