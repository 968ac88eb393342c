"""Backends with `https://` URLs: whom the gateway believes, and what follows when it does not."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pcs_gateway.backends.outlier.ways import Bearing
from tests.fakes.authority import Authority
from tests.fakes.backend import OK, Peer, ScriptedBackend, answering, echoing
from tests.fakes.gateway import Gateway, one_pool
from tests.fakes.raw_client import RawClient


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that signs what a test needs."""
    return Authority(tmp_path)


@asynccontextmanager
async def asking(
    backend: ScriptedBackend, tls: dict[str, Any], **pool: Any
) -> AsyncIterator[tuple[RawClient, Gateway]]:
    """A client of a gateway before one `https://` backend."""
    configuration = one_pool(backend.url, pool={"tls": tls, **pool})
    async with Gateway(configuration) as gateway, gateway.client() as client:
        yield client, gateway


class TestVerification:
    async def test_backend_with_a_valid_certificate_is_used(self, authority: Authority) -> None:
        """Its authority is in the pool's own file; the connection is pooled."""
        async with (
            ScriptedBackend(echoing, tls=authority.server(authority.pair("127.0.0.1"))) as backend,
            asking(backend, {"ca": str(authority.ca)}) as (client, gateway),
        ):
            answers = [await client.ask(f"GET /{number}") for number in range(5)]

            assert [200] * 5 == [answer.status for answer in answers]
            assert 1 == len(backend.peers) == gateway.upstream_connections

    @pytest.mark.parametrize("wrong", ["authority", "name", "expired", "none configured"])
    async def test_backend_that_cannot_prove_itself_gets_nothing(
        self, authority: Authority, tmp_path: Path, wrong: str
    ) -> None:
        """502 with the reason; no byte of the request was sent."""
        pair = authority.pair(
            "other.example" if wrong == "name" else "127.0.0.1",
            not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC) if wrong == "expired" else None,
        )
        ca = Authority(tmp_path).ca if wrong == "authority" else authority.ca
        tls = {} if wrong == "none configured" else {"ca": str(ca)}
        async with (
            ScriptedBackend(echoing, tls=authority.server(pair)) as backend,
            asking(backend, tls) as (client, gateway),
        ):
            answer = await client.ask("POST /secret", body=b"secret")

            assert 502 == answer.status
            assert "error=tls_certificate_error" in answer.fields["proxy-status"]
            assert b'"reason":"tls_certificate_error"' in answer.body
            assert {("b0", "tls_certificate_error")} == set((await gateway.record()).outcomes)
            assert {"tls_certificate_error"} == {entry.kind for entry in gateway.evidence}
            assert [] == backend.requests

    async def test_verification_can_be_switched_off(self, authority: Authority) -> None:
        """Whoever answers is the backend."""
        expired = authority.pair("other.example", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        async with (
            ScriptedBackend(echoing, tls=authority.server(expired)) as backend,
            asking(backend, {"verify": False}) as (client, _),
        ):
            assert 200 == (await client.ask("GET /")).status

    async def test_server_name_is_asked_for_and_looked_for(self, authority: Authority) -> None:
        """Instead of the URL's host: by SNI, and in the certificate."""
        asked: list[str | None] = []
        context = authority.server(authority.pair("pcs.internal"))
        context.sni_callback = lambda _, name, __: asked.append(name)
        async with (
            ScriptedBackend(echoing, tls=context) as backend,
            asking(backend, {"ca": str(authority.ca), "server_name": "pcs.internal"}) as (client, _),
        ):
            assert 200 == (await client.ask("GET /")).status

        assert ["pcs.internal"] == asked

    async def test_new_authorities_count_for_new_connections(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        """A reload with another content of the same file."""
        ca = tmp_path / "trusted.pem"
        ca.write_bytes(Authority(tmp_path).ca.read_bytes())
        async with (
            ScriptedBackend(echoing, tls=authority.server(authority.pair("127.0.0.1"))) as backend,
            asking(backend, {"ca": str(ca)}) as (client, gateway),
        ):
            before = await client.ask("GET /")
            ca.write_bytes(authority.ca.read_bytes())
            gateway.reload()

            assert (502, 200) == (before.status, (await client.ask("GET /")).status)


class TestHandshake:
    async def test_failed_handshake_is_followed_by_another_backend(self, authority: Authority) -> None:
        """Nothing was sent, so even a POST is tried again, as after a failed connect."""
        good, bad = authority.pair("127.0.0.1"), authority.pair("other.example")
        async with (
            ScriptedBackend(echoing, tls=authority.server(bad)) as first,
            ScriptedBackend(echoing, tls=authority.server(good)) as second,
            Gateway(
                one_pool(
                    first.url,
                    second.url,
                    pool={"tls": {"ca": str(authority.ca)}, "strategy": "round_robin"},
                )
            ) as gateway,
            gateway.client() as client,
        ):
            answers = [await client.ask("POST /", body=b"x") for _ in range(4)]

            assert [200] * 4 == [answer.status for answer in answers]
            assert (0, 4) == (len(first.requests), len(second.requests))

    async def test_failed_handshakes_of_two_backends_speak_against_both(self, authority: Authority) -> None:
        """Nothing was sent, so the failures are not the request's, however alike they are."""
        expired = authority.server(
            authority.pair("127.0.0.1", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        )
        async with (
            ScriptedBackend(echoing, tls=expired) as first,
            ScriptedBackend(echoing, tls=expired) as second,
            Gateway(
                one_pool(
                    first.url, second.url, pool={"tls": {"ca": str(authority.ca)}, "strategy": "round_robin"}
                )
            ) as gateway,
            gateway.client() as client,
        ):
            assert 502 == (await client.ask("GET /")).status

            told = [(entry.backend, entry.bearing, entry.failures) for entry in gateway.evidence]
            assert [("b0", Bearing.BACKEND, 1), ("b1", Bearing.BACKEND, 1)] == sorted(told)

    async def test_plain_backend_is_a_protocol_error(self) -> None:
        """An `https://` URL of a port that speaks HTTP."""

        async def plain(peer: Peer) -> None:
            await peer.read()
            await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        async with ScriptedBackend(plain) as backend:
            url = backend.url.replace("http:", "https:")
            async with Gateway(one_pool(url)) as gateway, gateway.client() as client:
                answer = await client.ask("GET /")

                assert 502 == answer.status
                assert "error=tls_protocol_error" in answer.fields["proxy-status"]

    async def test_backend_that_closes_in_the_handshake_is_a_protocol_error(self) -> None:
        """However politely."""

        async def closing(peer: Peer) -> None:
            await peer.read()

        async with ScriptedBackend(closing) as backend:
            url = backend.url.replace("http:", "https:")
            async with Gateway(one_pool(url)) as gateway, gateway.client() as client:
                answer = await client.ask("GET /")

                assert b'"reason":"tls_protocol_error"' in answer.body

    async def test_alert_of_the_backend_is_told(self, authority: Authority) -> None:
        """Here: it speaks only a version that the pool does not allow."""
        context = authority.server(authority.pair("127.0.0.1"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with (
            ScriptedBackend(echoing, tls=context) as backend,
            asking(backend, {"ca": str(authority.ca), "minimum_version": "1.3"}) as (client, _),
        ):
            answer = await client.ask("GET /")

            assert 502 == answer.status
            assert "error=tls_protocol_error" in answer.fields["proxy-status"] or (
                "error=tls_alert_received" in answer.fields["proxy-status"]
            )

    async def test_connect_timeout_covers_the_handshake(self) -> None:
        """A backend that accepts and says nothing."""

        async def silent(peer: Peer) -> None:
            await peer.end()

        async with ScriptedBackend(silent) as backend:
            url = backend.url.replace("http:", "https:")
            configuration = one_pool(url, timeouts={"connect": "100ms"})
            async with Gateway(configuration) as gateway, gateway.client() as client:
                answer = await client.ask("GET /")

                assert 504 == answer.status
                assert b'"reason":"connect_timeout"' in answer.body

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_second_connection_resumes_the_session(
        self, authority: Authority, version: ssl.TLSVersion
    ) -> None:
        """Once a connection has carried an answer, the next handshake is a short one."""
        context = authority.server(authority.pair("127.0.0.1"))
        context.maximum_version = version
        reused: list[bool] = []

        async def script(peer: Peer) -> None:
            reused.append(peer._writer.get_extra_info("ssl_object").session_reused)
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

        async with (
            ScriptedBackend(script, tls=context) as backend,
            asking(backend, {"ca": str(authority.ca)}) as (client, _),
        ):
            for _ in range(3):
                assert 200 == (await client.ask("GET /")).status

        assert [False, True, True] == reused


class TestStreams:
    async def test_body_until_close_needs_the_goodbye(self, authority: Authority) -> None:
        """RFC 9112 section 9.8: without close_notify somebody may have cut it."""
        head = b"HTTP/1.1 200 OK\r\n\r\n"

        async def truncated(peer: Peer) -> None:
            await peer.request()
            await peer.send(head + b"half")
            peer._writer.transport.abort()

        async def complete(peer: Peer) -> None:
            await peer.request()
            await peer.send(head + b"whole")

        context = authority.server(authority.pair("127.0.0.1"))
        async with (
            ScriptedBackend(complete, tls=context) as backend,
            asking(backend, {"ca": str(authority.ca)}) as (client, gateway),
        ):
            assert b"whole" == (await client.ask("GET /")).body
            backend.script = truncated
            client.send("GET /")
            assert not (await client.read_end()).endswith(b"0\r\n\r\n")
            assert "response_incomplete" == (await gateway.record(1)).reason

    async def test_large_bodies_pass_both_ways(self, authority: Authority) -> None:
        """TLS on both sides."""
        pair = authority.pair()
        body = bytes(range(256)) * 8192
        async with ScriptedBackend(echoing, tls=authority.server(pair)) as backend:
            configuration = one_pool(
                backend.url,
                pool={"tls": {"ca": str(authority.ca)}},
                listen=[{"address": "127.0.0.1:8443", "tls": pair}],
            )
            async with Gateway(configuration) as gateway, gateway.client(authority.client()) as client:
                answers = await asyncio.gather(client.ask("POST /", body=body))

        assert b"/ " + body == answers[0].body

    async def test_idle_connection_that_the_backend_ends_is_not_used(self, authority: Authority) -> None:
        """Its goodbye takes it out of the pool."""
        context = authority.server(authority.pair("127.0.0.1"))

        async def once(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)

        async with (
            ScriptedBackend(once, tls=context) as backend,
            asking(backend, {"ca": str(authority.ca)}) as (client, gateway),
        ):
            for _ in range(3):
                assert 200 == (await client.ask("GET /")).status
                async with asyncio.timeout(5):
                    while gateway.upstream_connections:
                        await asyncio.sleep(0.005)

            assert 3 == len(backend.peers)

    async def test_pool_with_both_kinds_uses_each_as_its_url_says(self, authority: Authority) -> None:
        """`http://` and `https://` side by side, while a pool moves from one to the other."""
        context = authority.server(authority.pair("127.0.0.1"))
        async with (
            ScriptedBackend(answering(OK)) as plain,
            ScriptedBackend(answering(OK), tls=context) as secure,
            Gateway(
                one_pool(
                    plain.url,
                    secure.url,
                    pool={"tls": {"ca": str(authority.ca)}, "strategy": "round_robin"},
                )
            ) as gateway,
            gateway.client() as client,
        ):
            for _ in range(4):
                assert 200 == (await client.ask("GET /")).status

            assert (2, 2) == (len(plain.requests), len(secure.requests))
