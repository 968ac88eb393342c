"""
The control process: what watches, decides and publishes, composed here and nowhere else.

Started by the supervisor with its plan in the environment. It may die, hang or be replaced at any time
without any effect on traffic: what it knows is stored before it is published, and a successor continues from
there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import structlog
import uvloop

from pcs_gateway.clock import SystemClock
from pcs_gateway.config.changes import changed_keys, needs_restart
from pcs_gateway.config.files import named_files, read_files
from pcs_gateway.config.loading import load
from pcs_gateway.config.masking import masked
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.control.admin.application import AdminApi
from pcs_gateway.control.admin.connections import AdminSite
from pcs_gateway.control.budgets import budget_reader
from pcs_gateway.control.config import is_loopback
from pcs_gateway.control.configuration import Configuration
from pcs_gateway.control.health.checks import Checker
from pcs_gateway.control.hedge_delays import HedgeDelayPublisher
from pcs_gateway.control.limiting import ConcurrencyLimiter
from pcs_gateway.control.loop import ControlPlane
from pcs_gateway.control.publishing import Publisher
from pcs_gateway.control.reloading import Reloader
from pcs_gateway.control.repeating import repeat
from pcs_gateway.control.resolving import NameLookup
from pcs_gateway.control.roster import Roster
from pcs_gateway.control.state import State, StateFile
from pcs_gateway.control.view import GatewayView
from pcs_gateway.control.watching import FileWatch, Looks, NamedFilesWatch, looks_of
from pcs_gateway.errors import ConfigurationError
from pcs_gateway.processes import shortage
from pcs_gateway.processes.channel_server import ChannelServer
from pcs_gateway.processes.liveness import Heartbeat, heed, watch_lifeline
from pcs_gateway.processes.messages import EvidenceEntry, Hello, Snapshot
from pcs_gateway.processes.plan import ControlPlan, ListenPlan, available_cores
from pcs_gateway.processes.scoreboard import Scoreboard
from pcs_gateway.processes.snapshot_file import load_snapshot
from pcs_gateway.processes.state_directory import PREVIOUS_SNAPSHOT_NAME
from pcs_gateway.processes.supervisor_link import SupervisorLink
from pcs_gateway.proxy.admission import named_limits
from pcs_gateway.section import split_address
from pcs_gateway.telemetry.attempt_exposition import AttemptCollector
from pcs_gateway.telemetry.config import LoggingConfig
from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.logging import configure_logging
from pcs_gateway.telemetry.store import MeasurementStore

LAST_RESORT_SECONDS = 10.0
"""When the supervisor is gone: what this process is given to end by itself."""

BAD_CONFIGURATION_STATUS = 2
"""Exit status when there is no configuration that could be used."""


class FileSource:
    """
    The configuration file, read with this process' environment.

    Attributes:
        path: Absolute.
        looks: How the files that it named looked just before they were last read, well or in vain.
    """

    def __init__(self, plan: ControlPlan, environ: Mapping[str, str]) -> None:
        """Read the plan's file."""
        self.path = plan.config
        self.looks: Mapping[str, Looks] = {}
        self._fixed_workers = plan.workers if plan.workers_fixed else None
        self._environ = environ

    def read(self) -> Configuration:
        """Read the file. Raises ConfigurationError."""
        loaded = load(self.path, self._environ)
        self.looks = looks_of(named_files(loaded.config))
        files = read_files(loaded, SystemClock().time())
        notices = (*loaded.notices, *files.notices)
        return self._configuration(loaded.config, loaded.masked(), files.content, notices, loaded.digest)

    def restored(self, document: dict[str, Any], files: Mapping[str, bytes]) -> Configuration:
        """Return what was published like this. Raises ValueError when this code cannot read it."""
        config = GatewayConfig.model_validate(document)
        return self._configuration(config, masked(config), files, (), "")

    def changed_keys(self, old: Configuration, new: Configuration) -> list[str]:
        """Return the keys that differ, and the files."""
        keys = changed_keys(_model(old.document), _model(new.document))
        return keys + [path for path in new.files if new.files[path] != old.files.get(path)]

    def needs_restart(self, baseline: dict[str, Any], new: Configuration) -> list[str]:
        """Return one line for each key that only a restart applies."""
        return needs_restart(_model(baseline), _model(new.document))

    def _configuration(
        self,
        config: GatewayConfig,
        shown: dict[str, Any],
        files: Mapping[str, bytes],
        notices: tuple[str, ...],
        digest: str,
    ) -> Configuration:
        return Configuration(
            document=config.model_dump(mode="json"),
            shown=shown,
            pools=config.pools,
            logging=config.logging,
            token=config.admin.token,
            listen=tuple(ListenPlan(one.address, tls=one.tls is not None) for one in config.listen),
            workers=self._fixed_workers or config.worker_count(available_cores()),
            drain_delay=config.drain_delay,
            drain_timeout=config.drain_timeout,
            connections=config.limits.connections,
            rate_limits=tuple(
                (name, limit.rate, limit.size)
                for name, limit in named_limits(config.rate_limits, config.routes)
            ),
            files=files,
            notices=notices,
            digest=digest,
        )


