"""The control process at work: under a real supervisor, with real workers, backends and clients."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.fakes.processes.gateway import Gateway, plan_for

Find = Callable[[], Awaitable[Any]]

FILE = """
listen: [{{address: "127.0.0.1:0"}}]
admin: {{address: "127.0.0.1:0"}}
workers: 2
drain_delay: 0s
pools:
  pcs:
    strategy: round_robin
    backends: [{backends}]
    health_check: {{path: /health, interval: 300ms, fast_interval: 100ms, timeout: 500ms, rise: 2, fall: 2}}
    outlier_detection: {{consecutive_failures: 5, base_ejection: 2s, max_ejected: 0.5}}
"""


async def eventually(find: Find, seconds: float = 15.0) -> Any:
    """Ask again until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = await find()
        except (aiohttp.ClientError, FileNotFoundError):
            found = None
        if found or time.monotonic() > deadline:
            assert found, "it never became so"
            return found
        await asyncio.sleep(0.02)


class Instance:
    """
    A backend.

    Attributes:
        status: Of every answer but those to health checks.
        healthy: Whether health checks pass.
        seen: How many requests came.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = 200
        self.healthy = True
        self.seen = 0
        self.release = asyncio.Event()
        self.release.set()
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)

    async def start(self) -> None:
        """Listen on a free port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be gone."""
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/health":
            return web.Response(status=200 if self.healthy else 503)
        self.seen += 1
        await self.release.wait()
        return web.Response(status=self.status, text=self.name)


class Scene:
    """A gateway with its backends and a client."""

    def __init__(self, directory: Path, gateway: Gateway, instances: list[Instance]) -> None:
        self.file = directory / "gateway.yaml"
        self.gateway = gateway
        self.instances = instances
        self.client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10))

    async def admin(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        """Ask the admin API."""
        address = self.gateway.listeners()["admin"] if self.gateway.listeners() else "127.0.0.1:1"
        async with self.client.request(method, f"http://{address}{path}", **arguments) as response:
            return response.status, await response.json(content_type=None)

    async def backends(self) -> dict[str, Any]:
        """The pool's backends by name, as the admin API shows them."""
        _, status = await self.admin("GET", "/api/v1/status")
        return {backend["name"]: backend for backend in status["pools"]["pcs"]["backends"]}

    async def is_ready(self, *names: str) -> bool:
        """Whether exactly these are ready, and every worker knows."""
        _, status = await self.admin("GET", "/api/v1/status")
        version = status["configuration"]["snapshot_version"]
        ready = [one["name"] for one in status["pools"]["pcs"]["backends"] if one["ready"]]
        return ready == list(names) and all(w["snapshot_version"] == version for w in status["workers"])

    async def get(self, path: str = "/") -> tuple[int, str]:
        """Send a request through the gateway on a connection of its own."""
        address = self.gateway.listeners()["listen"][0]["bound"]
        async with self.client.get(f"http://{address}{path}", headers={"Connection": "close"}) as response:
            return response.status, await response.text()

    def control_pid(self) -> int:
        """The control process."""
        children = Path(f"/proc/{self.gateway.process.pid}/task/{self.gateway.process.pid}/children")
        for pid in children.read_text().split():
            if b"control_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        return 0


@asynccontextmanager
async def running(directory: Path, count: int = 3) -> AsyncIterator[Scene]:
    """A gateway in front of so many instances, all of them ready."""
    instances = [Instance(f"i{number}") for number in range(1, count + 1)]
    for instance in instances:
        await instance.start()
    backends = ", ".join(f'{{url: "http://127.0.0.1:{one.port}", name: {one.name}}}' for one in instances)
    (directory / "gateway.yaml").write_text(FILE.format(backends=backends))
    plan = plan_for(
        directory,
        control_module="pcs_gateway.control_process",
        worker_module="pcs_gateway.worker_process",
    )
    scene = Scene(directory, Gateway(plan, directory / "log"), instances)
    try:
        await eventually(lambda: scene.is_ready(*(one.name for one in instances)))
        await eventually(lambda: answers_200(scene))
        yield scene
    finally:
        scene.gateway.process.send_signal(signal.SIGTERM)
        await scene.client.close()
        for instance in instances:
            instance.release.set()
        for instance in instances:
            await instance.stop()
        await asyncio.to_thread(scene.gateway.process.wait, 20)


