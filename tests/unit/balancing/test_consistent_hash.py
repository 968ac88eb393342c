"""Keys stay where they are, as evenly as weights say, and no backend drowns."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from math import ceil
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcs_gateway.backends.member import Instances, Lease, Member
from pcs_gateway.balancing import LoadBalancer, StrategyContext
from pcs_gateway.balancing.consistent_hash import ConsistentHashStrategy
from tests.fakes.members import Request, changed, make_members

KEYS = [f"tenant-{number}" for number in range(500)]


def make_strategy(hash_on: str = "header:X-Tenant", factor: float = 1.25) -> ConsistentHashStrategy:
    """Give a strategy with seeded chance."""
    return ConsistentHashStrategy(StrategyContext(lambda: 0, Random(1), hash_on, factor))


def make_balancer(members: Sequence[Member], maximum: int = 1000, factor: float = 1.25) -> LoadBalancer:
    """Give a balancer that hashes on X-Tenant."""
    balancer = LoadBalancer("pool", make_strategy(factor=factor), maximum)
    balancer.replace(members, maximum)
    return balancer


def of_tenant(tenant: str) -> Request:
    """A request of this tenant."""
    return Request(fields={"Accept": "*/*", "X-Tenant": tenant})


def homes(members: Sequence[Member], keys: Sequence[str] = KEYS) -> dict[str, str]:
    """Which backend each key goes to while nothing else is in flight."""
    strategy, instances = make_strategy(), Instances(members)
    return {key: strategy.select_instance(instances, of_tenant(key)).name for key in keys}


WEIGHTS = st.lists(st.integers(1, 9), min_size=2, max_size=9)


class TestAffinity:
    @given(weights=WEIGHTS, gone=st.integers(0, 8))
    @settings(max_examples=30, deadline=None)
    def test_only_the_keys_of_a_backend_that_leaves_move(self, weights: list[int], gone: int) -> None:
        """Every other key stays where it was; and when the backend is back, all are where they were."""
        members = make_members(*weights)
        leaving = members[gone % len(members)]
        before = homes(members)
        after = homes([member for member in members if member is not leaving])

        moved = {key for key in KEYS if before[key] != after[key]}

        assert {key for key in KEYS if before[key] == leaving.name} == moved
        assert before == homes(members)

    @given(weights=WEIGHTS, weight=st.integers(1, 9))
    @settings(max_examples=30, deadline=None)
    def test_another_weight_moves_keys_only_to_or_from_that_backend(
        self, weights: list[int], weight: int
    ) -> None:
        """Who gains gets keys from the others, who loses gives some away; none moves between the others."""
        members = make_members(*weights)
        before, changed_one = homes(members), members[0]
        grows = weight >= changed_one.weight
        changed(changed_one, weight=weight)
        after = homes(members)

        moved = [key for key in KEYS if before[key] != after[key]]

        assert all((after if grows else before)[key] == changed_one.name for key in moved)

    def test_order_of_the_backends_does_not_matter(self) -> None:
        """The same backends in another order have the same keys."""
        members = make_members(1, 2, 3, 1)

        assert homes(members) == homes(members[::-1])

    def test_other_processes_agree(self) -> None:
        """Nothing depends on the process: a worker beside this one, or after a restart, finds the same."""
        program = (
            "from tests.fakes.members import make_members\n"
            "from tests.unit.balancing.test_consistent_hash import homes\n"
            "print(','.join(homes(make_members(1, 2, 1)).values()))"
        )
        found = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )

        assert list(homes(make_members(1, 2, 1)).values()) == found.stdout.strip().split(",")

    def test_places_are_a_fixed_truth(self) -> None:
        """A later release must find them, too: whoever changes them moves the keys of every installation."""
        found = homes(make_members(1, 1, 1, 2), KEYS[:12]).values()

        assert ["b3", "b0", "b0", "b2", "b2", "b3", "b2", "b3", "b1", "b3", "b0", "b3"] == list(found)


class TestEvenness:
    @pytest.mark.parametrize("weights", [(1,) * 10, (1, 2, 3, 4)])
    def test_keys_are_spread_by_weight(self, weights: tuple[int, ...]) -> None:
        """Twenty thousand keys: each backend has its share within a tenth."""
        keys = [f"user-{number}" for number in range(20_000)]
        counted = Counter(homes(make_members(*weights), keys).values())
        fair = len(keys) / sum(weights)

        for position, weight in enumerate(weights):
            assert 0.9 < counted[f"b{position}"] / (fair * weight) < 1.1

    def test_keys_of_a_backend_that_leaves_go_to_all_others(self) -> None:
        """Not to a neighbour: nine others take about a ninth each."""
        keys = [f"user-{number}" for number in range(20_000)]
        members = make_members(*(1,) * 10)
        before, after = homes(members, keys), homes(members[1:], keys)

        taken = Counter(after[key] for key in keys if before[key] == "b0")

        assert 9 == len(taken)
        assert max(taken.values()) < 1.5 * min(taken.values())


class TestBoundedLoad:
    @given(
        weights=WEIGHTS,
        factor=st.sampled_from([1.0, 1.1, 1.25, 2.0]),
        tenants=st.lists(st.integers(0, 5), min_size=1, max_size=60),
        ended=st.lists(st.integers(0, 100), max_size=20),
    )
    @settings(max_examples=60, deadline=None)
    def test_nobody_takes_more_than_the_bound(
        self, weights: list[int], factor: float, tenants: list[int], ended: list[int]
    ) -> None:
        """Whatever the keys: after each lease, at most ceil(factor × weight × mean in flight per weight)."""
        members = make_members(*weights)
        balancer = make_balancer(members, factor=factor)
        leases: list[Lease] = []
        for turn, tenant in enumerate(tenants):
            lease = balancer.route_request(of_tenant(f"tenant-{tenant}"), 0.0)
            assert lease is not None
            assert lease.member is not None
            leases.append(lease)
            mean = sum(member.in_flight for member in members) / sum(weights)

            assert lease.member.in_flight <= ceil(factor * lease.member.weight * mean - 1e-9)
            if turn < len(ended):
                leases[ended[turn] % len(leases)].end()

    def test_a_hot_key_overflows_to_its_next_backends_in_order(self) -> None:
        """The one key of all traffic: its first backend has most, and none has much more than its share."""
        members = make_members(1, 1, 1, 1)
        balancer = make_balancer(members)
        for _ in range(40):
            balancer.route_request(of_tenant("hot"), 0.0)

        assert 40 == sum(member.in_flight for member in members)
        assert max(member.in_flight for member in members) == ceil(1.25 * 40 / 4)

    def test_attempts_of_other_workers_count(self) -> None:
        """A backend that another worker fills is passed over."""
        members = make_members(1, 1, 1)
        balancer = make_balancer(members)
        first = balancer.strategy.select_instance(balancer.instances, of_tenant("a"))
        first.refresh(9)

        assert first is not balancer.route_request(of_tenant("a"), 0.0).member  # type: ignore[union-attr]

    def test_another_attempt_goes_to_the_next_of_the_ranking(self) -> None:
        """A retry of a key always finds the same second backend: its home if the first were not there."""
        members = make_members(1, 1, 1, 1)
        balancer = make_balancer(members)
        first = balancer.strategy.select_instance(balancer.instances, of_tenant("a"))
        without = [member for member in members if member is not first]
        second = homes(without, ["a"])["a"]
        lease = balancer.route_request(of_tenant("a"), 0.0, tried=(first,))

        assert second == lease.member.name  # type: ignore[union-attr]


class TestKeys:
    @pytest.mark.parametrize(
        ("hash_on", "one", "same", "other"),
        [
            (
                "header:X-Tenant",
                Request(fields={"x-tenant": "a"}),
                Request(b"/b", "192.0.2.2", {"Accept": "*/*", "X-TENANT": "a"}),
                Request(fields={"X-Tenant": "b"}),
            ),
            (
                "header:X-Tenant",
                Request(fields={"X-Tenant": "a", "x-tenant": "b"}),
                Request(fields={"X-Tenant": "a, b"}),
                Request(fields={"X-Tenant": "a"}),
            ),
            (
                "cookie:session",
                Request(fields={"Cookie": "session=1"}),
                Request(b"/b", "192.0.2.2", {"Cookie": "a=b; session=1"}),
                Request(fields={"Cookie": "session=2"}),
            ),
            (
                "path",
                Request(b"/a/b?x=1"),
                Request(b"http://other.example/a/%62?x=2", "192.0.2.2"),
                Request(b"/a/c"),
            ),
            (
                "client_address",
                Request(b"/a", "192.0.2.7"),
                Request(b"/b", "192.0.2.7", {"Accept": "*/*"}),
                Request(b"/a", "2001:db8::1"),
            ),
        ],
    )
    def test_the_key_alone_decides(self, hash_on: str, one: Request, same: Request, other: Request) -> None:
        """Requests with the same key share a backend, whatever else differs; another key may have another."""
        strategy, instances = make_strategy(hash_on), Instances(make_members(*(1,) * 50))

        chosen = [strategy.select_instance(instances, request) for request in (one, same, other)]

        assert chosen[0] is chosen[1]
        assert chosen[0] is not chosen[2]

    def test_requests_without_the_key_go_to_the_least_loaded(self) -> None:
        """Held leases settle by weight; equal ones take turns by chance."""
        members = make_members(1, 3)
        balancer = make_balancer(members)

        for _ in range(80):
            balancer.route_request(Request(fields={"Accept": "*/*"}), 0.0)

        assert [20, 60] == [member.in_flight for member in members]

        idle = make_balancer(make_members(1, 1, 1))
        chosen = {idle.strategy.select_instance(idle.instances, Request()).name for _ in range(50)}
        assert {"b0", "b1", "b2"} == chosen


class TestSlowStart:
    def test_keys_come_back_one_after_another_and_move_once(self) -> None:
        """With its ramp a backend regains its own keys, more and more of them, and never another's."""
        members = make_members(1, 1, 1)
        full = homes(members)
        own = {key for key, name in full.items() if name == "b0"}
        before: set[str] = set()
        for ramp in (0.1, 0.3, 0.6, 1.0):
            members[0].ramp = ramp
            now = {key for key, name in homes(members).items() if name == "b0"}

            assert before <= now <= own
            assert abs(len(now) / len(own) - ramp) < 0.12
            before = now
        assert own == before
