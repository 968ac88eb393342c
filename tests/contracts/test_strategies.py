"""What every strategy keeps, whoever wrote it; a new one joins by standing in the table."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from pcs_gateway.backends.member import Member
from pcs_gateway.balancing import STRATEGIES, LoadBalancer, LoadBalancingStrategy, Rules, StrategyContext
from pcs_gateway.errors import NoHealthyInstances
from tests.fakes.members import Request, changed, make_members

REQUESTS: dict[str, list[Request | None]] = {
    "no request": [None] * 600,
    "one key": [Request(fields={"X-Tenant": "one"})] * 600,
    "many keys": [Request(fields={"X-Tenant": f"tenant-{number}"}) for number in range(600)],
    "no key": [Request(b"*", "", {})] * 600,
}


@pytest.fixture(params=sorted(STRATEGIES))
def strategy(request: pytest.FixtureRequest) -> LoadBalancingStrategy:
    """Give each strategy of the table."""
    tickets = count(1)
    context = StrategyContext(take_ticket=lambda: next(tickets), random=Random(7), hash_on="header:X-Tenant")
    return STRATEGIES[request.param](context)


@pytest.fixture(params=sorted(REQUESTS))
def requests(request: pytest.FixtureRequest) -> list[Request | None]:
    """Give requests as strategies may meet them."""
    return REQUESTS[request.param]


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

    def test_every_request_finds_the_only_member(
        self, strategy: LoadBalancingStrategy, requests: list[Request | None]
    ) -> None:
        """A pool of one needs no choice."""
        members = make_members(3)
        balancer = balancer_of(strategy, members)

        leases = [balancer.route_request(request, 0.0) for request in requests[:50]]

        assert [members[0]] * 50 == [lease.member for lease in leases if lease is not None]
        assert [] == list(strategy.order(balancer.instances, requests[0], members[0]))

    def test_held_leases_follow_the_weights(
        self, strategy: LoadBalancingStrategy, requests: list[Request | None]
    ) -> None:
        """
        Whatever is asked for, nobody ends up with much more than its share of what is in flight.

        Among members that answer equally fast, for a strategy that looks at that.
        """
        members = make_members(1, 2, 3)
        for member in members:
            member.observe_latency(0.05, 0.0)
        balancer = balancer_of(strategy, members)

        for request in requests:
            balancer.route_request(request, 0.0)

        assert 600 == sum(member.in_flight for member in members)
        for member in members:
            assert member.in_flight <= 1.25 * 100 * member.weight + 1

    def test_skipping_all_is_skipping_none(
        self, strategy: LoadBalancingStrategy, requests: list[Request | None]
    ) -> None:
        """A worker's suspicion of everybody leaves nobody without a backend."""
        members = make_members(1, 1, 1)
        balancer = balancer_of(strategy, members)
        for member in members:
            balancer.skip(member, until=30.0, now=0.0)

        chosen = {balancer.route_request(request, 1.0).member for request in requests}  # type: ignore[union-attr]

        assert set(members) == chosen

    def test_slow_start_keeps_to_the_share_of_the_ramp(
        self, strategy: LoadBalancingStrategy, requests: list[Request | None]
    ) -> None:
        """Of held leases a cold backend has no more than its weight × ramp says, plus the bound's one."""
        members = make_members(1, 1, 2)
        changed(members[2], ready_since=100.0)
        balancer = balancer_of(strategy, members)
        balancer.replace(members, 1000, Rules(slow_start=10.0), 100.0)

        for request in requests:
            balancer.route_request(request, 100.0)

        assert 600 == sum(member.in_flight for member in members)
        assert members[2].in_flight <= 1.25 * 600 * 0.2 / 2.2 + 1
        assert members[2].in_flight or requests[0] is requests[1]  # one key may be none of its first keys

    def test_levels_are_filled_one_after_the_other(
        self, strategy: LoadBalancingStrategy, requests: list[Request | None]
    ) -> None:
        """The second level takes nothing until the first is full, and then what the first cannot take."""
        members = [*make_members(1, 1), *[changed(member, priority=1) for member in make_members(1, 1)]]
        balancer = balancer_of(strategy, members, maximum=200)

        for request in requests[:400]:
            balancer.route_request(request, 0.0)
        assert [200, 200, 0, 0] == [member.in_flight for member in members]
        for request in requests[400:]:
            balancer.route_request(request, 0.0)

        assert 600 == sum(member.in_flight for member in members)
        assert members[2].in_flight > 0

    def test_traffic_spills_over_by_share(
        self, strategy: LoadBalancingStrategy, requests: list[Request | None]
    ) -> None:
        """One of two is ready: seven tenths stay, three go to the next level."""
        members = [*make_members(1, 1, unready=(1,)), changed(make_members(1)[0], priority=1)]
        balancer = balancer_of(strategy, members)

        for request in requests:
            balancer.route_request(request, 0.0)

        assert 600 == members[0].in_flight + members[2].in_flight
        if requests[0] is requests[1] and strategy.draw(requests[0]) == strategy.draw(requests[0]):
            assert 0 in {members[0].in_flight, members[2].in_flight}  # one key stays together
        else:
            assert 360 <= members[0].in_flight <= 480
