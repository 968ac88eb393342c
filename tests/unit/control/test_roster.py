"""What is known of backends through reloads, restarts and stops of the control process."""

import pytest

from pcs_gateway.backends.backend import AdministrativeState, HealthStatus
from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.backends.health import CheckResult
from pcs_gateway.control.roster import Roster, TooManyPoolsError, UnknownBackendError, allot_slots
from pcs_gateway.control.standing import BackendKey, Ejection, Standing
from pcs_gateway.processes.scoreboard import POOLS
from tests.fakes.clock import FakeClock

PASSED = CheckResult(passed=True, detail="status 200")
FAILED = CheckResult(passed=False, detail="connection refused")
ONE, TWO, THREE = (BackendKey("pcs", f"http://127.0.0.1:{port}") for port in (8001, 8002, 8003))


def pools(*keys: BackendKey, **check: object) -> dict[str, PoolConfig]:
    """Pools with these backends; a host that is a literal needs no resolution."""
    found: dict[str, list[dict[str, str]]] = {}
    for key in keys:
        found.setdefault(key.pool, []).append({"url": key.url})
    return {
        pool: PoolConfig.model_validate({"backends": backends, "health_check": check})
        for pool, backends in found.items()
    }


def roster_of(clock: FakeClock, *keys: BackendKey, **check: object) -> Roster:
    """A roster with these backends, resolved and never checked."""
    roster = Roster(clock)
    roster.apply(pools(*keys, **check), 1)
    for standing in roster:
        standing.addresses = ("127.0.0.1",)
    return roster


def known(roster: Roster, key: BackendKey) -> Standing:
    """The standing of a backend that is there."""
    standing = roster.at(key)
    assert standing is not None
    return standing


def ready(roster: Roster) -> list[bool]:
    """Readiness of the pool's backends as published."""
    return [backend.ready for backend in roster.snapshot("pcs").backends]


