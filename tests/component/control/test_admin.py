"""The admin API over HTTP, with a real control plane and scoreboard behind it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from pcs_gateway.clock import SystemClock
from pcs_gateway.control.admin.application import AdminApi
from pcs_gateway.control.reloading import Reloader
from pcs_gateway.control.view import GatewayView
from pcs_gateway.control_process import FileSource
from pcs_gateway.processes.scoreboard import Role
from pcs_gateway.telemetry.record import ExchangeRecord
from pcs_gateway.telemetry.recorder import Recorder
from pcs_gateway.telemetry.store import MeasurementStore
from tests.fakes.control import REFUSED, Control, Generations, control_plan
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

FILE = """
workers: 1
pools:
  pcs:
    backends:
      - {url: "http://127.0.0.1:8001", name: one}
      - {url: "http://127.0.0.1:8002", name: "127.0.0.1:8002"}
"""


class Admin:
    """An admin API with one worker up, behind an HTTP client."""

    def __init__(self, directory: Path) -> None:
        clock = SystemClock()
        self.file = directory / "gateway.yaml"
        self.file.write_text(FILE)
        self.control = Control(clock, directory)
        self.store = MeasurementStore(clock.monotonic())
        self.row = self.control.scoreboard.row(1)
        self.row.pid, self.row.role, self.row.accepting = 4711, Role.WORKER, 1
        self.row.heartbeat = clock.monotonic() + 3600.0
        self.generations = Generations()
        self.source = FileSource(control_plan(directory), {"TOKEN": "geheim"})
        self.reloader = Reloader(
            self.source, self.control.plane, self.generations, (), 1, lambda _: None, clock
        )
        view = GatewayView(self.control.plane, self.reloader, self.control.scoreboard, self.store, clock)
        api = AdminApi(
            self.control.plane, self.reloader, view, self.store, self, clock, bound_to_loopback=True
        )
        self.client = TestClient(TestServer(api.application()))
        self.in_flight = self.control.scoreboard.in_flight
        self.acknowledged_by_all = self.control.workers.acknowledged_by_all

    async def begin(self) -> None:
        """Put the file in force."""
        new = self.source.read()
        self.control.publisher.baseline = new.document
        await self.reloader.put_in_force(new, "start")
        await until(lambda: all(self.control.workers.ready()))

    async def ask(
        self, method: str, path: str, **arguments: Any
    ) -> tuple[int, dict[str, Any], aiohttp.ClientResponse]:
        """Send a request; return status, JSON and the response."""
        async with self.client.request(method, path, **arguments) as response:
            return response.status, await response.json(content_type=None), response


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    """An admin API whose configuration is in force and whose backends are ready."""
    admin = Admin(tmp_path)
    async with admin.client:
        await admin.begin()
        yield admin
        await admin.control.plane.close()


class TestProbes:
    async def test_healthz_is_well(self, admin: Admin) -> None:
        """The control process answers."""
        status, body, _ = await admin.ask("GET", "/healthz")
        assert (status, body) == (200, {"status": "healthy"})

    async def test_readyz_follows_workers_and_draining(self, admin: Admin) -> None:
        """Ready with a worker that accepts; not while draining, nor when the worker is silent or gone."""
        status, body, _ = await admin.ask("GET", "/readyz")
        assert (status, body) == (200, {"status": "ready"})

        admin.control.scoreboard.draining = 1
        status, body, response = await admin.ask("GET", "/readyz")
        assert (status, body["message"]) == (503, "draining")
        assert response.content_type == "application/problem+json"

        admin.control.scoreboard.draining = 0
        admin.row.heartbeat = 1.0
        status, body, _ = await admin.ask("GET", "/readyz")
        assert (status, body["message"]) == (503, "no worker is up")

        admin.row.heartbeat = SystemClock().monotonic() + 3600.0
        admin.row.accepting = 0
        assert (await admin.ask("GET", "/readyz"))[0] == 503

    async def test_nothing_is_answered_before_a_configuration_is_in_force(self, tmp_path: Path) -> None:
        """Without it nobody knows whether there is a token."""
        admin = Admin(tmp_path)
        async with admin.client:
            status, body, response = await admin.ask("GET", "/api/v1/config")

        assert (status, body["message"], response.headers["Retry-After"]) == (503, "starting", "1")


class TestStatus:
    async def test_tells_readiness_and_why(self, admin: Admin) -> None:
        """Each backend with its state, health, counts and percentiles, in the specification's names."""
        admin.control.backends.results["http://127.0.0.1:8001"] = REFUSED
        standing = admin.control.plane.roster.find("pcs", "one")
        for _ in range(3):
            admin.control.plane.observe(standing.key, REFUSED, SystemClock().monotonic())
        admin.row.in_flight[standing.column] = 3
        _, body, _ = await admin.ask("GET", "/api/v1/status")

        one, two = body["pools"]["pcs"]["backends"]
        assert (one["ready"], one["reason"]) == (False, "unhealthy: connection refused")
        assert (one["health"]["status"], one["health"]["detail"]) == ("unhealthy", "connection refused")
        assert one["health"]["last_check"] > 1_700_000_000
        assert one["active_connections"] == 3
        assert (two["name"], two["ready"], two["reason"]) == ("127.0.0.1:8002", True, "")
        assert two["health"]["status"] == "healthy"
        assert (body["version"], body["status"]) == ("0.1.0", "ready")
        assert body["workers"][0]["pid"] == 4711

    async def test_percentiles_are_of_what_workers_measured(self, admin: Admin) -> None:
        """Overall, per pool and per backend, from the same histogram."""
        recorder = Recorder()
        for milliseconds in range(1, 101):
            record = ExchangeRecord()
            record.route, record.pool, record.backend = "default", "pcs", "one"
            record.method, record.status = b"GET", 200
            record.duration = record.upstream_time = milliseconds / 1000
            recorder.record(record)
        admin.store.add(recorder.take_delta(), SystemClock().monotonic())
        _, body, _ = await admin.ask("GET", "/api/v1/status")

        overall = body["performance"]["response_time"]
        one, two = body["pools"]["pcs"]["backends"]
        assert overall["p50"] == pytest.approx(0.050, rel=0.02)
        assert one["response_time"]["p95"] == pytest.approx(0.095, rel=0.02)
        assert body["pools"]["pcs"]["response_time"]["p99"] == pytest.approx(0.099, rel=0.02)
        assert two["response_time"]["p50"] == 0.0

    async def test_metrics_page_can_be_scraped(self, admin: Admin) -> None:
        """Prometheus' own parser reads it; backends, flips and ejections are there."""
        async with admin.client.get("/metrics") as response:
            families = {f.name: f for f in text_string_to_metric_families(await response.text())}

        ready = {s.labels["backend"]: s.value for s in families["pcs_gateway_backend_ready"].samples}
        assert ready == {"one": 1.0, "127.0.0.1:8002": 1.0}
        flips = families["pcs_gateway_health_flips"].samples[0]
        assert flips.labels == {"pool": "pcs", "backend": "127.0.0.1:8002", "status": "healthy"}
        assert families["pcs_gateway_readiness_flips"].samples[0].labels["to"] == "ready"
        assert "pcs_gateway_ejections" in families
        assert "pcs_gateway_build_info" in families

    async def test_config_is_effective_and_masked(self, admin: Admin) -> None:
        """Defaults are filled in, secrets are not shown."""
        admin.file.write_text(FILE + "cache: {identity: {secret: sehr-geheim}}\n")
        await admin.ask("POST", "/api/v1/reload")
        _, body, response = await admin.ask("GET", "/api/v1/config")

        assert body["pools"]["pcs"]["health_check"]["rise"] == 2
        assert "sehr-geheim" not in await response.text()


