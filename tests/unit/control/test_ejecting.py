"""From evidence to ejections: what workers are told, what is logged once, and what is counted."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from pcs_gateway.backends.health import CheckResult
from pcs_gateway.backends.outlier.ways import Bearing
from pcs_gateway.control.ejecting import HEARING_SECONDS
from pcs_gateway.processes.messages import EvidenceEntry, Hello, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.control import Control, configuration

NAMES = ("a", "b", "c")
POOL = """{{pcs: {{
  backends: [{backends}],
  health_check: {{interval: 5s, fast_interval: 1s, rise: 2, fall: 3, max_age: 30s, jitter: 0}},
  outlier_detection: {{base_ejection: 10s, maximum_ejection: 25s, max_ejected: 0.5{more}}},
}}}}"""
TIMED_OUT = CheckResult(passed=False, detail="no answer within 2s", timed_out=True)


def pool_of(*names: str, more: str = "") -> str:
    """A pool of backends with these names, as YAML."""
    backends = ", ".join(
        f"{{url: http://127.0.0.1:{8001 + number}, name: {name}}}" for number, name in enumerate(names)
    )
    return POOL.format(backends=backends, more=more)


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


class Pool:
    """A control plane with one pool of healthy backends, and a worker that reports."""

    def __init__(self, control: Control, clock: FakeClock) -> None:
        self.control = control
        self._clock = clock

    def fail(
        self,
        name: str,
        count: int = 1,
        kind: str = "http_503",
        bearing: Bearing = Bearing.BACKEND,
        accuses: bool = False,
    ) -> None:
        """A worker reports so many failures of one backend, one by one."""
        entries = tuple(
            EvidenceEntry("pcs", name, 1, 0, kind, self._clock.now, bearing, accuses) for _ in range(count)
        )
        self.control.plane.on_evidence(Hello(1, 101, 1), entries)

    async def convict(self, name: str, kind: str = "http_503") -> None:
        """Five failures, and the moment until the ruling."""
        self.fail(name, 5, kind)
        await self.hear()

    async def hear(self) -> None:
        """Let rulings fall due."""
        await self.run(HEARING_SECONDS)

    def succeed(self, *names: str, count: int = 1) -> None:
        """A worker reports successes."""
        entries = tuple(EvidenceEntry("pcs", name, 0, count, at=self._clock.now) for name in names)
        self.control.plane.on_evidence(Hello(2, 102, 2), entries)

    def ejected(self) -> list[str]:
        """Who is ejected, as workers know it."""
        return [one.name for one in self.control.workers.pool().backends if one.ejected_until]

    def ejected_for(self, name: str) -> float:
        """Seconds that an ejection will last."""
        (until,) = [one.ejected_until for one in self.control.workers.pool().backends if one.name == name]
        return until - self._clock.now

    async def run(self, seconds: float) -> None:
        """Let time pass."""
        await self._clock.run(seconds)


async def start(clock: FakeClock, directory: Path, pools: str) -> Pool:
    """Start a control plane, and check every backend once."""
    control = Control(clock, directory)
    control.plane.apply(configuration(directory, pools))
    control.plane.start()
    await clock.run(0.0)
    return Pool(control, clock)


@pytest.fixture
async def pool(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Pool]:
    """Three backends."""
    one = await start(clock, tmp_path, pool_of(*NAMES))
    yield one
    await one.control.plane.close()


def events(log: LogCapture, *names: str) -> list[str]:
    """The names of logged events, only these."""
    return [entry["event"] for entry in log.entries if entry["event"] in names]


class TestGrowth:
    async def test_ejections_in_a_row_are_longer(self, pool: Pool) -> None:
        """10 s, 20 s, and then the maximum of 25 s."""
        seconds = []
        for _ in range(4):
            await pool.convict("a")
            seconds.append(round(pool.ejected_for("a"), 1))
            await pool.run(seconds[-1] + 0.2)
            assert [] == pool.ejected()

        assert [10.0, 20.0, 25.0, 25.0] == seconds

    async def test_time_while_healthy_makes_up_for_it(self, pool: Pool) -> None:
        """After 10 s of being ready an ejection is forgotten; being unhealthy does not help."""
        await pool.convict("a")
        await pool.run(10.2)
        await pool.run(10.2)
        await pool.convict("a")
        assert 10.0 == pytest.approx(pool.ejected_for("a"))

        await pool.run(10.2)
        pool.control.backends.results["http://127.0.0.1:8001"] = CheckResult(passed=False, detail="refused")
        await pool.run(40.0)
        pool.control.backends.results.clear()
        await pool.run(2.5)
        await pool.convict("a")

        assert 20.0 == pytest.approx(pool.ejected_for("a"))

    async def test_successor_goes_on_counting(self, clock: FakeClock, tmp_path: Path) -> None:
        """A control process that dies takes the count of ejections to no grave."""
        pool = await start(clock, tmp_path, pool_of(*NAMES))
        await pool.convict("a")
        await pool.run(10.2)
        await pool.control.plane.close()
        successor = Control(clock, tmp_path, before=pool.control)
        successor.plane.apply(configuration(tmp_path, pool_of(*NAMES)))
        successor.plane.start()
        await clock.run(0.0)
        then = Pool(successor, clock)
        await then.convict("a")

        assert 20.0 == pytest.approx(then.ejected_for("a"), abs=0.5)
        await successor.plane.close()

    async def test_evidence_of_what_was_under_way_does_not_count_afterwards(self, pool: Pool) -> None:
        """Attempts that were in flight when it was ejected fail later; when it is back, it begins at zero."""
        await pool.convict("a")
        pool.fail("a", 30)
        await pool.run(10.2)
        pool.fail("a", 4)

        assert [] == pool.ejected()


class TestAnswers:
    async def test_every_accusation_of_a_worker_is_answered(self, pool: Pool) -> None:
        """Confirmed when it is ejected, denied when others saw it succeed or it is spared."""
        pool.fail("a", 4)
        pool.succeed("a")
        pool.fail("a", accuses=True)
        await pool.convict("b")
        await pool.convict("c", kind="connection_refused")

        verdicts = [one for one in pool.control.workers.messages if isinstance(one, Verdict)]
        assert [("a", False), ("b", True), ("c", False)] == [(one.backend, one.ejected) for one in verdicts]

    async def test_why_is_counted(self, pool: Pool, log: LogCapture) -> None:
        """Ejections by their cause, and those that were spared by the objection; said once in ten seconds."""
        await pool.convict("b")
        for _ in range(4):
            await pool.convict("c", kind="connection_refused")

        ejector = pool.control.plane.ejector
        assert {("pcs", "b", "consecutive_failures"): 1} == ejector.ejections
        assert {("pcs", "c", "max_ejected"): 4} == ejector.spared
        assert ["backend_ejected", "backend_not_ejected"] == events(
            log, "backend_ejected", "backend_not_ejected"
        )

    async def test_failure_ratio(self, clock: FakeClock, tmp_path: Path) -> None:
        """Half of twenty: ejected for that, and told so."""
        more = ", failure_ratio: {threshold: 0.5, minimum_requests: 20, window: 10s}"
        pool = await start(clock, tmp_path, pool_of(*NAMES, more=more))
        for _ in range(10):
            pool.succeed("a")
            pool.fail("a")
        await pool.hear()

        assert ["a"] == pool.ejected()
        (reason,) = [one for one in pool.control.workers.reasons() if one]
        assert "ejected: 10 of 20 attempts failed within 10 s, the last one: http_503" == reason
        await pool.control.plane.close()

    async def test_success_rate(self, clock: FakeClock, tmp_path: Path) -> None:
        """One of six succeeds in seven of ten attempts, the others always."""
        more = ", success_rate: {minimum_requests: 50}"
        pool = await start(clock, tmp_path, pool_of("a", "b", "c", "d", "e", "f", more=more))
        for _ in range(30):
            pool.succeed("a", "b", "c", "d", "e", "f", count=7)
            pool.fail("c", 3)
            await pool.hear()

        assert ["c"] == pool.ejected()
        assert {("pcs", "c", "success_rate"): 1} == pool.control.plane.ejector.ejections
        await pool.control.plane.close()


class TestSharedFailure:
    KINDS = ("shared_failure_began", "shared_failure_ended", "backend_ejected", "backend_not_ejected")

    async def test_all_fail_alike(self, pool: Pool, log: LogCapture) -> None:
        """Nobody is ejected; one line when it begins and one when it is over, and a gauge between."""
        attribution = pool.control.plane.ejector.attribution
        for _ in range(20):
            for name in NAMES:
                pool.fail(name)
            await pool.run(0.05)
        shared = attribution.current("pcs")
        assert shared is not None
        assert "http_503" == shared.kind
        for _ in range(30):
            pool.succeed(*NAMES, count=10)
            await pool.run(0.1)

        assert [] == pool.ejected()
        assert ["shared_failure_began", "shared_failure_ended"] == events(log, *self.KINDS)
        assert attribution.current("pcs") is None
        assert attribution.failures["pcs", "shared_dependency"] > 40

    async def test_who_was_ejected_first_is_released(self, pool: Pool, log: LogCapture) -> None:
        """The first backend to fail is ejected, until it shows that the others fail alike."""
        pool.succeed("b", "c", count=100)
        await pool.convict("a")
        assert ["a"] == pool.ejected()
        await pool.convict("b")
        await pool.convict("c")

        assert [] == pool.ejected()
        assert ["backend_ejected", "shared_failure_began"] == events(
            log, "backend_ejected", "shared_failure_began"
        )
        (said,) = [entry for entry in log.entries if entry["event"] == "shared_failure_began"]
        assert ["a"] == said["released"]
        assert 0 == pool.control.plane.roster.find("pcs", "a").repetition.times

    async def test_evidence_of_another_worker_that_is_under_way(self, pool: Pool, log: LogCapture) -> None:
        """
        One worker's batch accuses a backend before another's has shown that all fail alike.

        Nobody is ejected, not for a moment.
        """
        pool.fail("a", 5)
        await pool.run(HEARING_SECONDS / 2)
        pool.fail("b", 5)
        pool.fail("c", 5)
        await pool.hear()

        assert ["shared_failure_began"] == events(log, *self.KINDS)
        (said,) = [entry for entry in log.entries if entry["event"] == "shared_failure_began"]
        assert [] == said["released"]
        verdicts = [one for one in pool.control.workers.messages if isinstance(one, Verdict)]
        assert {False} == {one.ejected for one in verdicts}

    async def test_half_of_all_attempts_fail_everywhere(self, pool: Pool, log: LogCapture) -> None:
        """A dependency that is half dead: rows of five happen, but they happen to all."""
        for number in range(200):
            for offset, name in enumerate(NAMES):
                if (number + 7 * offset) // 6 % 2:
                    pool.fail(name)
                else:
                    pool.succeed(name)
            await pool.run(0.01)
            if number == 60:
                log.entries.clear()

        assert [] == pool.ejected()
        assert [] == events(log, "backend_ejected")

    async def test_one_fails_while_others_fail_now_and_then(self, pool: Pool) -> None:
        """A failure in a hundred is nobody's excuse: the black hole is ejected with its fifth failure."""
        for _ in range(5):
            pool.succeed("b", "c", count=99)
            pool.fail("b")
            pool.fail("c")
            pool.fail("a")
        await pool.hear()

        assert ["a"] == pool.ejected()

    async def test_different_ways_are_not_alike(self, pool: Pool) -> None:
        """One refuses connections while the others answer 503: that is not one cause."""
        for _ in range(5):
            pool.fail("b", kind="http_503")
            pool.fail("c", kind="http_503")
            pool.fail("a", kind="connection_refused")
        await pool.hear()

        assert 1 == len(pool.ejected())

    async def test_one_that_fails_after_all_did_is_ejected(self, pool: Pool) -> None:
        """When the others have recovered, who goes on failing is on its own."""
        for _ in range(10):
            for name in NAMES:
                pool.fail(name)
            await pool.run(0.05)
        for _ in range(20):
            pool.succeed("b", "c", count=10)
            pool.fail("a")
            await pool.run(0.1)

        assert ["a"] == pool.ejected()

    async def test_failures_that_follow_their_requests_show_it_too(self, pool: Pool, log: LogCapture) -> None:
        """With retries every failure seems to follow its request; when nothing succeeds, it is shared."""
        for _ in range(6):
            for name in NAMES:
                pool.fail(name, bearing=Bearing.REQUEST)

        assert ["shared_failure_began"] == events(log, *self.KINDS)
        assert [] == pool.ejected()