async def answers_200(scene: Scene) -> bool:
    """Whether the gateway is ready for traffic."""
    return (await scene.admin("GET", "/readyz"))[0] == 200


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A running gateway."""
    async with running(tmp_path) as scene:
        yield scene


async def test_failed_checks_take_a_backend_out_and_passed_ones_bring_it_back(scene: Scene) -> None:
    """Workers follow what the control process finds; clients see no error."""
    scene.instances[1].healthy = False
    await eventually(lambda: scene.is_ready("i1", "i3"))
    before = scene.instances[1].seen
    assert {(await scene.get())[0] for _ in range(6)} == {200}
    assert scene.instances[1].seen == before

    scene.instances[1].healthy = True
    await eventually(lambda: scene.is_ready("i1", "i2", "i3"))
    assert {(await scene.get())[1] for _ in range(6)} == {"i1", "i2", "i3"}


async def test_nothing_healthy_is_503_with_the_last_checks(scene: Scene) -> None:
    """The answer says of each backend what its last check found."""
    for instance in scene.instances:
        instance.healthy = False
    await eventually(scene.is_ready)
    status, body = await scene.get()

    assert status == 503
    assert "No healthy instances available" in body
    assert "status 503, expected 200" in body


async def test_black_hole_is_ejected_and_comes_back(scene: Scene) -> None:
    """A backend whose checks pass but whose answers are 503 is out after five of them, for a while."""
    scene.instances[0].status = 503
    for _ in range(40):
        await scene.get()
        if not (await scene.backends())["i1"]["ready"]:
            break
    shown = (await scene.backends())["i1"]
    assert shown["reason"].startswith("ejected: 5 gateway failures in a row")
    assert shown["health"]["status"] == "healthy"
    assert 0 < shown["ejected_for"] <= 2.0
    assert scene.instances[0].seen <= 20

    scene.instances[0].status = 200
    await eventually(lambda: scene.is_ready("i1", "i2", "i3"))


async def test_drain_answers_when_the_last_exchange_has_ended(scene: Scene) -> None:
    """New requests go elsewhere; the one in flight is finished first."""
    held = scene.instances[0]
    held.release.clear()
    asking = [asyncio.create_task(scene.get()) for _ in range(3)]
    await eventually(lambda: in_flight(scene, "i1", 1))
    draining = asyncio.create_task(scene.admin("POST", "/api/v1/backends/pcs/i1/drain?timeout=10s"))
    await eventually(lambda: scene.is_ready("i2", "i3"))
    assert {(await scene.get())[1] for _ in range(4)} == {"i2", "i3"}
    assert not draining.done()

    held.release.set()
    status, body = await draining
    assert (status, body["drain"]["empty"], body["active_connections"]) == (200, True, 0)
    assert {answer[0] for answer in await asyncio.gather(*asking)} == {200}


async def in_flight(scene: Scene, name: str, count: int) -> bool:
    """Whether a backend has so many in flight."""
    return bool((await scene.backends())[name]["active_connections"] == count)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_new_control_process_continues_where_the_old_one_was(
    scene: Scene, number: signal.Signals
) -> None:
    """Orders, weights and health survive it; traffic never notices."""
    await scene.admin("POST", "/api/v1/backends/pcs/i1/disable")
    await scene.admin("PUT", "/api/v1/backends/pcs/i2/weight", json={"weight": 4})
    scene.instances[2].healthy = False
    await eventually(lambda: scene.is_ready("i2"))
    old = scene.control_pid()
    os.kill(old, number)
    answers = {await scene.get() for _ in range(20)}
    await eventually(lambda: is_replaced(scene, old))

    assert answers == {(200, "i2")}
    shown = await scene.backends()
    assert [shown[name]["ready"] for name in ("i1", "i2", "i3")] == [False, True, False]
    assert shown["i1"]["administrative_state"] == "disabled"
    assert shown["i2"]["weight"] == 4
    events = [line for line in scene.gateway.text().splitlines() if '"backend_' in line]
    assert len(events) == len({*events})
    assert (await scene.get()) == (200, "i2")

    scene.instances[2].healthy = True
    await eventually(lambda: scene.is_ready("i2", "i3"))


async def is_replaced(scene: Scene, old: int) -> bool:
    """Whether another control process answers."""
    return scene.control_pid() not in {0, old} and await answers_200(scene)


async def test_control_process_finds_a_bad_file_and_goes_on_with_what_was_published(scene: Scene) -> None:
    """A file that was broken while nobody watched stops neither traffic nor control."""
    old = scene.control_pid()
    os.kill(old, signal.SIGSTOP)
    scene.file.write_text("pools: {}\n")
    os.kill(old, signal.SIGKILL)
    await eventually(lambda: is_replaced(scene, old))

    assert (await scene.get())[0] == 200
    assert list(await scene.backends()) == ["i1", "i2", "i3"]
    _, status = await scene.admin("GET", "/api/v1/status")
    assert str(scene.file) in status["configuration"]["rejected"]["problems"][0]


async def test_changed_file_is_applied_and_a_bad_one_is_not(scene: Scene) -> None:
    """The file is watched; a connection that is open stays open."""
    address = scene.gateway.listeners()["listen"][0]["bound"]
    good = scene.file.read_text()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        async with session.get(f"http://{address}/") as response:
            await response.read()
            assert response.connection is None
        scene.file.write_text("nonsense: 1\n")
        await eventually(lambda: logged(scene, '"event":"configuration_rejected"'))
        assert (await scene.get())[0] == 200

        hello = "{name: hello, match: {path: /hello}, respond: {status: 200, body: hello}}"
        scene.file.write_text(f"{good}routes: [{hello}, {{name: all, pool: pcs}}]\n")
        await eventually(lambda: answers_hello(scene))
        async with session.get(f"http://{address}/hello") as response:
            assert await response.text() == "hello"
    assert (await scene.backends())["i1"]["health"]["status"] == "healthy"


async def logged(scene: Scene, text: str) -> bool:
    """Whether the gateway's log says so."""
    return text in scene.gateway.text()