class TestApply:
    def test_new_backend_is_not_ready_until_it_passed_a_check(self) -> None:
        """Nobody gets traffic on trust; the first passed check is enough."""
        roster = roster_of(FakeClock(), ONE, TWO)
        assert ready(roster) == [False, False]

        roster.observe(TWO, PASSED)
        assert ready(roster) == [False, True]

    def test_reload_keeps_what_is_known(self) -> None:
        """The same pool and URL keep health, orders, ejection, weight and column under another name."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO)
        roster.observe(TWO, PASSED)
        two = known(roster, TWO)
        two.weight_override = 9
        two.ejection = Ejection(clock.monotonic() + 30, "5 gateway failures in a row")
        two.administrative_state = AdministrativeState.DRAINING
        before = roster.snapshot("pcs").backends[1]

        renamed = {"pcs": PoolConfig.model_validate({"backends": [{"url": TWO.url, "name": "second"}]})}
        gone = roster.apply(renamed, 2)

        after = roster.snapshot("pcs").backends[0]
        assert gone == [ONE]
        assert after.name == "second"
        assert (before.health, before.weight, before.ejected_until, before.column, before.generation) == (
            after.health,
            after.weight,
            after.ejected_until,
            after.column,
            after.generation,
        )
        assert after.administrative_state is AdministrativeState.DRAINING

    def test_backend_that_was_removed_is_forgotten(self) -> None:
        """A removed backend that comes back is checked before it gets traffic."""
        roster = roster_of(FakeClock(), ONE, TWO)
        roster.observe(TWO, PASSED)
        roster.apply(pools(ONE), 2)
        assert roster.at(TWO) is None

        roster.apply(pools(ONE, TWO), 3)
        assert known(roster, TWO).health.status is HealthStatus.UNKNOWN

    def test_same_url_in_two_pools_is_two_backends(self) -> None:
        """Pools share neither health nor columns."""
        other = BackendKey("reports", ONE.url)
        roster = roster_of(FakeClock(), ONE, other)
        roster.observe(ONE, PASSED)

        assert known(roster, other).health.status is HealthStatus.UNKNOWN
        assert known(roster, other).column != known(roster, ONE).column

    def test_result_for_a_removed_backend_is_dropped(self) -> None:
        """A check that ends after its backend was removed changes nothing."""
        roster = roster_of(FakeClock(), ONE)
        roster.observe(TWO, PASSED)

        assert [standing.key for standing in roster] == [ONE]


class TestFind:
    def test_by_the_names_people_use(self) -> None:
        """A backend is found by pool and name."""
        roster = roster_of(FakeClock(), ONE, TWO)

        assert roster.find("pcs", "127.0.0.1:8002").key == TWO

    @pytest.mark.parametrize(
        ("pool", "backend", "message"),
        [
            ("nope", "one", "there is no pool 'nope'; there are: pcs"),
            ("pcs", "one", "pool 'pcs' has no backend 'one'; it has: 127.0.0.1:8001, 127.0.0.1:8002"),
        ],
    )
    def test_unknown_names_are_answered_with_the_known_ones(
        self, pool: str, backend: str, message: str
    ) -> None:
        """The error tells what there is."""
        with pytest.raises(UnknownBackendError) as raised:
            roster_of(FakeClock(), ONE, TWO).find(pool, backend)

        assert str(raised.value) == message


class TestExpire:
    def test_old_check_counts_as_none(self) -> None:
        """A backend that was not checked for `max_age` is not ready any more."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, max_age="30s")
        roster.observe(ONE, PASSED)

        clock.advance(30.0)
        roster.expire()
        assert ready(roster) == [True]

        clock.advance(0.1)
        roster.expire()
        assert ready(roster) == [False]

    def test_ejection_ends_by_time(self) -> None:
        """An ejected backend is ready again when its time is over."""
        clock = FakeClock()
        roster = roster_of(clock, ONE)
        roster.observe(ONE, PASSED)
        known(roster, ONE).ejection = Ejection(clock.monotonic() + 10.0, "5 gateway failures in a row")
        roster.expire()
        assert ready(roster) == [False]

        clock.advance(10.0)
        roster.expire()
        assert ready(roster) == [True]

    def test_recovery_ends_an_ejection(self) -> None:
        """What traffic proved of a backend that died says nothing of the one that came back."""
        clock = FakeClock()
        roster = roster_of(clock, ONE)
        roster.observe(ONE, PASSED)
        known(roster, ONE).ejection = Ejection(clock.monotonic() + 30.0, "5 gateway failures in a row")

        for _ in range(3):
            roster.observe(ONE, FAILED)
        roster.observe(ONE, PASSED)
        assert ready(roster) == [False]

        roster.observe(ONE, PASSED)
        assert ready(roster) == [True]

    def test_passed_check_ends_no_ejection(self) -> None:
        """A check that never failed did not see what traffic saw."""
        clock = FakeClock()
        roster = roster_of(clock, ONE)
        roster.observe(ONE, PASSED)
        known(roster, ONE).ejection = Ejection(clock.monotonic() + 30.0, "5 gateway failures in a row")

        for result in (FAILED, FAILED, PASSED, PASSED, PASSED):
            roster.observe(ONE, result)

        assert ready(roster) == [False]


