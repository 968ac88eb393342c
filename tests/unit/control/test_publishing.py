"""Workers know what the control process knows, whatever happens in whatever order."""

import tempfile
from pathlib import Path

import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from structlog.testing import LogCapture

from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.backends.health import CheckResult
from pcs_gateway.control.publishing import Publisher, essence
from pcs_gateway.control.roster import Roster
from pcs_gateway.control.standing import BackendKey, Ejection
from pcs_gateway.control.state import StateFile
from tests.fakes.clock import FakeClock
from tests.fakes.control import PASSED, REFUSED, Workers

URLS = [f"http://127.0.0.1:{port}" for port in (8001, 8002, 8003)]
Backends = st.lists(st.sampled_from(URLS), min_size=1, max_size=3, unique=True)
Urls = st.sampled_from(URLS)


class Publishing(RuleBasedStateMachine):
    """Checks, orders, ejections, reloads, time and deaths of the control process, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.workers = Workers()
        self.flips = 0
        self.log = LogCapture()
        structlog.configure(processors=[self.log])
        self.begin()
        self.reload(URLS[:2])

    def teardown(self) -> None:
        structlog.reset_defaults()
        self.directory.cleanup()

    def begin(self) -> None:
        """Start a control process: the first, or a successor."""
        file = StateFile(Path(self.directory.name))
        state, snapshot = file.load(), self.workers.snapshot
        self.roster = Roster(self.clock)
        if state:
            self.roster.restore(state, continues=snapshot is not None)
        version = max(state.version if state else 0, snapshot.version if snapshot else 0)
        pools = snapshot.pools if snapshot else ()
        self.publisher = Publisher(self.workers, file, self.roster, version, pools)

    @rule(urls=Backends)
    def reload(self, urls: list[str]) -> None:
        """A file with these backends comes into force."""
        before, was_holding = self.readiness(), self.roster.is_holding
        pool = PoolConfig.model_validate({"backends": [{"url": url} for url in urls]})
        self.urls = urls
        self.roster.apply({"pcs": pool}, self.publisher.version + 1)
        for standing in self.roster:
            standing.addresses = ("127.0.0.1",)
        self.publisher.publish({}, {})
        if not was_holding:  # else the removal of the last unchecked one may end the round
            assert self.readiness() == {url: before.get(url, False) for url in urls}

    @rule(url=Urls, passed=st.booleans(), times=st.integers(1, 3))
    def check(self, url: str, passed: bool, times: int) -> None:
        """Checks of a backend end so."""
        result: CheckResult = PASSED if passed else REFUSED
        for _ in range(times):
            self.roster.observe(BackendKey("pcs", url), result)
        self.publisher.update(self.roster)

    @rule(url=Urls, state=st.sampled_from(AdministrativeState))
    def order(self, url: str, state: AdministrativeState) -> None:
        """An operator orders something."""
        if standing := self.roster.at(BackendKey("pcs", url)):
            standing.administrative_state = state
            self.publisher.update([standing])
            assert not (state is not AdministrativeState.ACTIVE and self.readiness()[url])

    @rule(url=Urls)
    def eject(self, url: str) -> None:
        """Traffic proves something."""
        if standing := self.roster.at(BackendKey("pcs", url)):
            standing.ejection = Ejection(self.clock.monotonic() + 30.0, "5 gateway failures in a row")
            self.publisher.update([standing])
            assert not self.readiness()[url]

    @rule(seconds=st.sampled_from([0.1, 15.0, 31.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)
        self.publisher.update(self.roster.expire())

    @rule()
    def die(self) -> None:
        """The control process is replaced; nothing flips by that, however late it is."""
        before = self.readiness()
        self.clock.advance(60.0)
        self.begin()
        self.reload(self.urls)
        self.publisher.update(self.roster.expire())
        assert self.readiness() == before

    def readiness(self) -> dict[str, bool]:
        """What workers know."""
        if self.workers.snapshot is None:
            return {}
        return {backend.url: backend.ready for backend in self.workers.pool().backends}

    @invariant()
    def workers_know_everything(self) -> None:
        """What workers apply is what the roster says, but for the time of the last check."""
        known = [essence(backend) for backend in self.workers.pool().backends]
        assert known == [essence(backend) for backend in self.roster.snapshot("pcs").backends]

    @invariant()
    def versions_only_grow(self) -> None:
        """Never the same version twice, not even over deaths."""
        versions = [message.version for message in self.workers.messages if hasattr(message, "version")]
        assert versions == sorted(set(versions))

    @invariant()
    def readiness_is_told_by_alternating_events(self) -> None:
        """Each backend's flips of readiness are logged once: never the same one twice in a row."""
        told: dict[str, str] = {}
        for entry in self.log.entries:
            if entry["event"] in {"backend_ready", "backend_not_ready"}:
                assert told.get(entry["url"]) != entry["event"] or entry["url"] in self.returned()
                told[entry["url"]] = entry["event"]

    def returned(self) -> set[str]:
        """Backends that left the configuration at some time, and came back as newcomers."""
        seen = [{b.url for pool in s.pools for b in pool.backends} for s in self.workers.snapshots()]
        return {url for now in seen for url in URLS if url not in now}


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
