"""The control plane: what workers are told when checks, evidence, names, orders and time speak."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from pcs_gateway.backends.backend import AdministrativeState, HealthStatus
from pcs_gateway.backends.health import CheckResult
from pcs_gateway.control.ejecting import HEARING_SECONDS
from pcs_gateway.processes.messages import EvidenceEntry, Hello, PoolUpdate, Snapshot, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.control import REFUSED, Control, configuration

ONE, TWO, THREE = (f"http://127.0.0.1:{port}" for port in (8001, 8002, 8003))
VOID = CheckResult(passed=False, detail="not checked: too many open files", is_void=True)
POOL = """{{pcs: {{
  backends: [{backends}],
  health_check: {{interval: 5s, fast_interval: 1s, rise: 2, fall: 3, max_age: 30s, jitter: 0}},
  outlier_detection: {{consecutive_failures: 5, base_ejection: 10s, max_ejected: 0.5}},
}}}}"""


def pool_of(*backends: str) -> str:
    """A pool with these backends, as YAML."""
    return POOL.format(backends=", ".join(f"{{url: {url}, name: {url[7:]}}}" for url in backends))


THREE_BACKENDS = pool_of(ONE, TWO, THREE)


@pytest.fixture
def log() -> Iterator[LogCapture]:
    """What is logged."""
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[capture])
    yield capture
    structlog.configure(**before)


@pytest.fixture
def clock() -> FakeClock:
    """Time under control."""
    return FakeClock()


@pytest.fixture
async def control(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Control]:
    """A control plane that began with three backends, none of them checked."""
    control = Control(clock, tmp_path)
    control.plane.apply(configuration(tmp_path, THREE_BACKENDS))
    control.plane.start()
    yield control
    await control.plane.close()


def failures(backend: str, count: int, worker: int = 1) -> tuple[Hello, tuple[EvidenceEntry, ...]]:
    """What a worker reports of a backend that fails."""
    entries = tuple(EvidenceEntry("pcs", backend, 1, kind="connection_refused") for _ in range(count))
    return Hello(worker, 100 + worker, worker), entries


class TestChecks:
    async def test_no_traffic_before_the_first_passed_check(self, control: Control, clock: FakeClock) -> None:
        """The first snapshot has nobody ready; one passed check is enough."""
        first = control.workers.messages[0]
        assert isinstance(first, Snapshot)
        assert [backend.ready for backend in first.pools[0].backends] == [False, False, False]
        assert {backend.reason for backend in first.pools[0].backends} == {"unknown: not checked yet"}

        await clock.run(0.0)
        assert control.workers.ready() == [True, True, True]

    async def test_dead_backend_is_out_after_fall_and_back_after_rise(
        self, control: Control, clock: FakeClock
    ) -> None:
        """At worst an interval and `fall` − 1 fast ones; back after `rise` checks."""
        await clock.run(0.0)
        control.backends.results[TWO] = REFUSED
        await clock.run(6.9)
        assert control.workers.ready() == [True, True, True]
        await clock.run(0.2)
        assert control.workers.ready() == [True, False, True]
        assert control.workers.reasons()[1] == "unhealthy: connection refused"

        del control.backends.results[TWO]
        await clock.run(6.0)
        assert control.workers.ready() == [True, True, True]

    async def test_flip_is_logged_once_and_counted(
        self, log: LogCapture, control: Control, clock: FakeClock
    ) -> None:
        """However many checks fail, there is one line with the reason."""
        await clock.run(0.0)
        log.entries.clear()
        control.backends.results[TWO] = REFUSED
        await clock.run(60.0)

        flips = [entry for entry in log.entries if entry["event"].startswith("backend_")]
        assert len(flips) == 1
        assert flips[0]["event"] == "backend_not_ready"
        assert flips[0]["reason"] == "unhealthy: connection refused"
        assert flips[0]["backend"] == "127.0.0.1:8002"
        assert control.publisher.health_flips["pcs", "127.0.0.1:8002", "unhealthy"] == 1
        assert control.publisher.readiness_flips["pcs", "127.0.0.1:8002", "not_ready"] == 1
        assert control.publisher.health_flips["pcs", "127.0.0.1:8001", "healthy"] == 1

    async def test_backend_that_is_bad_from_the_start_is_warned_of_once(
        self, log: LogCapture, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """A wrong URL or authority shows at the first check, and nobody saw the backend ready before."""
        bad = "http://127.0.0.1:8004"
        control.backends.results[bad] = REFUSED
        control.plane.apply(configuration(tmp_path, pool_of(ONE, TWO, bad)))
        await clock.run(60.0)

        [told] = [entry for entry in log.entries if entry.get("url") == bad]
        assert (told["event"], told["log_level"]) == ("backend_health_changed", "warning")
        assert told["reason"] == "unhealthy: connection refused"

    async def test_checks_that_change_nothing_are_not_published(
        self, control: Control, clock: FakeClock
    ) -> None:
        """A passed check of a healthy backend sends no message."""
        await clock.run(0.0)
        before = len(control.workers.messages)
        await clock.run(30.0)

        assert len(control.backends.checked) > 10
        assert len(control.workers.messages) == before

    async def test_check_older_than_max_age_counts_as_none(self, control: Control, clock: FakeClock) -> None:
        """A backend whose checks do not come back is not ready any more."""
        await clock.run(0.0)
        hang = asyncio.Event()

        async def never(_: object) -> CheckResult:
            await hang.wait()
            return REFUSED

        control.plane._prober._check = never
        await clock.run(30.0)
        assert control.workers.ready() == [True, True, True]
        await clock.run(0.2)
        assert control.workers.ready() == [False, False, False]
        assert control.workers.reasons()[0].startswith("unknown: no check for more than 30 s")

    async def test_checks_that_could_not_be_made_change_nothing(
        self, log: LogCapture, control: Control, clock: FakeClock
    ) -> None:
        """Who was ready stays so, and who was not too, however long it lasts; it is said now and then."""
        control.backends.results[THREE] = REFUSED
        await clock.run(7.1)
        log.entries.clear()
        control.backends.results = dict.fromkeys((ONE, TWO, THREE), VOID)
        await clock.run(65.0)

        assert [True, True, False] == control.workers.ready()
        said = [entry for entry in log.entries if entry["event"] == "check_not_made"]
        assert 6 <= len(said) <= 7
        assert VOID.detail == said[0]["reason"]

        control.backends.results = dict.fromkeys((ONE, THREE), REFUSED)
        await clock.run(6.9)
        assert [False, True, False] == control.workers.ready()


class TestEvidence:
    async def test_five_failures_eject_for_base_ejection(self, control: Control, clock: FakeClock) -> None:
        """The ejection is published and confirmed, and ends by time."""
        await clock.run(0.0)
        control.plane.on_evidence(*failures("127.0.0.1:8002", 5))
        await clock.run(HEARING_SECONDS)

        assert control.workers.ready() == [True, False, True]
        assert control.workers.pool().backends[1].ejected_until == clock.monotonic() + 10.0
        assert control.workers.messages[-1] == Verdict("pcs", "127.0.0.1:8002", True)
        assert isinstance(control.workers.messages[-2], PoolUpdate)
        assert control.plane.ejector.ejections == {("pcs", "127.0.0.1:8002", "consecutive_failures"): 1}

        await clock.run(9.9)
        assert control.workers.ready() == [True, False, True]
        await clock.run(0.3)
        assert control.workers.ready() == [True, True, True]

    async def test_failures_of_two_workers_add_up(self, control: Control, clock: FakeClock) -> None:
        """Three failures here and two there are five in a row."""
        await clock.run(0.0)
        control.plane.on_evidence(*failures("127.0.0.1:8002", 3, worker=1))
        control.plane.on_evidence(*failures("127.0.0.1:8002", 2, worker=2))
        await clock.run(HEARING_SECONDS)

        assert control.workers.ready() == [True, False, True]

    async def test_never_more_than_max_ejected(self, control: Control, clock: FakeClock) -> None:
        """The second of three is spared, and the worker that waits for a verdict gets one."""
        await clock.run(0.0)
        control.plane.on_evidence(*failures("127.0.0.1:8002", 5))
        control.plane.on_evidence(*failures("127.0.0.1:8003", 5))
        await clock.run(HEARING_SECONDS)

        assert control.workers.ready() == [True, False, True]
        assert control.workers.messages[-1] == Verdict("pcs", "127.0.0.1:8003", False)

    async def test_passed_check_does_not_end_an_ejection(self, control: Control, clock: FakeClock) -> None:
        """A black hole passes its checks."""
        await clock.run(0.0)
        control.plane.on_evidence(*failures("127.0.0.1:8002", 5))
        await clock.run(6.0)

        assert control.backends.checked.count(TWO) == 2
        assert control.workers.ready() == [True, False, True]

    async def test_backend_that_is_removed_before_its_ruling(
        self, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """A reload in that moment leaves nobody to rule on."""
        await clock.run(0.0)
        control.plane.on_evidence(*failures("127.0.0.1:8002", 5))
        control.plane.apply(configuration(tmp_path, pool_of(ONE, THREE)))
        await clock.run(HEARING_SECONDS)

        assert control.workers.ready() == [True, True]
        assert control.plane.ejector.ejections == {}
        assert control.plane.ejector.next_ruling is None

    async def test_evidence_of_a_removed_backend_is_ignored(self, control: Control, clock: FakeClock) -> None:
        """What was under way while a reload removed the backend harms nobody."""
        await clock.run(0.0)
        before = len(control.workers.messages)
        control.plane.on_evidence(*failures("gone", 5))
        control.plane.on_evidence(Hello(1, 1, 1), (EvidenceEntry("no-such-pool", "one", 5),))

        assert len(control.workers.messages) == before


class TestNames:
    async def test_moved_host_is_published(self, clock: FakeClock, tmp_path: Path) -> None:
        """Workers get addresses, and new ones when the name moves."""
        control = Control(clock, tmp_path)
        control.names.addresses["app.internal"] = ("10.0.0.1",)
        control.plane.apply(configuration(tmp_path, "{pcs: {backends: [{url: 'http://app.internal:80'}]}}"))
        assert control.workers.pool().backends[0].addresses == ()

        await clock.run(0.0)
        assert control.workers.pool().backends[0].addresses == ("10.0.0.1",)
        assert control.workers.ready() == [True]

        control.names.addresses["app.internal"] = ("10.0.0.2",)
        await clock.run(10.0)
        assert control.workers.pool().backends[0].addresses == ("10.0.0.2",)

        del control.names.addresses["app.internal"]
        await clock.run(30.0)
        assert control.workers.pool().backends[0].addresses == ("10.0.0.2",)
        assert control.workers.ready() == [True]
        await control.plane.close()

    async def test_host_that_does_not_exist_says_so(self, clock: FakeClock, tmp_path: Path) -> None:
        """The reason is what resolution said."""
        control = Control(clock, tmp_path)
        control.plane.apply(configuration(tmp_path, "{pcs: {backends: [{url: 'http://app.internal:80'}]}}"))
        await clock.run(0.0)

        assert control.workers.reasons() == ["app.internal does not exist in DNS"]
        await control.plane.close()


class TestOrders:
    async def test_drained_backend_is_published_and_stays_so(
        self, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """An order is in the next update, survives passed checks and a reload, and ends by another order."""
        await clock.run(0.0)
        standing = control.plane.roster.find("pcs", "127.0.0.1:8001")
        version = control.plane.order(standing, AdministrativeState.DRAINING)
        assert control.workers.ready() == [False, True, True]
        assert control.workers.snapshot is not None
        assert control.workers.snapshot.version == version

        await clock.run(20.0)
        control.plane.apply(configuration(tmp_path, pool_of(ONE, TWO)))
        assert control.workers.ready() == [False, True]

        control.plane.order(standing, AdministrativeState.ACTIVE)
        assert control.workers.ready() == [True, True]

    async def test_order_that_changes_nothing_is_not_published(
        self, control: Control, clock: FakeClock
    ) -> None:
        """Enabling what is active sends no message."""
        await clock.run(0.0)
        before = len(control.workers.messages)
        standing = control.plane.roster.find("pcs", "127.0.0.1:8001")
        control.plane.order(standing, AdministrativeState.ACTIVE)

        assert len(control.workers.messages) == before

    async def test_weight_is_published_and_kept_through_a_reload(
        self, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """An override stands before the file until it is ended."""
        standing = control.plane.roster.find("pcs", "127.0.0.1:8001")
        control.plane.reweigh(standing, 9)
        control.plane.apply(configuration(tmp_path, THREE_BACKENDS))
        assert [backend.weight for backend in control.workers.pool().backends] == [9, 1, 1]

        control.plane.reweigh(standing, None)
        assert [backend.weight for backend in control.workers.pool().backends] == [1, 1, 1]


class TestReload:
    async def test_column_of_a_removed_backend_is_reused_only_when_empty_and_acknowledged(
        self, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """In flight and a late acknowledgement both keep the column from its next owner."""
        row = control.scoreboard.row(1)
        row.pid = 1
        row.in_flight[control.workers.pool().backends[1].column] = 1
        four = "http://127.0.0.1:8004"

        control.workers.acknowledged = 1
        control.plane.apply(configuration(tmp_path, pool_of(ONE, THREE)))
        control.workers.acknowledged = None
        await clock.run(6.0)
        control.plane.apply(configuration(tmp_path, pool_of(ONE, THREE, four)))
        assert control.workers.pool().backends[2].column == 3

        row.in_flight[1] = 0
        await clock.run(6.0)
        control.plane.apply(configuration(tmp_path, pool_of(ONE, THREE, four, TWO)))
        assert control.workers.pool().backends[3].column == 1
        assert control.workers.pool().backends[3].generation == 2

    async def test_whole_snapshot_carries_what_is_known(
        self, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """A reload publishes one snapshot in which the known are as ready as before."""
        await clock.run(0.0)
        control.plane.on_evidence(*failures("127.0.0.1:8002", 5))
        await clock.run(HEARING_SECONDS)
        control.plane.apply(configuration(tmp_path, pool_of(TWO, ONE)))

        assert isinstance(control.workers.messages[-1], Snapshot)
        assert control.workers.ready() == [False, True]


class TestRestart:
    async def test_successor_continues_with_no_flip(
        self, log: LogCapture, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """After a crash the first snapshot says what the last one said, under a higher version."""
        await clock.run(0.0)
        control.backends.results[TWO] = REFUSED
        await clock.run(10.0)
        standing = control.plane.roster.find("pcs", "127.0.0.1:8001")
        control.plane.order(standing, AdministrativeState.DISABLED)
        assert control.workers.snapshot is not None
        before = control.workers.snapshot
        log.entries.clear()

        clock.advance(60.0)
        successor = Control(clock, tmp_path, before=control)
        successor.plane.apply(configuration(tmp_path, THREE_BACKENDS))

        after = control.workers.snapshot
        assert after.version > before.version
        assert after.pools[0].backends[1:] == before.pools[0].backends[1:]
        assert after.pools[0].backends[0].administrative_state is AdministrativeState.DISABLED
        await clock.run(0.0)
        assert not [entry for entry in log.entries if entry["event"].startswith("backend_")]
        assert not successor.plane.roster.is_holding
        await successor.plane.close()

    async def test_backend_that_died_meanwhile_flips_after_the_round(
        self, control: Control, clock: FakeClock, tmp_path: Path
    ) -> None:
        """The successor finds out by its own checks, `fall` of them."""
        await clock.run(0.0)
        control.backends.results[TWO] = REFUSED
        successor = Control(clock, tmp_path, before=control)
        await control.plane.close()
        successor.plane.apply(configuration(tmp_path, THREE_BACKENDS))
        successor.plane.start()
        await clock.run(1.9)
        assert control.workers.ready() == [True, True, True]
        await clock.run(0.3)
        assert control.workers.ready() == [True, False, True]
        await successor.plane.close()

    async def test_process_that_was_stopped_takes_nothing_for_old(
        self, control: Control, clock: FakeClock
    ) -> None:
        """After SIGSTOP and SIGCONT every backend is as before until it was checked again."""
        await clock.run(0.0)
        clock.advance(60.0)
        await clock.run(0.0)

        assert control.workers.ready() == [True, True, True]
        assert all(s.tracker.health.status is HealthStatus.HEALTHY for s in control.plane.roster)

    async def test_check_that_was_under_way_while_stopped_says_nothing(
        self, control: Control, clock: FakeClock
    ) -> None:
        """Its time-out tells of this process, not of the backend."""
        await clock.run(0.0)
        key = next(iter(control.plane.roster)).key
        started = clock.monotonic()
        clock.advance(60.0)
        await control.plane.tick()
        for _ in range(5):
            control.plane.observe(key, REFUSED, started)

        assert next(iter(control.plane.roster)).tracker.health.detail == "status 200"


def test_repr_tells_the_versions(clock: FakeClock, tmp_path: Path) -> None:
    """A control plane explains itself."""
    assert "version 0, 0 backends" in repr(Control(clock, tmp_path).plane)
