"""One health check against real servers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pcs_gateway.backends.config import HealthCheckConfig
from pcs_gateway.backends.health import CheckResult
from pcs_gateway.control.health.checks import Checker
from pcs_gateway.control.health.target import Target, TargetTls
from pcs_gateway.tls.config import BackendTlsConfig
from tests.fakes.authority import Authority
from tests.fakes.backend import OK, ScriptedBackend
from tests.fakes.backend import answering as answering_bytes
from tests.fakes.descriptors import used_up

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """An aiohttp server on loopback; gives its port."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def target(port: int, name: str = "127.0.0.1", **check: Any) -> Target:
    """A backend on loopback."""
    return Target(f"http://{name}:{port}", name, port, HealthCheckConfig.model_validate(check))


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    """A checker that knows loopback under three names, and one address behind which nobody is."""
    known = {
        "127.0.0.1": ("127.0.0.1",),
        "app.internal": ("127.0.0.1",),
        "two.internal": ("127.0.0.9", "127.0.0.1"),
    }
    async with Checker(lambda host: known.get(host, ())) as checker:
        yield checker


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
    return port


async def answering(status: int, body: str = "", content_type: str = "application/json") -> web.Response:
    """An answer."""
    return web.Response(status=status, text=body, content_type=content_type)


class TestHttp:
    @pytest.mark.parametrize(
        ("status", "body", "check", "passed", "detail"),
        [
            (200, "", {}, True, "status 200"),
            (204, "", {"expect_status": [200, 204]}, True, "status 204"),
            (503, "", {}, False, "status 503, expected 200"),
            (500, "", {"expect_status": [200, 204]}, False, "status 500, expected 200 or 204"),
            (302, "", {}, False, "status 302, expected 200"),
            (200, '{"status": "ready", "more": 1}', {"expect_json": {"status": "ready"}}, True, "status 200"),
            (
                200,
                '{"status": "starting"}',
                {"expect_json": {"status": "ready"}},
                False,
                '\'status\' is "starting", expected "ready"',
            ),
            (200, "{}", {"expect_json": {"n": 1}}, False, "no member 'n' in the body, expected 1"),
            (200, '{"n": true}', {"expect_json": {"n": 1}}, False, "'n' is true, expected 1"),
            (200, "[1]", {"expect_json": {"n": 1}}, False, "the body is [1], expected an object"),
            (200, "<html>", {"expect_json": {"n": 1}}, False, "the body is not JSON, expected an object"),
        ],
    )
    async def test_answer_is_compared_with_what_is_expected(
        self, checker: Checker, status: int, body: str, check: dict[str, Any], passed: bool, detail: str
    ) -> None:
        """Status first, then each member; the detail says what was seen and what was expected."""
        async with serving(lambda _: answering(status, body)) as port:
            result = await checker(target(port, path="/health", **check))

        assert result == CheckResult(passed, detail)

    async def test_request_says_path_host_and_who_asks(self, checker: Checker) -> None:
        """The probe asks for the path with its query, by the backend's own host unless told another."""
        seen: list[tuple[str, str, str]] = []

        async def note(request: web.BaseRequest) -> web.Response:
            seen.append((request.raw_path, request.headers["Host"], request.headers["User-Agent"]))
            return web.Response()

        async with serving(note) as port:
            await checker(target(port, "app.internal", path="/health?deep=1"))
            await checker(target(port, "app.internal", path="/health", host="pcs.example"))

        agent = "pcs-gateway/0.1.0 (health check)"
        assert seen == [
            ("/health?deep=1", f"app.internal:{port}", agent),
            ("/health", "pcs.example", agent),
        ]

    async def test_each_check_opens_its_own_connection(self, checker: Checker) -> None:
        """A pooled connection would hide a backend that accepts no more."""
        peers: set[object] = set()

        async def note(request: web.BaseRequest) -> web.Response:
            peers.add(request.transport and request.transport.get_extra_info("peername"))
            return web.Response()

        async with serving(note) as port:
            for _ in range(3):
                await checker(target(port, path="/health"))

        assert len(peers) == 3

    async def test_silence_fails_after_the_timeout(self, checker: Checker) -> None:
        """A backend that accepts and hangs has failed when the time is over."""
        release = asyncio.Event()

        async def hang(_: web.BaseRequest) -> web.Response:
            await release.wait()
            return web.Response()

        async with serving(hang) as port:
            result = await checker(target(port, path="/health", timeout="50ms"))
            release.set()

        assert result == CheckResult(False, "no answer within 50ms", timed_out=True)

    async def test_body_that_never_ends_is_read_to_a_limit(self, checker: Checker) -> None:
        """A body beyond the limit is no JSON, and costs no memory."""

        async def flood(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"[" * 8192)

        async with serving(flood) as port:
            result = await checker(target(port, path="/health", expect_json={"n": 1}))

        assert result == CheckResult(False, "the body is not JSON, expected an object")

    async def test_nobody_listens(self, checker: Checker, closed_port: int) -> None:
        """A refused connection is told in the system's words."""
        result = await checker(target(closed_port, path="/health"))

        assert result == CheckResult(False, "connection refused")

    async def test_second_address_is_tried(self, checker: Checker) -> None:
        """A host with several addresses passes when one of them answers."""
        async with serving(lambda _: answering(200)) as port:
            http = await checker(target(port, "two.internal", path="/health"))
            tcp = await checker(target(port, "two.internal"))

        assert (http.passed, tcp.passed) == (True, True)

    async def test_unresolved_host_fails(self, checker: Checker) -> None:
        """Without an address there is nothing to connect to, and DNS is not asked."""
        result = await checker(target(80, "unknown.internal", path="/health"))

        assert result == CheckResult(False, "unknown.internal does not resolve")

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"\x00\xff\x13\x37" * 50,
            b"HTTP/1.1 200\r\n",
            b"HTTP/9.9 200 OK\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000,
        ],
    )
    async def test_garbage_fails_and_raises_nothing(self, checker: Checker, answer: bytes) -> None:
        """Whatever comes back, the check fails with one line."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        result = await checker(target(port, path="/health", expect_json={"n": 1}))
        server.close()
        await server.wait_closed()

        assert not result.passed
        assert result.detail
        assert "\n" not in result.detail


class TestTcp:
    async def test_connect_passes(self, checker: Checker) -> None:
        """Without a path a connection that opens is enough."""
        async with serving(lambda _: answering(503)) as port:
            result = await checker(target(port))

        assert result == CheckResult(True, "connected")

    async def test_refused_connect_fails(self, checker: Checker, closed_port: int) -> None:
        """A refused connection fails."""
        assert await checker(target(closed_port)) == CheckResult(False, "connection refused")

    async def test_connect_that_gets_no_answer_fails_after_the_timeout(self, checker: Checker) -> None:
        """A full accept queue lets connects wait; the check does not."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            result = await checker(target(port, timeout="50ms"))
            for filler in fillers:
                filler.close()

        assert result == CheckResult(False, "no answer within 50ms", timed_out=True)


