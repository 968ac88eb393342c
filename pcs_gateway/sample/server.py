"""An instance of the sample service: its listener, its connections and its end."""

import asyncio
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import web

from pcs_gateway.clock import Clock, SystemClock
from pcs_gateway.sample.call import Service
from pcs_gateway.sample.config import SampleConfig
from pcs_gateway.sample.connection import connect
from pcs_gateway.sample.exchange import Exchange
from pcs_gateway.sample.faults import FaultControl, Faults
from pcs_gateway.sample.resources import ResourceUsage
from pcs_gateway.sample.seed import seed
from pcs_gateway.sample.store import Store

BACKLOG = 2048
"""Connections that the kernel accepts for a stopped instance; uvicorn's default."""

POLL = 0.01
"""Seconds between two looks at whether the last connection has ended."""


class SampleServer:
    """
    One instance.

    Use it as `async with SampleServer(SampleConfig()) as server:` and connect to `server.url`.

    Args:
        config: How it is set up.
        clock: Time.
    """

    def __init__(self, config: SampleConfig, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._random = Random(config.seed)
        self._busy: dict[asyncio.Task[object], web.RequestHandler] = {}
        self._manager = web.Server(self._serve)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(timeout=0)

    @property
    def port(self) -> int:
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://{self._config.host}:{self.port}"

    @property
    def in_flight(self) -> int:
        """Give the number of requests that are being answered."""
        return len(self._busy)

    @property
    def connections(self) -> int:
        return len(self._manager.connections)

    async def start(self) -> None:
        """Open the data and listen.

        Raises:
            OSError: The address cannot be listened on.
        """
        config = self._config
        loop = asyncio.get_running_loop()
        self._service = Service(
            instance=config.instance,
            store=Store(config.database),
            faults=FaultControl(config.faults, self._random),
            resources=ResourceUsage(self._clock),
            clock=self._clock,
            may_die=config.may_die,
        )
        seed(self._service.store)
        self._listener = await loop.create_server(
            lambda: connect(self._manager, loop, config.keep_alive),
            config.host,
            config.port,
            backlog=BACKLOG,
        )

    def order(self, faults: Faults) -> None:
        """Put faults in force, as `PUT /sample/faults` does."""
        self._service.faults.replace(faults)

    async def stop(self, timeout: float | None = None) -> None:
        """End as uvicorn does: close the listener and idle connections at once, let the others finish.

        Args:
            timeout: Seconds until connections in use are closed too; None, as uvicorn, waits for ever.
        """
        self._listener.close()
        in_use = set(self._busy.values())
        for connection in self._manager.connections:
            if connection in in_use:
                connection.close()
            else:
                connection.force_close()
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while self._is_alive() and (deadline is None or self._clock.monotonic() < deadline):
            await self._clock.sleep(POLL)
        for task in self._busy:
            task.cancel()
        while self._is_alive():
            await self._clock.sleep(0)
        self._service.store.close()

    def _is_alive(self) -> bool:
        return bool(self._busy or self._manager.connections)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._busy[task] = request.protocol
        try:
            return await Exchange(request, self._service, self._config).serve()
        finally:
            del self._busy[task]