class TestRequestsFault:
    async def test_requests_that_fail_everywhere_eject_nobody(self, pool: Pool, log: LogCapture) -> None:
        """Amid traffic that succeeds, failures that follow their requests say nothing of backends."""
        for _ in range(50):
            for name in NAMES:
                pool.fail(name, 3, bearing=Bearing.REQUEST)
                pool.succeed(name, count=20)

        assert [] == pool.ejected()
        assert [] == events(log, *TestSharedFailure.KINDS)
        assert {("pcs", "request"): 450} == pool.control.plane.ejector.attribution.failures


class TestChecks:
    async def test_check_that_times_out_while_traffic_is_answered(self, pool: Pool) -> None:
        """It is not counted as failed, however often, and it is no old check either."""
        pool.control.backends.results["http://127.0.0.1:8001"] = TIMED_OUT
        for _ in range(50):
            pool.succeed("a")
            await pool.run(1.0)

        backend = pool.control.workers.pool().backends[0]
        assert backend.ready
        health = pool.control.plane.roster.find("pcs", "a").health
        assert "no answer within 2s, but it answers requests" == health.detail

    async def test_check_that_times_out_without_traffic(self, pool: Pool) -> None:
        """Answers older than an interval excuse nothing."""
        pool.succeed("a")
        await pool.run(6.0)
        pool.control.backends.results["http://127.0.0.1:8001"] = TIMED_OUT
        await pool.run(10.0)

        assert [False, True, True] == pool.control.workers.ready()

    async def test_check_that_is_refused_counts_whatever_traffic_says(self, pool: Pool) -> None:
        """Only a time-out can be the check's own fault."""
        pool.control.backends.results["http://127.0.0.1:8001"] = CheckResult(passed=False, detail="refused")
        for _ in range(10):
            pool.succeed("a")
            await pool.run(1.0)

        assert [False, True, True] == pool.control.workers.ready()