class TestBackend:
    async def test_backend_is_shown(self, admin: Admin) -> None:
        """By pool and name; a name with a colon too."""
        status, body, _ = await admin.ask("GET", "/api/v1/backends/pcs/127.0.0.1:8002")
        assert (status, body["url"], body["weight"]) == (200, "http://127.0.0.1:8002", 1)
        status, body, _ = await admin.ask("GET", "/api/v1/backends/pcs/127.0.0.1%3A8002")
        assert status == 200

    async def test_drain_answers_when_it_is_empty(self, admin: Admin) -> None:
        """While something is in flight the answer waits."""
        column = admin.control.plane.roster.find("pcs", "one").column
        admin.row.in_flight[column] = 1
        asking = asyncio.create_task(admin.ask("POST", "/api/v1/backends/pcs/one/drain?timeout=20s"))
        await until(lambda: admin.control.workers.ready() == [False, True])
        await asyncio.sleep(0.1)
        assert not asking.done()

        admin.row.in_flight[column] = 0
        status, body, _ = await asking
        assert (status, body["administrative_state"], body["active_connections"]) == (200, "draining", 0)
        assert body["drain"]["empty"] is True

    @pytest.mark.parametrize(
        "arguments",
        [{"params": {"timeout": "50ms"}}, {"json": {"timeout": "50ms"}}, {"json": {"timeout": 0.05}}],
    )
    async def test_drain_that_takes_too_long_is_answered_with_202(
        self, admin: Admin, arguments: dict[str, Any]
    ) -> None:
        """It stays draining; the answer says what is left."""
        admin.row.in_flight[admin.control.plane.roster.find("pcs", "one").column] = 2
        status, body, _ = await admin.ask("POST", "/api/v1/backends/pcs/one/drain", **arguments)

        assert (status, body["drain"]["in_flight"], body["drain"]["reason"]) == (202, 2, "2 in flight")
        assert body["administrative_state"] == "draining"

    async def test_disable_and_enable(self, admin: Admin) -> None:
        """At once, by either method."""
        status, body, _ = await admin.ask("PUT", "/api/v1/backends/pcs/one/disable")
        assert (status, body["ready"], body["reason"]) == (200, False, "disabled by order of an operator")
        assert admin.control.workers.ready() == [False, True]

        status, body, _ = await admin.ask("POST", "/api/v1/backends/pcs/one/enable")
        assert (status, body["ready"]) == (200, True)
        assert admin.control.workers.ready() == [True, True]

    @pytest.mark.parametrize(
        ("path", "arguments"),
        [
            ("/weight", {"json": {"weight": 7}}),
            ("/weight", {"params": {"weight": "7"}}),
            ("", {"json": {"weight": 7}}),
            ("", {"json": {"action": "weight", "weight": 7}}),
        ],
    )
    async def test_weight_is_set_and_reset(self, admin: Admin, path: str, arguments: dict[str, Any]) -> None:
        """An override until null ends it."""
        status, body, _ = await admin.ask("PUT", f"/api/v1/backends/pcs/one{path}", **arguments)
        assert (status, body["weight"], body["configured_weight"]) == (200, 7, 1)
        assert admin.control.workers.pool().backends[0].weight == 7

        _, body, _ = await admin.ask("PUT", "/api/v1/backends/pcs/one/weight", json={"weight": None})
        assert body["weight"] == 1

    @pytest.mark.parametrize(
        ("path", "arguments", "status", "message"),
        [
            ("nope/one/drain", {}, 404, "there is no pool 'nope'; there are: pcs"),
            ("pcs/nope/drain", {}, 404, "pool 'pcs' has no backend 'nope'; it has: one, 127.0.0.1:8002"),
            ("pcs/one/explode", {}, 400, "action is 'explode', allowed: drain, disable, enable, weight"),
            ("pcs/one", {}, 400, "action is None, allowed: drain, disable, enable, weight"),
            ("pcs/one", {"json": {"action": ["drain"]}}, 400, "action is ['drain'], allowed: drain, "),
            ("pcs/one/weight", {}, 400, "weight is missing: a whole number from 1 to 1000, or null"),
            ("pcs/one/weight", {"json": {"weight": 0}}, 400, "weight is 0, allowed: a whole number"),
            ("pcs/one/weight", {"json": {"weight": 1001}}, 400, "weight is 1001, allowed: a whole number"),
            ("pcs/one/weight", {"json": {"weight": 1.5}}, 400, "weight is 1.5, allowed: a whole number"),
            ("pcs/one/weight", {"json": {"weight": True}}, 400, "weight is True, allowed: a whole number"),
            ("pcs/one/drain", {"json": {"timeout": "soon"}}, 400, "timeout is 'soon', allowed: a duration"),
            ("pcs/one/drain", {"json": {"timeout": []}}, 400, "timeout is [], allowed: a duration"),
            ("pcs/one/drain", {"json": {"timeout": "2h"}}, 400, "timeout is '2h', allowed: from 0s to 3600s"),
            ("pcs/one/drain", {"json": {"timout": "2s"}}, 400, "drain takes no 'timout'"),
            ("pcs/one/enable", {"json": [1]}, 400, "the body must be a JSON object"),
            ("pcs/one/enable", {"data": b"["}, 400, "the body must be a JSON object"),
            ("pcs/one/enable", {"data": b"[" * 60_000}, 400, "the body must be a JSON object"),
            ("pcs/one/enable", {"data": b" " * 70_000}, 413, "Request Entity Too Large"),
        ],
    )
    async def test_bad_orders_change_nothing_and_say_what_is_allowed(
        self, admin: Admin, path: str, arguments: dict[str, Any], status: int, message: str
    ) -> None:
        """Every error is problem details with a string message."""
        messages = len(admin.control.workers.messages)
        found, body, response = await admin.ask("POST", f"/api/v1/backends/{path}", **arguments)

        assert (found, body["status"]) == (status, status)
        assert body["message"].startswith(message)
        assert response.content_type == "application/problem+json"
        assert len(admin.control.workers.messages) == messages