def _model(document: dict[str, Any]) -> GatewayConfig:
    return GatewayConfig.model_validate(document)


class ControlProcess:
    """One control process: what it owns, and what it does with what it is told."""

    def __init__(self, plan: ControlPlan, environ: Mapping[str, str]) -> None:
        """Compose it from its plan; nothing runs before `run`."""
        self._plan = plan
        self._clock = clock = SystemClock()
        configure_logging(LoggingConfig(), "control", clock)
        self._log = structlog.get_logger()
        self._scoreboard = Scoreboard.attach(plan.scoreboard_fd)
        self._heartbeat = Heartbeat(self._scoreboard.row(plan.row), clock)
        self._stop = asyncio.Event()
        self._source = FileSource(plan, environ)
        self._store = MeasurementStore(clock.monotonic())
        self._workers = ChannelServer(
            plan.channel_path, plan.snapshot_path, self._scoreboard, self, self._log
        )
        self._before = load_snapshot(plan.snapshot_path)
        self._state_file = StateFile(Path(plan.state_directory))
        self._checker = Checker(self._addresses)
        self._plane = self._compose_plane(self._state_file.load())
        self._limiter = ConcurrencyLimiter(self._plane.roster, self._scoreboard, clock)
        self._link = SupervisorLink(plan.link_fd, self._on_drain, self._on_reload)
        self._reloader = Reloader(
            self._source,
            self._plane,
            self._link,
            [ListenPlan(listener.address, listener.tls) for listener in plan.listeners],
            plan.workers,
            self._applied,
            clock,
        )
        self._hedge_delays = HedgeDelayPublisher(
            self._store, clock, lambda: self._plane.configuration, self._workers.keep_telling
        )
        self._reloads: set[asyncio.Task[object]] = set()

    def _compose_plane(self, state: State | None) -> ControlPlane:
        """Make the control plane, continuing from what a predecessor stored and published."""
        before = self._before
        published = before or load_snapshot(self._plan.snapshot_path.with_name(PREVIOUS_SNAPSHOT_NAME))
        roster = Roster(self._clock)
        if state is not None:
            roster.restore(state, continues=before is not None)
        version = max(state.version if state else 0, before.version if before else 0)
        publisher = Publisher(
            self._workers, self._state_file, roster, version, published.pools if published else ()
        )
        if state is not None and before is not None:
            publisher.baseline = state.baseline
        return ControlPlane(
            clock=self._clock,
            random=Random(os.urandom(16)),
            roster=roster,
            publisher=publisher,
            workers=self._workers,
            counts=self._scoreboard,
            check=self._checker,
            lookup=NameLookup(),
        )

    def _addresses(self, host: str) -> tuple[str, ...]:
        return self._plane.addresses(host)

    # What workers say.

    def on_measurements(self, worker: Hello, delta: Delta) -> None:
        """Add what a worker measured."""
        self._store.add(delta, self._clock.monotonic())
        self._limiter.add(delta)

    def on_evidence(self, worker: Hello, entries: tuple[EvidenceEntry, ...]) -> None:
        """Judge what traffic says about backends."""
        self._plane.on_evidence(worker, entries)

    # What the supervisor says.

    def _on_drain(self) -> None:
        self._log.info("gateway_drains")

    def _on_reload(self) -> None:
        self._reload("SIGHUP")

    def _reload(self, why: str) -> None:
        task: asyncio.Task[object] = asyncio.create_task(self._reloader.reload(why))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def _applied(self, configuration: Configuration) -> None:
        configure_logging(configuration.logging, "control", self._clock)
        self._tell_lowered(configuration)

    def _tell_lowered(self, configuration: Configuration) -> None:
        """Say when workers hold fewer connections than configured; their limit of descriptors is ours."""
        descriptors, wanted = shortage.descriptor_limit(), configuration.connections
        needed = shortage.needed_for_backends(configuration.pools.values())
        allowed = shortage.connections_within(descriptors, wanted, needed)
        if allowed < wanted:
            self._log.warning(
                "connections_lowered",
                configured=wanted,
                in_force=allowed,
                nofile=descriptors,
                nofile_needed=wanted + needed + shortage.RESERVED,
            )

    # Life.

    async def run(self) -> None:
        """Serve until told to stop. Raises ConfigurationError when there is nothing to begin with."""
        self._heartbeat.start()
        watch_lifeline(self._plan.lifeline_fd, self._stop.set, LAST_RESORT_SECONDS)
        heed(
            {
                signal.SIGTERM: self._stop.set,
                signal.SIGINT: lambda: None,  # the supervisor says when to stop
                signal.SIGHUP: self._on_reload,
            }
        )
        watch = FileWatch(Path(self._source.path))
        named = NamedFilesWatch(lambda: self._source.looks, self._clock)
        async with self._checker:
            await self._workers.start()
            self._link.start()
            admin = await self._serve_admin()
            watching = asyncio.create_task(watch.run(self._file_changed, self._stop))
            looking = asyncio.create_task(named.run(self._named_file_changed))
            limiting = asyncio.create_task(repeat(self._limiter.tick, self._clock, "concurrency limits"))
            hedging = asyncio.create_task(repeat(self._hedge_delays.step, self._clock, "hedge delays"))
            try:
                await self._begin()
                self._plane.start()
                await self._stop.wait()
            finally:
                self._stop.set()
                limiting.cancel()
                hedging.cancel()
                await admin.close()
                await self._plane.close()
                await self._workers.close()
                self._link.close()
                looking.cancel()
                await asyncio.gather(
                    watching, looking, limiting, hedging, *self._reloads, return_exceptions=True
                )

    async def _begin(self) -> None:
        """Put in force what the file says; what was published before, when the file is no good."""
        if self._before is not None:
            self._plane.configuration = self._restored(self._before)
        try:
            configuration = self._source.read()
        except ConfigurationError as error:
            restored = self._plane.configuration
            if restored is None:
                raise
            self._reloader.reject("start", error)
            configuration = restored
        if not self._plane.publisher.baseline:
            self._plane.publisher.baseline = configuration.document
        await self._reloader.put_in_force(configuration, "start")

    def _restored(self, snapshot: Snapshot) -> Configuration | None:
        """Return the configuration that workers have; None when this code cannot read it."""
        try:
            return self._source.restored(snapshot.configuration, snapshot.files)
        except ValueError as error:
            self._log.warning("snapshot_not_restored", error=str(error))
            return None

    async def _file_changed(self) -> None:
        await self._reloader.reload("file changed")

    async def _named_file_changed(self) -> None:
        await self._reloader.reload("certificate changed")

    async def _serve_admin(self) -> AdminSite:
        """Serve the admin API on the inherited socket, if there is one."""
        view = GatewayView(self._plane, self._reloader, self._scoreboard, self._store, self._clock)
        bound = self._plan.admin_bound
        budgets = budget_reader(self._plane.roster, self._scoreboard, self._clock)
        api = AdminApi(
            self._plane,
            self._reloader,
            view,
            self._store,
            _Emptying(self._workers, self._scoreboard),
            self._clock,
            bound_to_loopback=bool(bound) and is_loopback(split_address(bound)[0]),
            collectors=[AttemptCollector(self._store, budgets)],
        )
        site = AdminSite(api.application())
        await site.start(socket.socket(fileno=self._plan.admin_fd) if self._plan.admin_fd >= 0 else None)
        return site


class _Emptying:
    """The scoreboard and the channel as one, for who waits until a backend is empty."""

    def __init__(self, workers: ChannelServer, scoreboard: Scoreboard) -> None:
        self.in_flight = scoreboard.in_flight
        self.acknowledged_by_all = workers.acknowledged_by_all


async def _run(plan: ControlPlan) -> None:
    await ControlProcess(plan, os.environ).run()


def main() -> None:
    """Run the control process whose plan stands in the environment."""
    plan = ControlPlan.claim(os.environ)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(plan))
    except ConfigurationError as error:
        structlog.get_logger().error("configuration_rejected", why="start", problems=str(error).splitlines())
        raise SystemExit(BAD_CONFIGURATION_STATUS) from None


if __name__ == "__main__":
    main()
