"""Each strategy's own rule."""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random

import pytest

from pcs_gateway.backends.member import FAILURE_SECONDS, LATENCY_HALF_LIFE, Lease, Member
from pcs_gateway.balancing import LoadBalancer, StrategyContext
from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy
from pcs_gateway.balancing.least_time import LeastTimeStrategy
from pcs_gateway.balancing.round_robin import LONGEST_SEQUENCE, RoundRobinStrategy, smooth_sequence
from pcs_gateway.balancing.two_choices import TwoChoicesStrategy
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.proxy.other_workers import OtherWorkers
from tests.fakes.members import make_members


def context(seed: int = 1) -> StrategyContext:
    """Give tickets 1, 2, 3 … and seeded chance."""
    tickets = count(1)
    return StrategyContext(take_ticket=lambda: next(tickets), random=Random(seed))


def picks(strategy: object, members: list[Member], number: int) -> Counter[str]:
    """Count who is picked when every lease ends at once."""
    balancer = LoadBalancer("pool", strategy, 1000)  # type: ignore[arg-type]
    balancer.replace(members, 1000)
    counted: Counter[str] = Counter()
    for _ in range(number):
        lease = balancer.route_request(None, 0.0)
        assert lease is not None
        counted[lease.member.name] += 1  # type: ignore[union-attr]
        lease.end()
    return counted


class TestRoundRobin:
    """Turns by ticket."""

    def test_equal_backends_get_equal_turns(self) -> None:
        """Nine requests to three equal backends are 3/3/3."""
        assert {"b0": 3, "b1": 3, "b2": 3} == picks(RoundRobinStrategy(context()), make_members(1, 1, 1), 9)

    def test_two_workers_with_one_counter_take_exact_turns(self) -> None:
        """Requests that alternate between workers still go 3/3/3: the ticket is shared."""
        shared = context()
        workers = []
        for _ in range(2):
            balancer = LoadBalancer("pool", RoundRobinStrategy(shared), 1000)
            balancer.replace(make_members(1, 1, 1), 1000)
            workers.append(balancer)
        counted: Counter[str] = Counter()

        for turn in range(9):
            lease = workers[turn % 2].route_request(None, 0.0)
            counted[lease.member.name] += 1  # type: ignore[union-attr]

        assert {"b0": 3, "b1": 3, "b2": 3} == counted

    def test_weights_are_exact_over_one_round(self) -> None:
        """Each backend stands in the sequence as often as its weight says."""
        assert {"b0": 50, "b1": 10, "b2": 10} == picks(
            RoundRobinStrategy(context()), make_members(5, 1, 1), 70
        )

    def test_weighted_turns_do_not_come_in_bursts(self) -> None:
        """With weights 5, 1, 1 no more than four turns in a row are the heavy one's, also over the edge."""
        sequence = smooth_sequence([5, 1, 1]) * 3
        longest = run = 0
        for position in sequence:
            run = run + 1 if position == 0 else 0
            longest = max(longest, run)

        assert longest <= 4
        assert Counter(smooth_sequence([5, 1, 1])) == {0: 5, 1: 1, 2: 1}

    def test_common_factors_shorten_the_sequence(self) -> None:
        """Weights 100 and 200 are the same as 1 and 2."""
        assert 3 == len(smooth_sequence([100, 200]))

    def test_sequence_of_large_weights_is_bounded(self) -> None:
        """Weights with a huge sum are rounded, and the small one still gets its turn."""
        weights = [997] * 40 + [1]
        sequence = smooth_sequence(weights)

        assert len(sequence) <= LONGEST_SEQUENCE + len(weights)
        assert 40 in sequence


class TestLeastConnections:
    """Fewest in flight per weight."""

    def test_least_loaded_backend_is_chosen(self) -> None:
        """The backend with less in flight takes the next attempt, whichever it is."""
        members = make_members(1, 1, 1)
        balancer = LoadBalancer("pool", LeastConnectionsStrategy(context()), 1000)
        balancer.replace(members, 1000)
        Lease(members[0])
        Lease(members[2])

        assert members[1] is balancer.route_request(None, 0.0).member  # type: ignore[union-attr]

    def test_weight_divides_in_flight(self) -> None:
        """Held leases settle in proportion to the weights."""
        members = make_members(1, 3)
        balancer = LoadBalancer("pool", LeastConnectionsStrategy(context()), 1000)
        balancer.replace(members, 1000)

        for _ in range(400):
            balancer.route_request(None, 0.0)

        assert [100, 300] == [member.in_flight for member in members]

    def test_idle_backends_take_turns(self) -> None:
        """Ties rotate: no idle backend is preferred."""
        counted = picks(LeastConnectionsStrategy(context()), make_members(1, 1, 1), 300)

        assert {"b0": 100, "b1": 100, "b2": 100} == counted

    def test_other_workers_count(self) -> None:
        """What other workers show on the scoreboard is load too."""
        members = make_members(1, 1)
        board = Scoreboard.create()
        for row in (1, 2):
            board.occupy(row, Role.WORKER, 1, row)
        board.row(2).in_flight[members[0].column] = 9
        others = OtherWorkers(board, board.row(1))
        balancer = LoadBalancer("pool", LeastConnectionsStrategy(context()), 1000, others)
        balancer.replace(members, 1000)

        chosen = [balancer.route_request(None, 1.0).member for _ in range(5)]  # type: ignore[union-attr]

        assert [members[1]] * 5 == chosen


