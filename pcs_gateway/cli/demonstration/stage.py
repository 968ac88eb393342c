"""The demo as it runs: everything started in order, watched, and ended in order."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pcs_gateway.cli.admin import AdminClient
from pcs_gateway.cli.demonstration import traffic
from pcs_gateway.cli.demonstration.changes import Standing, all_ready, changes, standings
from pcs_gateway.cli.demonstration.child import Child
from pcs_gateway.cli.demonstration.guide import guide
from pcs_gateway.cli.demonstration.layout import INSTANCES, LOOPBACK, Layout, gateway_program
from pcs_gateway.clock import Clock
from pcs_gateway.errors import CommandError
from pcs_gateway.loadtest import LoadTester

START_PATIENCE = 30.0
"""Seconds for each of the processes to listen, and for all backends to be ready."""
GATEWAY_FAREWELL = 10.0
INSTANCE_FAREWELL = 3.0
LOOK_EVERY = 0.5
"""Seconds between two looks at the gateway's status."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Demo:
    """
    One demo.

    Args:
        layout: Where everything is.
        rate: Requests per second of its own traffic; 0 for none.
        clock: Time.
        say: Takes each line for people.
    """

    def __init__(self, layout: Layout, rate: float, clock: Clock, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._rate = rate
        self._clock = clock
        self._say = say
        self._gateway = Child("the gateway", layout.gateway_command(), layout.gateway_log)
        self._instances = {
            name: Child(f"instance {name}", layout.instance_command(name), layout.log_of(name))
            for name in INSTANCES
        }
        self._admin = AdminClient(layout.admin_url)
        self._stopped = asyncio.Event()
        self._wanted_back = asyncio.Event()

    async def run(self) -> None:
        """
        Run until a signal ends it.

        Raises:
            CommandError: Something did not start, or the gateway ended by itself.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGUSR1, self._wanted_back.set)
        tasks: list[asyncio.Task[None]] = []
        try:
            starting = asyncio.create_task(self._start())
            if not await self._unless_stopped(starting):
                return
            tasks = [asyncio.create_task(work) for work in self._works()]
            await self._unless_stopped(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()

    def _stop(self) -> None:
        if self._stopped.is_set():
            for child in [self._gateway, *self._instances.values()]:
                child.kill()
        self._stopped.set()

    async def _unless_stopped(self, *tasks: asyncio.Task[None]) -> bool:
        """Wait for the first of the tasks to end, and say whether one did before a signal came."""
        stopping = asyncio.create_task(self._stopped.wait())
        await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in tasks:
            if task.done():
                task.result()
                return True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return False

    # starting

    async def _start(self) -> None:
        layout = self._layout
        layout.configuration.write_text(layout.configuration_text(), encoding="utf-8")
        for instance in self._instances.values():
            await instance.start()
        for name, instance in self._instances.items():
            await instance.listens(LOOPBACK, layout.instance_ports[name], self._clock, START_PATIENCE)
        await self._gateway.start()
        self._standings = standings(await self._ready_status())
        pids = {name: instance.pid for name, instance in self._instances.items()}
        pids["gateway"] = self._gateway.pid
        self._say(guide(layout, pids, os.getpid(), gateway_program(), shutil.which))
        self._say("")

    async def _ready_status(self) -> dict[str, Any]:
        deadline = self._clock.monotonic() + START_PATIENCE
        while self._clock.monotonic() < deadline:
            self._gateway.check()
            status = await self._status()
            if status is not None and all_ready(status):
                return status
            await self._clock.sleep(LOOK_EVERY / 5)
        raise CommandError(f"the gateway is not ready after {START_PATIENCE:g} s{self._gateway.last_words()}")

    async def _status(self) -> dict[str, Any] | None:
        """Return the gateway's status; None while its admin API does not answer."""
        try:
            return await asyncio.to_thread(self._admin.get, "/api/v1/status")
        except CommandError:
            return None

    # running

    def _works(self) -> list[Any]:
        works = [self._watch_gateway(), self._watch_status(), self._bring_back()]
        works += [self._watch_instance(instance) for instance in self._instances.values()]
        return [*works, self._send_traffic()] if self._rate > 0 else works

    async def _watch_gateway(self) -> None:
        await self._gateway.wait()
        self._gateway.check()

    async def _watch_status(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            status = await self._status()
            if status is None:
                continue
            found: dict[str, Standing] = standings(status)
            for change in changes(self._standings, found):
                self._tell(change)
            self._standings = found

    async def _watch_instance(self, instance: Child) -> None:
        while True:
            await instance.wait()
            self._tell(f"{instance.name} {instance.ending}; it comes back with: kill -USR1 {os.getpid()}")
            while not instance.is_running:
                await self._clock.sleep(LOOK_EVERY / 5)

    async def _bring_back(self) -> None:
        """Start what has ended again, each time when asked to."""
        while True:
            await self._wanted_back.wait()
            self._wanted_back.clear()
            for instance in self._instances.values():
                if not instance.is_running:
                    await instance.start()
                    self._tell(f"{instance.name} is started again, pid {instance.pid}")

    async def _send_traffic(self) -> None:
        tester = LoadTester(self._clock)
        while True:
            report = await tester.run_load_test(traffic.config(self._layout.url, self._rate))
            self._tell(traffic.line(report))

    def _tell(self, text: str) -> None:
        now = datetime.fromtimestamp(self._clock.time(), UTC).astimezone()
        self._say(f"{now:%H:%M:%S} {text}")

    # ending

    async def _end(self) -> None:
        """End the gateway first, so that nothing is sent to instances that are gone."""
        await self._gateway.end(GATEWAY_FAREWELL)
        await asyncio.gather(*(one.end(INSTANCE_FAREWELL) for one in self._instances.values()))