class TestRestart:
    def restarted(
        self, clock: FakeClock, roster: Roster, *keys: BackendKey, continues: bool = True
    ) -> Roster:
        """What the next control process begins with."""
        successor = Roster(clock)
        successor.restore(roster.state(version=7), continues=continues)
        successor.apply(pools(*keys), 8)
        return successor

    def test_successor_publishes_what_was_published(self) -> None:
        """Health, orders, weights, ejections, addresses and columns are as the predecessor left them."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO, THREE)
        roster.observe(ONE, PASSED)
        roster.observe(TWO, FAILED)
        roster.observe(THREE, PASSED)
        known(roster, ONE).weight_override = 4
        known(roster, ONE).ejection = Ejection(clock.monotonic() + 20, "5 gateway failures in a row")
        known(roster, THREE).administrative_state = AdministrativeState.DISABLED

        successor = self.restarted(clock, roster, ONE, TWO, THREE)

        assert successor.snapshot("pcs") == roster.snapshot("pcs")

    def test_no_readiness_changes_before_the_first_full_round(self) -> None:
        """Results are taken in, but shown only when every backend has been checked once."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO, THREE)
        roster.observe(ONE, PASSED)
        roster.observe(TWO, FAILED)
        roster.observe(THREE, PASSED)
        clock.advance(60.0)
        successor = self.restarted(clock, roster, ONE, TWO, THREE)

        for _ in range(5):
            successor.observe(TWO, PASSED)
            successor.observe(THREE, FAILED)
            successor.expire()
        assert ready(successor) == [True, False, True]

        successor.observe(ONE, FAILED)
        successor.expire()
        assert not successor.is_holding
        assert ready(successor) == [True, True, False]

    def test_backend_that_the_new_configuration_lacks_does_not_hold_up_the_round(self) -> None:
        """Only backends that are still configured have to be checked."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO)
        roster.observe(ONE, PASSED)
        roster.observe(TWO, PASSED)
        successor = self.restarted(clock, roster, ONE, TWO)

        successor.apply(pools(ONE), 9)
        successor.observe(ONE, PASSED)

        assert not successor.is_holding

    def test_new_backend_does_not_wait_for_the_round(self) -> None:
        """What the predecessor did not know is shown as it is found."""
        clock = FakeClock()
        roster = roster_of(clock, ONE)
        roster.observe(ONE, PASSED)
        successor = self.restarted(clock, roster, ONE, TWO)
        known(successor, TWO).addresses = ("127.0.0.1",)

        successor.observe(TWO, PASSED)

        assert successor.is_holding
        assert ready(successor) == [True, True]

    def test_ejection_that_ended_meanwhile_is_held_until_the_round_is_over(self) -> None:
        """The end of an ejection changes readiness too."""
        clock = FakeClock()
        roster = roster_of(clock, ONE)
        roster.observe(ONE, PASSED)
        known(roster, ONE).ejection = Ejection(clock.monotonic() + 5, "5 gateway failures in a row")
        stored = self.restarted(clock, roster, ONE).state(8)
        clock.advance(10)
        successor = Roster(clock)
        successor.restore(stored, continues=True)
        successor.apply(pools(ONE), 9)

        successor.expire()
        assert ready(successor) == [False]

        successor.observe(ONE, PASSED)
        successor.expire()
        assert ready(successor) == [True]

    def test_gateway_that_was_down_trusts_only_fresh_checks(self) -> None:
        """After a pause longer than `max_age` nothing is ready until it passed a check, orders stay."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO)
        roster.observe(ONE, PASSED)
        roster.observe(TWO, PASSED)
        known(roster, ONE).ejection = Ejection(clock.monotonic() + 30, "5 gateway failures in a row")
        known(roster, TWO).administrative_state = AdministrativeState.DRAINING
        stored = roster.state(7)

        clock.advance(100.0)
        successor = Roster(clock)
        successor.restore(stored, continues=False)
        successor.apply(pools(ONE, TWO), 8)

        one, two = successor.snapshot("pcs").backends
        assert one.health.status is HealthStatus.UNKNOWN
        assert one.ejected_until == 0.0
        assert two.administrative_state is AdministrativeState.DRAINING
        assert not successor.is_holding

    def test_gateway_that_was_down_shortly_serves_at_once(self) -> None:
        """A check younger than `max_age` still counts after a restart of the whole gateway."""
        clock = FakeClock()
        roster = roster_of(clock, ONE)
        roster.observe(ONE, PASSED)
        clock.advance(3.0)

        assert ready(self.restarted(clock, roster, ONE, continues=False)) == [True]