class TestTwoChoices:
    """The better of two."""

    def test_busiest_backend_is_never_chosen(self) -> None:
        """Of two different backends the busier one loses, so the busiest of all is never taken."""
        members = make_members(1, 1, 1, 1)
        for _ in range(50):
            Lease(members[2])

        counted = picks(TwoChoicesStrategy(context()), members, 400)

        assert 0 == counted["b2"]
        assert 3 == len(counted)

    def test_idle_backends_share_by_weight(self) -> None:
        """Idle backends with weights 1 and 3 are chosen about 1 to 3 (tolerance 5 points)."""
        counted = picks(TwoChoicesStrategy(context()), make_members(1, 3), 4000)

        assert 0.75 == pytest.approx(counted["b1"] / 4000, abs=0.05)


class TestLeastTime:
    """Latency × (1 + in flight) / weight."""

    def balancer(self, members: list[Member]) -> LoadBalancer:
        """Give a balancer that weighs by latency."""
        balancer = LoadBalancer("pool", LeastTimeStrategy(context()), 1000)
        balancer.replace(members, 1000)
        return balancer

    def test_slow_backend_is_avoided(self) -> None:
        """A backend sixteen times slower gets an attempt only when the fast one has sixteen in flight."""
        members = make_members(1, 1)
        balancer = self.balancer(members)
        balancer.observe(members[0], 0.010, 1.0)
        balancer.observe(members[1], 0.160, 1.0)

        for _ in range(15):
            balancer.route_request(None, 1.0)

        assert [15, 0] == [member.in_flight for member in members]

    def test_failure_counts_as_slow(self) -> None:
        """A backend that fails fast does not become the fastest."""
        members = make_members(1, 1)
        balancer = self.balancer(members)
        balancer.observe(members[0], 0.050, 1.0)
        balancer.observe_failure(members[1], 1.0)

        assert FAILURE_SECONDS == members[1].latency
        assert members[0] is balancer.route_request(None, 1.0).member  # type: ignore[union-attr]

    def test_unmeasured_backend_is_tried(self) -> None:
        """Without a measurement a backend is taken to be fast, so it gets one."""
        members = make_members(1, 1)
        balancer = self.balancer(members)
        balancer.observe(members[0], 0.001, 1.0)
        balancer.tick(1.0)

        assert members[1] is balancer.route_request(None, 1.0).member  # type: ignore[union-attr]

    def test_unmeasured_backend_is_not_buried(self) -> None:
        """Until its first answer it gets no more than its share of what is in flight."""
        members = make_members(1, 1, 1)
        balancer = self.balancer(members)
        for member in members[:2]:
            balancer.observe(member, 0.050, 1.0)
        balancer.tick(1.0)

        for _ in range(40):
            balancer.route_request(None, 1.0)

        assert [10, 10, 20] == [member.in_flight for member in members]

    def test_hanging_backend_looks_slow_before_it_answers(self) -> None:
        """What waits for longer than the average counts, and no longer when the wait is over."""
        members = make_members(1, 1)
        balancer = self.balancer(members)
        for member in members:
            balancer.observe(member, 0.050, 1.0)
        members[0].waiting = 2.0
        balancer.tick(1.1)
        hanging = [balancer.route_request(None, 1.1) for _ in range(20)]
        for lease in hanging:
            assert lease is not None
            assert lease.member is members[1]
            lease.end()
        members[0].waiting = 0.0
        balancer.tick(1.2)

        assert {*members} == {balancer.route_request(None, 1.2).member for _ in range(2)}  # type: ignore[union-attr]

    def test_avoided_backend_is_forgiven_with_time(self) -> None:
        """A latency that nobody refreshes is halved again and again, so the backend is tried at last."""
        members = make_members(1, 1)
        balancer = self.balancer(members)
        balancer.observe(members[0], 0.010, 0.0)
        balancer.observe(members[1], 1.0, 0.0)

        now = 0.0
        while members[1].latency >= 0.010:
            now += LATENCY_HALF_LIFE + 0.1
            balancer.observe(members[0], 0.010, now)
            balancer.tick(now)
            assert now < 200

        assert members[1] is balancer.route_request(None, now).member  # type: ignore[union-attr]


class TestSkipping:
    """What a worker does on its own evidence."""

    def test_skipped_backend_comes_back_with_time(self) -> None:
        """A skip ends by itself."""
        members = make_members(1, 1)
        balancer = LoadBalancer("pool", RoundRobinStrategy(context()), 1000)
        balancer.replace(members, 1000)

        balancer.skip(members[0], until=30.0, now=0.0)
        while_skipped = {balancer.route_request(None, 1.0).member for _ in range(4)}  # type: ignore[union-attr]
        balancer.tick(31.0)
        afterwards = {balancer.route_request(None, 31.0).member for _ in range(4)}  # type: ignore[union-attr]

        assert {members[1]} == while_skipped
        assert set(members) == afterwards

    def test_skipping_all_is_skipping_none(self) -> None:
        """When every ready backend is skipped, traffic goes on to all of them."""
        members = make_members(1, 1)
        balancer = LoadBalancer("pool", RoundRobinStrategy(context()), 1000)
        balancer.replace(members, 1000)

        for member in members:
            balancer.skip(member, until=30.0, now=0.0)

        assert balancer.route_request(None, 1.0) is not None