async def answers_hello(scene: Scene) -> bool:
    """Whether the fixed answer is in force in every worker."""
    return {await scene.get("/hello") for _ in range(8)} == {(200, "hello")}


async def test_sighup_and_removed_backend(scene: Scene) -> None:
    """SIGHUP reloads; a backend that left the file gets no more requests."""
    text = scene.file.read_text()
    start = text.index("[{url")
    end = text.index("}]", start) + 2
    one = f'[{{url: "http://127.0.0.1:{scene.instances[0].port}", name: i1}}]'
    scene.file.write_text(text[:start] + one + text[end:])
    scene.gateway.process.send_signal(signal.SIGHUP)
    await eventually(lambda: scene.is_ready("i1"))

    assert {(await scene.get())[1] for _ in range(6)} == {"i1"}


async def test_change_of_workers_starts_a_new_generation(scene: Scene) -> None:
    """The supervisor is asked; the old workers drain, no request fails."""
    scene.file.write_text(scene.file.read_text().replace("workers: 2", "workers: 1"))
    status, report = await scene.admin("POST", "/api/v1/reload")
    answers = {(await scene.get())[0] for _ in range(10)}

    assert (status, report["result"], report["generation"]) == (200, "applied", 2)
    assert answers == {200}
    await eventually(lambda: has_workers(scene, 1))


async def has_workers(scene: Scene, count: int) -> bool:
    """Whether so many workers are there, of one generation."""
    _, status = await scene.admin("GET", "/api/v1/status")
    return len(status["workers"]) == count


async def test_readiness_ends_with_sigterm_while_traffic_is_still_taken(scene: Scene) -> None:
    """During `drain_delay` load balancers see 503 on /readyz and clients are still served."""
    scene.file.write_text(scene.file.read_text().replace("drain_delay: 0s", "drain_delay: 1s"))
    assert (await scene.admin("POST", "/api/v1/reload"))[0] == 200
    scene.gateway.process.send_signal(signal.SIGTERM)
    await eventually(lambda: is_draining(scene), 1.0)

    assert (await scene.get())[0] == 200


async def is_draining(scene: Scene) -> bool:
    """Whether /readyz says so."""
    return (await scene.admin("GET", "/readyz"))[0] == 503


async def test_measurements_reach_the_admin_api(scene: Scene) -> None:
    """What workers measured is on the page and in the status within two seconds."""
    for _ in range(9):
        await scene.get()
    await eventually(lambda: counted(scene, 9))


async def counted(scene: Scene, count: int) -> bool:
    """Whether so many requests were measured."""
    _, status = await scene.admin("GET", "/api/v1/status")
    address = scene.gateway.listeners()["admin"]
    async with scene.client.get(f"http://{address}/metrics") as response:
        page = await response.text()
    line = f'pcs_gateway_requests_total{{method="GET",route="default",status_class="2xx"}} {float(count)}'
    return status["performance"]["response_time"]["p50"] > 0 and line in page


async def test_restarted_gateway_remembers_orders_and_serves_at_once(tmp_path: Path) -> None:
    """What operators ordered and what checks found lately outlasts the whole gateway."""
    async with running(tmp_path) as scene:
        await scene.admin("POST", "/api/v1/backends/pcs/i1/disable")
        await scene.admin("PUT", "/api/v1/backends/pcs/i2/weight", json={"weight": 4})
        scene.gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(scene.gateway.process.wait, 20)

        for instance in scene.instances:
            instance.release.clear()  # traffic hangs, checks do not: what is ready is so from memory
        scene.gateway = Gateway(scene.gateway.plan, tmp_path / "log.2")
        await eventually(lambda: scene.is_ready("i2", "i3"))
        shown = await scene.backends()

    assert shown["i1"]["administrative_state"] == "disabled"
    assert shown["i2"]["weight"] == 4
    assert '"event":"backend_ready"' not in (tmp_path / "log.2").read_text()