class TestHold:
    def test_after_a_stop_nothing_is_forgotten_before_a_new_round(self) -> None:
        """A process that was stopped does not take the age of its checks for a failure of backends."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO)
        roster.observe(ONE, PASSED)
        roster.observe(TWO, PASSED)

        clock.advance(60.0)
        roster.hold()
        roster.expire()
        assert ready(roster) == [True, True]

        roster.observe(ONE, PASSED)
        roster.observe(TWO, PASSED)
        roster.expire()
        assert ready(roster) == [True, True]
        assert not roster.is_holding


class TestSlots:
    def test_pools_keep_their_cells(self) -> None:
        """A reload moves no pool to other cells, and a new pool gets cells that nobody had."""
        first = allot_slots({}, ["a", "b"])
        second = allot_slots(first, ["b", "c"])

        assert first == {"a": 0, "b": 1}
        assert second == {"b": 1, "c": 2}

    def test_cells_of_removed_pools_are_used_last(self) -> None:
        """Only when no other cells are left."""
        first = allot_slots({}, [f"old-{i}" for i in range(POOLS)])
        second = allot_slots(first, ["new", *(f"old-{i}" for i in range(1, POOLS))])

        assert second["new"] == first["old-0"]

    def test_too_many_pools_are_refused(self) -> None:
        """The scoreboard has cells for so many."""
        with pytest.raises(TooManyPoolsError):
            allot_slots({}, [f"pool-{i}" for i in range(POOLS + 1)])


def test_repr_counts_the_ready() -> None:
    """A roster explains itself."""
    roster = roster_of(FakeClock(), ONE, TWO)
    roster.observe(ONE, PASSED)

    assert repr(roster) == "<Roster: 1 of 2 backends ready, holding 0>"


def ready_since(roster: Roster) -> list[float]:
    """When the pool's backends became ready, as published."""
    roster.note_readiness(roster)
    return [backend.ready_since for backend in roster.snapshot("pcs").backends]