class TestReload:
    async def test_good_file_is_applied(self, admin: Admin) -> None:
        """The answer says what changed."""
        admin.file.write_text(FILE + "timeouts: {connect: 3s}\n")
        status, body, _ = await admin.ask("POST", "/api/v1/reload")

        assert (status, body["result"], body["changed"]) == (200, "applied", ["timeouts.connect"])

    async def test_bad_file_is_answered_with_all_problems(self, admin: Admin) -> None:
        """422, every problem, and nothing changed."""
        admin.file.write_text("workers: many\nnonsense: 1\n")
        status, body, response = await admin.ask("POST", "/api/v1/reload")

        assert (status, body["result"], len(body["problems"])) == (422, "rejected", 3)
        assert body["message"].startswith("rejected: ")
        assert response.content_type == "application/problem+json"
        assert (await admin.ask("GET", "/api/v1/backends/pcs/one"))[0] == 200

    async def test_generation_that_fails_is_answered_with_409(self, admin: Admin) -> None:
        """In force but for the sockets."""
        admin.generations.error = "address in use"
        admin.file.write_text(FILE.replace("workers: 1", "workers: 2"))
        status, body, _ = await admin.ask("POST", "/api/v1/reload")

        assert (status, body["result"]) == (409, "incomplete")
        assert body["message"].endswith("address in use")


