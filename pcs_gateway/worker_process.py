"""
A worker: the process that carries traffic, composed here and nowhere else.

Started by the supervisor with its plan in the environment. It applies what the control process publishes,
accepts on the shared sockets, and on SIGTERM drains and ends. It must not import aiohttp.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from random import Random

import structlog
import uvloop

from pcs_gateway.clock import SystemClock
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.processes.liveness import Heartbeat, heed, watch_lifeline
from pcs_gateway.processes.messages import HedgeDelays, Hello, PoolUpdate, Snapshot, Verdict
from pcs_gateway.processes.plan import WorkerPlan
from pcs_gateway.processes.scoreboard import Scoreboard
from pcs_gateway.processes.tickets import Tickets
from pcs_gateway.processes.worker_channel import WorkerChannel
from pcs_gateway.proxy.accepting import Acceptor
from pcs_gateway.proxy.data_plane import DataPlane
from pcs_gateway.proxy.tls_listening import TlsListeners
from pcs_gateway.telemetry.access_log import AccessLog, destination_of
from pcs_gateway.telemetry.config import LoggingConfig
from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.garbage import GarbageWatch
from pcs_gateway.telemetry.line_writer import STANDARD_ERROR, LineWriter
from pcs_gateway.telemetry.logging import configure_logging
from pcs_gateway.telemetry.recorder import Recorder
from pcs_gateway.tls.config import subject_names

SWEEP_SECONDS = 0.1
NEVER_COLLECTED = 1_000_000
"""Threshold of the oldest generation: never collected by itself, as the data path makes no cycles."""

FIRST_SNAPSHOT_SECONDS = 2.0
"""How long a worker that is told to drain before it knows what to serve waits for that."""

LAST_RESORT_SECONDS = 10.0
"""Beyond drain_timeout, when the supervisor is gone and the worker does not end by itself."""


class Worker:
    """One worker: what it owns, and what it does with what it is told."""

    def __init__(self, plan: WorkerPlan, loop: asyncio.AbstractEventLoop) -> None:
        self._plan = plan
        self._loop = loop
        self._clock = clock = SystemClock()
        self._random = Random(os.urandom(16))
        scoreboard = Scoreboard.attach(plan.scoreboard_fd)
        row = scoreboard.row(plan.row)
        self._row = row
        self._heartbeat = Heartbeat(row, clock)
        self._heartbeat.beat()
        self._error_writer = LineWriter(STANDARD_ERROR, clock.monotonic)
        self._configure_logging(LoggingConfig())
        self._log = structlog.get_logger()
        self._recorder = Recorder()
        self._channel = WorkerChannel(
            plan.channel_path,
            Hello(plan.row, os.getpid(), plan.incarnation),
            self,
            self._take_delta,
            self._log,
            clock,
            self._random,
        )
        self._plane = DataPlane(
            loop,
            clock,
            self._random,
            os.urandom,
            scoreboard,
            row,
            Tickets(plan.ticket_fds),
            self._recorder,
            self._channel.report,
        )
        sockets = [socket.socket(fileno=listener.fd) for listener in plan.listeners]
        self._tls = TlsListeners(plan.listeners)
        self._acceptor = Acceptor(loop, self._plane, scoreboard, row, sockets, self._cannot_accept, self._tls)
        self._plane.tell_fault = self._tell_fault
        self._config: GatewayConfig | None = None
        self._access_log_error = ""
        self._has_ended = asyncio.Event()
        self._drain_deadline = float("inf")

    def _configure_logging(self, config: LoggingConfig) -> None:
        configure_logging(config, f"worker-{self._plan.row}", self._clock, self._error_writer.put)

    def _take_delta(self) -> Delta:
        self._plane.settle()
        return self._recorder.take_delta()

    def _cannot_accept(self, error: OSError) -> None:
        self._log.warning("cannot_accept", error=str(error))

    def _tell_fault(self, error: Exception) -> None:
        self._log.error("data_path_fault", error=repr(error), exc_info=error)

    # what the control process says

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Apply a whole snapshot."""
        config = GatewayConfig.model_validate(snapshot.configuration)
        before, self._config = self._config, config
        if before is None or before.logging != config.logging:
            self._configure_logging(config.logging)
            self._open_access_log(config)
        self._tls.configure(config.listen, snapshot.files)
        self._plane.replace_pools(snapshot.pools, config.pools, snapshot.files)
        self._plane.configure(
            config.routes,
            config.limits,
            config.timeouts,
            config.forwarding,
            config.rate_limits,
            subject_names(one.tls for one in config.listen),
        )
        self._row.snapshot_version = snapshot.version
        if before is None:
            # what lives as long as the worker is never looked at again by the collector
            gc.collect()
            gc.freeze()

    def _open_access_log(self, config: GatewayConfig) -> None:
        access = config.logging.access
        if self._plane.access_log is not None:
            self._plane.access_log.close(0.0)  # its thread ends by itself: a blocked pipe must not hold us up
        if not access.enabled:
            self._plane.log_to(None)
            return
        writer = LineWriter(destination_of(access.file), self._clock.monotonic)
        self._plane.log_to(AccessLog(writer, access.sample, self._random, self._recorder.count))

    def on_pool_update(self, update: PoolUpdate) -> None:
        """Apply a change to one pool."""
        self._plane.replace_pool(update.pool)
        self._row.snapshot_version = update.version

    def on_verdict(self, verdict: Verdict) -> None:
        """Use a backend again that the control process does not eject."""
        if not verdict.ejected:
            self._plane.unskip(verdict.pool, verdict.backend)

    def on_hedge_delays(self, delays: HedgeDelays) -> None:
        """Hedge after the percentiles of now."""
        self._plane.hedge_after(delays.routes)

    # life

    async def run(self) -> None:
        """Serve until drained."""
        watch_lifeline(
            self._plan.lifeline_fd, self._supervisor_gone, self._plan.drain_timeout + LAST_RESORT_SECONDS
        )
        heed(
            {
                signal.SIGTERM: self.drain,
                signal.SIGINT: self.drain,
                signal.SIGHUP: self._reopen_access_log,
            }
        )
        gc.set_threshold(50_000, 20, NEVER_COLLECTED)
        garbage = GarbageWatch(self._recorder.count, self._clock.monotonic)
        garbage.start()
        self._channel.start()
        self._sweep()
        await self._begin_serving()
        await self._has_ended.wait()
        self._plane.settle()
        if self._plane.access_log is not None:
            self._plane.access_log.close(1.0)
        await self._channel.close()
        garbage.stop()
        self._error_writer.close(0.5)

    async def _begin_serving(self) -> None:
        """Accept as soon as there is something to serve; nobody is served without it."""
        first = asyncio.ensure_future(self._channel.first_snapshot(self._plan.snapshot_path))
        ended = asyncio.ensure_future(self._has_ended.wait())
        await asyncio.wait((first, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not first.done():
            first.cancel()
            return
        first.result()
        if self._plane.is_draining:
            self._accept_the_last()
        else:
            self._acceptor.start()

    def _sweep(self) -> None:
        # armed first: a fault in one connection's sweep must not end them all
        self._loop.call_later(SWEEP_SECONDS, self._sweep)
        self._heartbeat.beat()
        self._plane.sweep()
        if self._plane.access_log is not None:
            self._flush_access_log(self._plane.access_log)
        if self._plane.is_draining:
            self._watch_drain()

    def _flush_access_log(self, access_log: AccessLog) -> None:
        """Hand the lines on; say once when they cannot be written, and once when they can again."""
        access_log.flush()
        if access_log.error != self._access_log_error:
            self._access_log_error = access_log.error
            if access_log.error:
                self._log.error("access_log_not_written", error=access_log.error)
            else:
                self._log.info("access_log_written_again")

    def _supervisor_gone(self) -> None:
        if not self._plane.is_draining:
            self.drain()

    def _reopen_access_log(self) -> None:
        if self._plane.access_log is not None:
            self._plane.access_log.reopen()

    def drain(self) -> None:
        """Accept what is queued and no more; end when nothing is left, or after `drain_timeout`.

        Asked again, end now.
        """
        if self._plane.is_draining:
            self._drain_deadline = self._clock.monotonic()
            return
        self._plane.begin_drain()
        if self._config is None:
            self._drain_deadline = self._clock.monotonic() + FIRST_SNAPSHOT_SECONDS
        else:
            self._accept_the_last()

    def _accept_the_last(self) -> None:
        self._acceptor.close()
        self._plane.close_idle()
        timeout = self._config.drain_timeout if self._config is not None else self._plan.drain_timeout
        self._drain_deadline = self._clock.monotonic() + timeout
        self._log.info("worker_drains", connections=len(self._plane.connections))

    def _watch_drain(self) -> None:
        if self._acceptor.is_closed and self._plane.is_empty() and not self._acceptor.under_way:
            self._has_ended.set()
        elif self._clock.monotonic() >= self._drain_deadline:
            self._log.warning("drain_timeout_over", connections=len(self._plane.connections))
            self._plane.cut_all()
            self._has_ended.set()


async def _run(plan: WorkerPlan) -> None:
    await Worker(plan, asyncio.get_running_loop()).run()


def main() -> None:
    """Run the worker whose plan stands in the environment."""
    plan = WorkerPlan.claim(os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(plan))


if __name__ == "__main__":
    main()