class TestSlowStart:
    def test_who_is_there_from_the_beginning_needs_none(self) -> None:
        """Its first check passes, whenever that is: all are as new."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO)
        roster.observe(ONE, PASSED)
        assert ready_since(roster) == [0.0, 0.0]

        clock.advance(3.0)
        roster.observe(TWO, PASSED)
        assert ready_since(roster) == [0.0, 0.0]

    def test_who_fails_its_first_check_begins_later(self) -> None:
        """When it passes at last, the others are warm."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO, rise=1)
        roster.observe(ONE, PASSED)
        roster.observe(TWO, FAILED)
        clock.advance(3.0)
        roster.observe(TWO, PASSED)

        assert ready_since(roster) == [0.0, clock.monotonic()]

    def test_begins_whenever_a_backend_becomes_ready(self) -> None:
        """Healthy again, no longer ejected, enabled by an operator."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO, THREE, fall=1, rise=1)
        for key in (ONE, TWO, THREE):
            roster.observe(key, PASSED)
        assert ready_since(roster) == [0.0, 0.0, 0.0]
        roster.observe(ONE, FAILED)
        known(roster, TWO).ejection = Ejection(clock.monotonic() + 1.0, "5 failures")
        known(roster, THREE).administrative_state = AdministrativeState.DISABLED
        assert ready_since(roster) == [0.0, 0.0, 0.0]

        clock.advance(1.0)
        roster.observe(ONE, PASSED)
        first = clock.monotonic()
        roster.note_readiness(roster)
        clock.advance(1.0)
        roster.expire()
        second = clock.monotonic()
        roster.note_readiness(roster)
        clock.advance(1.0)
        known(roster, THREE).administrative_state = AdministrativeState.ACTIVE

        assert ready_since(roster) == [first, second, clock.monotonic()]

    def test_who_was_disabled_from_the_beginning_begins_when_it_is_enabled(self) -> None:
        """The others have served meanwhile."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO)
        known(roster, TWO).administrative_state = AdministrativeState.DISABLED
        for key in (ONE, TWO):
            roster.observe(key, PASSED)
        assert ready_since(roster) == [0.0, 0.0]
        clock.advance(5.0)
        known(roster, TWO).administrative_state = AdministrativeState.ACTIVE

        assert ready_since(roster) == [0.0, clock.monotonic()]

    def test_newcomers_of_a_reload_begin_slowly(self) -> None:
        """Others of the pool serve; in a pool that is new as a whole nobody does."""
        clock = FakeClock()
        roster = roster_of(clock, ONE)
        roster.observe(ONE, PASSED)
        roster.note_readiness(roster)
        clock.advance(60.0)
        other = BackendKey("other", "http://127.0.0.1:9001")
        roster.apply(pools(ONE, TWO, other), 2)
        for key in (TWO, other):
            known(roster, key).addresses = ("127.0.0.1",)
            roster.observe(key, PASSED)

        assert ready_since(roster) == [0.0, clock.monotonic()]
        assert 0.0 == known(roster, other).backend().ready_since

    @pytest.mark.parametrize("continues", [True, False])
    def test_survives_a_restart(self, continues: bool) -> None:
        """The ramp goes on where it was; who was ready before does not begin anew."""
        clock = FakeClock()
        before = roster_of(clock, ONE, TWO, fall=1, rise=1)
        for result in (PASSED, FAILED, PASSED):
            before.observe(ONE, PASSED)
            before.observe(TWO, result)
            before.note_readiness(before)
            clock.advance(2.0)
        began = clock.monotonic() - 2.0
        assert ready_since(before) == [0.0, began]
        state = before.state(7)

        clock.advance(1.0)
        after = Roster(clock)
        after.restore(state, continues=continues)
        after.apply(pools(ONE, TWO, THREE, fall=1, rise=1), 8)
        known(after, THREE).addresses = ("127.0.0.1",)
        found = ready_since(after)
        assert found[0] == 0.0
        assert abs(found[1] - began) < 1e-6
        for key in (ONE, TWO, THREE):
            after.observe(key, PASSED)

        assert ready(after) == [True, True, True]
        assert ready_since(after)[:2] == found[:2]
        # a newcomer while workers go on serving is new among them; after a restart all begin together
        assert ready_since(after)[2] == (clock.monotonic() if continues else 0.0)


class TestPassedChecks:
    def test_a_passed_check_is_remembered(self) -> None:
        """Also when later ones fail, and by the process that comes after."""
        clock = FakeClock()
        roster = roster_of(clock, ONE, TWO, fall=1)
        for result in (PASSED, FAILED):
            roster.observe(ONE, result)
        roster.observe(TWO, FAILED)
        assert [True, False] == [backend.has_passed for backend in roster.snapshot("pcs").backends]

        after = Roster(clock)
        after.restore(roster.state(7), continues=True)
        after.apply(pools(ONE, TWO), 8)

        assert [True, False] == [backend.has_passed for backend in after.snapshot("pcs").backends]

    def test_forgiven_is_what_checks_and_traffic_say_only(self) -> None:
        """Not an operator's order, nor a missing address, nor that no check ever passed."""
        roster = roster_of(FakeClock(), ONE, TWO, THREE, fall=1)
        for key in (ONE, TWO):
            roster.observe(key, PASSED)
        roster.observe(ONE, FAILED)
        roster.observe(THREE, FAILED)
        assert [True, True, False] == [one.is_forgivable for one in roster.snapshot("pcs").backends]

        known(roster, ONE).administrative_state = AdministrativeState.DRAINING
        known(roster, TWO).addresses = ()
        assert [False, False, False] == [one.is_forgivable for one in roster.snapshot("pcs").backends]