@pytest.mark.parametrize("path", ["/health", None])
async def test_check_without_a_descriptor_is_void(checker: Checker, path: str | None) -> None:
    """It was not made, which says nothing of the backend; the next one is."""
    async with serving(lambda _: answering(200)) as port:
        with used_up():
            void = await checker(target(port, path=path))
        made = await checker(target(port, path=path))

    assert void == CheckResult(False, "not checked: too many open files", is_void=True)
    assert made.passed


class TestTls:
    """Checks of `https://` backends go by the settings of their pool."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        """Who signs the backends' certificates."""
        return Authority(tmp_path)

    def tls_target(self, port: int, tls: TargetTls, **check: Any) -> Target:
        """An `https://` backend on loopback."""
        config = HealthCheckConfig.model_validate(check)
        return Target(f"https://app.internal:{port}", "app.internal", port, config, tls)

    @pytest.mark.parametrize("path", ["/ready", None])
    async def test_verified_backend_passes(
        self, checker: Checker, authority: Authority, path: str | None
    ) -> None:
        """Over HTTP, and by a handshake alone."""
        context = authority.server(authority.pair("app.internal"))
        tls = TargetTls(BackendTlsConfig(ca="ca.pem"), authority.ca.read_bytes())
        async with ScriptedBackend(answering_bytes(OK), tls=context) as backend:
            result = await checker(self.tls_target(backend.port, tls, path=path))

        assert result.passed, result.detail

    @pytest.mark.parametrize("path", ["/ready", None])
    @pytest.mark.parametrize("wrong", ["name", "authority"])
    async def test_backend_that_cannot_prove_itself_fails(
        self, checker: Checker, authority: Authority, path: str | None, wrong: str
    ) -> None:
        """The detail says that it was the certificate."""
        context = authority.server(authority.pair("other.example" if wrong == "name" else "app.internal"))
        own = TargetTls(BackendTlsConfig(ca="ca.pem"), authority.ca.read_bytes())
        tls = own if wrong == "name" else TargetTls(BackendTlsConfig())
        async with ScriptedBackend(answering_bytes(OK), tls=context) as backend:
            result = await checker(self.tls_target(backend.port, tls, path=path))

        told = {
            "name": "TLS failed: Hostname mismatch",
            "authority": "TLS failed: unable to get local issuer",
        }
        assert not result.passed
        assert result.detail.startswith(told[wrong])

    @pytest.mark.parametrize("path", ["/ready", None])
    async def test_backend_that_speaks_no_tls_is_told_as_such(
        self, checker: Checker, authority: Authority, path: str | None
    ) -> None:
        """`https://` before a plain port is a mistake of the configuration."""
        tls = TargetTls(BackendTlsConfig(ca="ca.pem"), authority.ca.read_bytes())
        async with serving(lambda _: answering(200)) as port:
            result = await checker(self.tls_target(port, tls, path=path))

        assert result == CheckResult(False, "TLS failed: the backend does not speak TLS on this port")

    @pytest.mark.parametrize("path", ["/ready", None])
    @pytest.mark.parametrize("setting", [{"verify": False}, {"ca": "ca.pem", "server_name": "other.example"}])
    async def test_settings_of_the_pool_count(
        self, checker: Checker, authority: Authority, path: str | None, setting: dict[str, Any]
    ) -> None:
        """Verification off, or another name."""
        context = authority.server(authority.pair("other.example"))
        tls = TargetTls(BackendTlsConfig.model_validate(setting), authority.ca.read_bytes())
        async with ScriptedBackend(answering_bytes(OK), tls=context) as backend:
            result = await checker(self.tls_target(backend.port, tls, path=path))

        assert result.passed, result.detail
