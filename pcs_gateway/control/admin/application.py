"""The routes of the admin API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client.registry import Collector

from pcs_gateway import __version__
from pcs_gateway.backends.backend import AdministrativeState
from pcs_gateway.clock import Clock
from pcs_gateway.control.admin.access import Caller, refusal
from pcs_gateway.control.admin.orders import Order, read_order
from pcs_gateway.control.admin.problems import document, explain_errors, problem
from pcs_gateway.control.collecting import ControlCollector
from pcs_gateway.control.draining import Emptying, wait_until_empty
from pcs_gateway.control.loop import ControlPlane
from pcs_gateway.control.reloading import Reloader, ReloadReport
from pcs_gateway.control.standing import Standing
from pcs_gateway.control.view import GatewayView
from pcs_gateway.telemetry.exposition import (
    CONTENT_TYPE,
    BuildCollector,
    FiguresCollector,
    MeasurementCollector,
    render_metrics,
)
from pcs_gateway.telemetry.store import MeasurementStore

MOST_BODY_BYTES = 64 * 1024
MOST_DRAINS = 32
"""Callers who may wait for a backend to be empty; others are answered at once. Each holds a connection."""
"""Of a request to the admin API."""

STATES: Mapping[str, AdministrativeState] = {
    "drain": AdministrativeState.DRAINING,
    "disable": AdministrativeState.DISABLED,
    "enable": AdministrativeState.ACTIVE,
}
"""The administrative state that an action orders."""

STATUSES: Mapping[str, int] = {"applied": 200, "unchanged": 200, "rejected": 422, "incomplete": 409}
"""How a reload is answered, by its result."""


class AdminApi:
    """Answers the admin API's requests."""

    def __init__(
        self,
        plane: ControlPlane,
        reloader: Reloader,
        view: GatewayView,
        store: MeasurementStore,
        emptying: Emptying,
        clock: Clock,
        *,
        bound_to_loopback: bool,
        collectors: Iterable[Collector] = (),
    ) -> None:
        """Show and order these; `collectors` are what /metrics tells besides."""
        self._plane = plane
        self._reloader = reloader
        self._view = view
        self._emptying = emptying
        self._clock = clock
        self._drains = 0
        self._bound_to_loopback = bound_to_loopback
        self._collectors = (
            MeasurementCollector(store),
            FiguresCollector(view.figures),
            ControlCollector(plane),
            *collectors,
            BuildCollector(__version__),
        )

    def application(self) -> web.Application:
        """Return the application to serve."""
        application = web.Application(
            middlewares=[_guarding(self._refusal), explain_errors], client_max_size=MOST_BODY_BYTES
        )
        application.add_routes([web.route(method, path, handler) for method, path, handler in self._routes()])
        return application

    def _routes(self) -> list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        backend = "/api/v1/backends/{pool}/{backend}"
        return [
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("GET", "/metrics", self.metrics),
            ("GET", "/api/v1/status", self.status),
            ("GET", "/api/v1/config", self.config),
            ("POST", "/api/v1/reload", self.reload),
            ("GET", backend, self.backend),
            ("POST", backend, self.order),
            ("PUT", backend, self.order),
            ("POST", backend + "/{action}", self.order),
            ("PUT", backend + "/{action}", self.order),
        ]

    async def healthz(self, _: web.Request) -> web.Response:
        """Say that the control process lives."""
        return document({"status": "healthy"})

    async def readyz(self, _: web.Request) -> web.Response:
        """Say whether the gateway should get new traffic."""
        why = self._view.unreadiness()
        return problem(503, why, reason=why) if why else document({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        """Show the page that Prometheus scrapes."""
        return web.Response(body=render_metrics(self._collectors), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def status(self, _: web.Request) -> web.Response:
        """Show what an operator looks at first."""
        return document(await self._view.status())

    async def config(self, _: web.Request) -> web.Response:
        """Show the configuration in force, secrets masked."""
        return document(self._view.configuration())

    async def reload(self, _: web.Request) -> web.Response:
        """Read the configuration file again."""
        report = await self._reloader.reload("admin API")
        status = STATUSES[report.result]
        if status == 200:
            return document(report)
        return problem(status, _complaint(report), **msgspec.to_builtins(report))

    async def backend(self, request: web.Request) -> web.Response:
        """Show one backend."""
        return document(self._view.backend(self._standing(request)))

    async def order(self, request: web.Request) -> web.Response:
        """Drain, disable, enable or reweigh a backend; a drain answers when the backend is empty."""
        standing = self._standing(request)
        order = await read_order(request)
        if order.action == "weight":
            self._plane.reweigh(standing, order.weight)
        else:
            version = self._plane.order(standing, STATES[order.action])
            if order.action == "drain":
                return await self._drained(standing, order, version)
        return document(self._view.backend(standing))

    async def _drained(self, standing: Standing, order: Order, version: int) -> web.Response:
        """Answer when the backend is empty; with 202 when the caller's patience ends before, or many wait."""
        timeout = self._drain_timeout() if order.timeout is None else order.timeout
        if self._drains >= MOST_DRAINS:
            timeout = 0.0
        self._drains += 1
        try:
            report = await wait_until_empty(standing, version, timeout, self._emptying, self._clock)
        finally:
            self._drains -= 1
        answer = {**self._view.backend(standing), "drain": msgspec.to_builtins(report)}
        return document(answer, 200 if report.empty else 202)

    def _drain_timeout(self) -> float:
        configuration = self._plane.configuration
        return configuration.drain_timeout if configuration else 0.0

    def _standing(self, request: web.Request) -> Standing:
        return self._plane.roster.find(request.match_info["pool"], request.match_info["backend"])

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Refuse a caller who may not use the API."""
        field = request.headers.get
        caller = Caller(
            path=request.path,
            host=field(hdrs.HOST, ""),
            origin=field(hdrs.ORIGIN, ""),
            authorization=field(hdrs.AUTHORIZATION, ""),
        )
        configuration = self._plane.configuration
        if configuration is None:
            return problem(503, "starting", {"Retry-After": "1"})
        refused = refusal(caller, configuration.token, bound_to_loopback=self._bound_to_loopback)
        if refused is None:
            return None
        challenge = {"WWW-Authenticate": 'Bearer realm="pcs-gateway"'} if refused.status == 401 else None
        return problem(refused.status, refused.message, challenge)


def _guarding(refusal_of: Callable[[web.Request], web.Response | None]) -> Middleware:
    """Return a middleware that lets only those in who are not refused."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        return refusal_of(request) or await handler(request)

    return guard


def _complaint(report: ReloadReport) -> str:
    """Return what is wrong, in one line."""
    count = len(report.problems)
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{report.result}: {report.problems[0]}{more}"
