"""A backend that became ready takes a growing share, under every strategy the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.member import Lease, Member
from pcs_gateway.balancing import STRATEGIES, LoadBalancer, Rules, StrategyContext
from pcs_gateway.balancing.slow_start import FIRST_SHARE, ramp
from tests.fakes.members import Request, changed, make_members

WINDOW = 10.0
RULES = Rules(slow_start=WINDOW)
START = 1000.0


def balancer_of(
    name: str, members: Sequence[Member], now: float = START, maximum: int = 1000
) -> LoadBalancer:
    """Give a balancer with slow start at a time."""
    tickets = count()
    context = StrategyContext(lambda: next(tickets), Random(5), "header:X-Tenant")
    balancer = LoadBalancer("pool", STRATEGIES[name](context), maximum)
    balancer.replace(members, maximum, RULES, now)
    return balancer


def share_of_first(balancer: LoadBalancer, in_flight: int, number: int = 3000) -> float:
    """The share of the first member, while so many leases are held at a time."""
    counted: Counter[str] = Counter()
    held: list[Lease] = []
    for turn in range(number):
        request = Request(fields={"X-Tenant": f"t{turn}"})
        lease = balancer.route_request(request, START)
        assert lease is not None
        assert lease.member is not None
        if balancer.strategy.uses_latency:
            balancer.observe(lease.member, 0.05, START)
        counted[lease.member.name] += 1
        held.append(lease)
        if len(held) > in_flight:
            held.pop(0).end()
    for lease in held:
        lease.end()
    return counted["b0"] / number


class TestRamp:
    @given(st.floats(0.01, 1e4), st.floats(0.0, 2.0))
    def test_goes_in_a_straight_line(self, window: float, part: float) -> None:
        """From a tenth to all of it."""
        expected = min(1.0, FIRST_SHARE + (1 - FIRST_SHARE) * part)

        assert abs(ramp(50.0 + part * window, 50.0, window) - expected) < 1e-6

    def test_who_was_there_from_the_beginning_has_all(self) -> None:
        """Also just after the machine started, when the clock is small."""
        assert 1.0 == ramp(0.1, 0.0, 10.0)

    def test_a_clock_that_is_behind_gives_the_first_share(self) -> None:
        """It became ready in the future, as another process' reading of the clock may seem to say."""
        assert FIRST_SHARE == ramp(9.9, 10.0, 10.0)


class TestShare:
    @pytest.mark.parametrize("name", sorted(STRATEGIES))
    @pytest.mark.parametrize("in_flight", [0, 3, 30])
    @pytest.mark.parametrize("part", [0.0, 0.5])
    def test_is_that_of_weight_times_ramp(self, name: str, in_flight: int, part: float) -> None:
        """Idle or busy: four equal backends, of which one is at 0.1 or 0.55 of its weight.

        Under consistent_hash the bound on in flight is as small as the ramp, and turns some of its keys away.
        """
        members = make_members(1, 1, 1, 1)
        changed(members[0], ready_since=START - part * WINDOW)
        own = FIRST_SHARE + (1 - FIRST_SHARE) * part
        fair = own / (3 + own)

        found = share_of_first(balancer_of(name, members), in_flight)

        assert fair * (0.65 if name == "consistent_hash" else 0.8) < found < fair * 1.15

    @pytest.mark.parametrize("name", sorted(STRATEGIES))
    def test_all_together_begin_with_all(self, name: str) -> None:
        """Where everybody is as new, nobody is spared."""
        members = [changed(member, ready_since=START) for member in make_members(1, 1, 1, 1)]
        balancer = balancer_of(name, members)

        assert 0.2 < share_of_first(balancer, 3) < 0.3
        assert {1.0} == {member.ramp for member in members}

    def test_the_others_share_the_rest_equally(self) -> None:
        """Under round robin too: a turn that is given away goes to the next turn, not to a neighbour."""
        members = make_members(1, 1, 1, 1)
        changed(members[1], ready_since=START)
        balancer = balancer_of("round_robin", members)
        counted = Counter(_names(balancer, 3000))

        assert max(counted[f"b{n}"] for n in (0, 2, 3)) < 1.1 * min(counted[f"b{n}"] for n in (0, 2, 3))

    def test_ends_with_the_window(self) -> None:
        """The tick brings the share up, and at the end the plain way is back."""
        members = make_members(1, 1)
        changed(members[0], ready_since=START)
        balancer = balancer_of("least_connections", members)
        ramps = []
        for tenth in range(12):
            balancer.tick(START + tenth)
            ramps.append(round(members[0].ramp, 2))

        assert [0.1, 0.19, 0.28, 0.37, 0.46, 0.55, 0.64, 0.73, 0.82, 0.91, 1.0, 1.0] == ramps
        assert balancer.levels[0].pacing is None

    def test_without_slow_start_everybody_has_all(self) -> None:
        """The default."""
        members = [changed(make_members(1)[0], ready_since=START), *make_members(1)]
        balancer = balancer_of("round_robin", members)
        balancer.replace(members, 1000, Rules(), START)

        assert [1.0, 1.0] == [member.ramp for member in members]
        assert balancer.levels[0].pacing is None


class TestSaturation:
    def test_a_part_of_the_limit_is_its_limit(self) -> None:
        """When the others are full, a cold backend takes a tenth of max_per_backend, then requests wait."""
        members = make_members(1, 1)
        changed(members[0], ready_since=START)
        balancer = balancer_of("least_connections", members, maximum=20)
        leases = [balancer.route_request(None, START) for _ in range(30)]

        assert [2, 20] == [member.in_flight for member in members]
        assert 8 == leases.count(None)

    def test_it_takes_what_nobody_else_may(self) -> None:
        """A request is not refused to spare it: the other one was tried."""
        members = make_members(1, 1)
        changed(members[0], ready_since=START)
        balancer = balancer_of("least_connections", members)
        lease = balancer.route_request(None, START, tried=(members[1],))

        assert members[0] is lease.member  # type: ignore[union-attr]


class TestOwnSkips:
    def test_a_worker_ramps_up_whom_it_had_avoided(self) -> None:
        """When a skip ends by time, unrefuted, the backend comes back as after an ejection."""
        members = make_members(1, 1)
        balancer = balancer_of("round_robin", members)
        balancer.skip(members[0], START + 5, START)
        balancer.tick(START + 5.05)

        assert 0.1 < members[0].ramp < 0.11

    def test_a_refuted_skip_has_no_aftermath(self) -> None:
        """The control process denied it: the backend takes its full share at once."""
        members = make_members(1, 1)
        balancer = balancer_of("round_robin", members)
        balancer.skip(members[0], START + 5, START)
        balancer.skip(members[0], 0.0, START + 1)

        assert 1.0 == members[0].ramp


def _names(balancer: LoadBalancer, number: int) -> Iterator[str]:
    for _ in range(number):
        lease = balancer.route_request(None, START)
        assert lease is not None
        assert lease.member is not None
        yield lease.member.name
        lease.end()