class TestAccess:
    async def test_token_is_asked_for_and_taken_from_the_reloaded_file(self, admin: Admin) -> None:
        """A token that a reload brings is in force at once."""
        admin.file.write_text(FILE + "admin: {token: '${TOKEN}'}\n")
        assert (await admin.ask("POST", "/api/v1/reload"))[0] == 200

        status, body, response = await admin.ask("GET", "/api/v1/status")
        assert (status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="pcs-gateway"')
        assert body["message"] == "the admin API needs a token: Authorization: Bearer …"
        headers = {"Authorization": "Bearer geheim"}
        assert (await admin.ask("GET", "/api/v1/status", headers=headers))[0] == 200
        assert (await admin.ask("GET", "/healthz"))[0] == 200

    async def test_rebound_name_is_refused(self, admin: Admin) -> None:
        """Without a token the Host must name loopback."""
        status, body, _ = await admin.ask("GET", "/api/v1/status", headers={"Host": "evil.example"})

        assert status == 403
        assert "loopback" in body["message"]

    async def test_order_of_a_foreign_page_is_refused(self, admin: Admin) -> None:
        """A page cannot drain a backend through its reader's browser."""
        headers = {"Origin": "https://evil.example"}
        status, _, _ = await admin.ask("POST", "/api/v1/backends/pcs/one/disable", headers=headers)

        assert status == 403
        assert admin.control.workers.ready() == [True, True]

    @pytest.mark.parametrize("token", ["", "geheim"])
    @pytest.mark.parametrize("field", [b"Authorization: Bearer ", b"Authorization: ", b"Origin: "])
    async def test_bytes_that_are_no_text_are_refused(
        self, admin: Admin, caplog: pytest.LogCaptureFixture, token: str, field: bytes
    ) -> None:
        """Whatever stands in a field is judged, and nothing goes wrong by it."""
        if token:
            admin.file.write_text(FILE + "admin: {token: '${TOKEN}'}\n")
            await admin.reloader.reload("test")
        async with RawClient(admin.client.port or 0) as client:
            client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n%b\xff\xfe\r\n\r\n" % field)
            answer = await client.read_answer()

        assert (401 if token else 403) == answer.status
        assert [] == caplog.records


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nope", 404, "there is no /nope"),
        ("GET", "/api/v1/reload", 405, "/api/v1/reload takes POST, not GET"),
        ("DELETE", "/api/v1/status", 405, "/api/v1/status takes GET, HEAD, not DELETE"),
    ],
)
async def test_errors_of_routing_are_problem_details_too(
    admin: Admin, method: str, path: str, status: int, message: str
) -> None:
    """Whatever goes wrong, the answer has one form."""
    found, body, response = await admin.ask(method, path)

    assert (found, body["message"], response.content_type) == (status, message, "application/problem+json")
