"""Listeners that speak TLS: who gets in, with which certificate, and how others are sent away."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.authority import Authority
from tests.fakes.backend import ScriptedBackend, echoing
from tests.fakes.gateway import Gateway, one_pool
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that signs what a test needs."""
    return Authority(tmp_path)


def configuration(url: str, tls: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """One listener with TLS before one backend."""
    return one_pool(url, listen=[{"address": "127.0.0.1:8443", "tls": tls}], **sections)


@asynccontextmanager
async def serving(tls: dict[str, Any], **sections: Any) -> AsyncIterator[tuple[Gateway, ScriptedBackend]]:
    """A gateway with one TLS listener before a backend that echoes."""
    async with (
        ScriptedBackend(echoing) as backend,
        Gateway(configuration(backend.url, tls, **sections)) as gateway,
    ):
        yield gateway, backend


async def refused(gateway: Gateway, context: ssl.SSLContext) -> None:
    """Connect, and be sent away in the handshake or right after it."""
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        async with gateway.client(context) as client:
            await client.ask("GET /")


async def counted(gateway: Gateway, reason: str) -> bool:
    """Wait until a reason was counted."""
    reasons: dict[str, int] = {}

    def is_there() -> bool:
        reasons.update(gateway.delta.reasons)
        return bool(reasons)

    await until(is_there)
    return reasons == {reason: 1}


def dns_names(client: RawClient) -> list[str]:
    """The names in the certificate that a client was shown."""
    found = client.writer.get_extra_info("ssl_object").getpeercert()["subjectAltName"]
    return [name for _, name in found]


def hello(context: ssl.SSLContext) -> bytes:
    """The first message of a client's handshake."""
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


class TestHandshake:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_clients_of_both_versions_are_served(
        self, authority: Authority, version: ssl.TLSVersion
    ) -> None:
        """HTTP/1.1 is agreed on by ALPN, and backends learn that the client came by https."""
        context = authority.client()
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with serving(authority.pair()) as (gateway, backend), gateway.client(context) as client:
            answer = await client.ask("GET /x")

            assert (200, b"/x ") == (answer.status, answer.body)
            assert "https" == backend.requests[0].fields["x-forwarded-proto"]
            assert "http/1.1" == client.writer.get_extra_info("ssl_object").selected_alpn_protocol()

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
    async def test_older_versions_are_refused(self, authority: Authority) -> None:
        """TLS 1.1 gets an alert, and is counted."""
        context = authority.client()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with serving(authority.pair()) as (gateway, _):
            await refused(gateway, context)

            assert await counted(gateway, "tls_version_refused")

    async def test_minimum_version_is_configurable(self, authority: Authority) -> None:
        """With "1.3" a client that knows only 1.2 is refused."""
        context = authority.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with serving({**authority.pair(), "minimum_version": "1.3"}) as (gateway, _):
            await refused(gateway, context)

            assert await counted(gateway, "tls_version_refused")

    async def test_no_common_cipher_is_refused(self, authority: Authority) -> None:
        """A client that knows only what the certificate's key cannot do."""
        context = authority.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        async with serving(authority.pair()) as (gateway, _):
            await refused(gateway, context)

            assert await counted(gateway, "tls_no_shared_cipher")

    async def test_client_that_does_not_trust_us_is_counted(self, authority: Authority) -> None:
        """Its alert is the reason."""
        context = ssl.create_default_context()
        async with serving(authority.pair()) as (gateway, _):
            with pytest.raises(ssl.SSLCertVerificationError):
                await resumes(gateway, context, None)

            assert await counted(gateway, "tls_alert_by_client")

    async def test_handshake_has_a_deadline_however_its_bytes_come(self, authority: Authority) -> None:
        """A client that drips its first message, byte by byte, is closed in the end."""
        async with (
            serving({**authority.pair(), "handshake_timeout": "150ms"}) as (gateway, _),
            gateway.client() as client,
        ):
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01":
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.01)

            assert b"" == await client.read_end()
            assert await counted(gateway, "tls_handshake_timeout")

    async def test_who_never_finishes_it_is_counted_for_the_cap(self, authority: Authority) -> None:
        """Connections that shake hands count for their client from the accept on, and not after their end."""
        sections: dict[str, Any] = {
            "limits": {"connections_per_client": 1},
            "forwarding": {"trusted_proxies": []},
        }
        tls = {**authority.pair(), "handshake_timeout": "150ms"}
        async with (
            serving(tls, **sections) as (gateway, _),
            gateway.client() as one,
            gateway.client() as two,
        ):
            await until(lambda: len(gateway.acceptor.under_way) == 2)
            async with gateway.client() as third:
                assert b"" == await third.read_end()
            assert 1 == gateway.delta.reasons["too_many_connections"]

            assert (b"", b"") == (await one.read_end(), await two.read_end())
            async with gateway.client(authority.client()) as fourth:
                assert 200 == (await fourth.ask("GET /")).status
                assert 200 == (await fourth.ask("GET /")).status

    async def test_client_that_leaves_in_the_handshake_is_counted(self, authority: Authority) -> None:
        """Without waiting for the deadline."""
        async with serving(authority.pair()) as (gateway, _):
            async with gateway.client() as client:
                client.writer.write(b"\x16\x03\x01")
                await until(lambda: gateway.acceptor.under_way)
                client.writer.write_eof()
                assert b"" == await client.read_end()

            assert await counted(gateway, "tls_handshake_abandoned")

    @pytest.mark.parametrize("is_parting", [False, True])
    async def test_task_that_ends_early_leaves_nothing(
        self, authority: Authority, *, is_parting: bool
    ) -> None:
        """Whatever ends it, while it waits for the client or parts from it: nothing stays counted or open."""
        async with serving(authority.pair()) as (gateway, _), gateway.client() as client:
            if is_parting:
                client.writer.write(b"\x00" * 100)
                assert await counted(gateway, "tls_handshake_malformed")
            else:
                client.writer.write(hello(authority.client()))
                await client.reader.readexactly(1)
            (task,) = gateway.acceptor.under_way
            assert 1 == gateway.row.client_connections
            task.cancel()
            await asyncio.wait([task])

            assert 0 == gateway.row.client_connections
            await client.read_end()

    async def test_garbage_gets_a_clean_end(self, authority: Authority) -> None:
        """No reset, however much there is of it."""
        async with serving(authority.pair()) as (gateway, _), gateway.client() as client:
            client.writer.write(b"\x00" * 100_000)

            assert b"" == await client.read_end()
            assert await counted(gateway, "tls_handshake_malformed")

    async def test_plain_http_is_told_so(self, authority: Authority) -> None:
        """In its own language, however much it is still sending."""
        async with serving(authority.pair()) as (gateway, backend), gateway.client() as client:
            client.send("POST /", body=b"x" * 300_000)

            answer = await client.read_answer()

            assert (400, "close") == (answer.status, answer.fields["connection"])
            assert b'"reason":"plain_http_on_tls"' in answer.body
            assert b"" == await client.read_end()
            assert await counted(gateway, "plain_http_on_tls")
            assert [] == backend.requests

    async def test_hundred_handshakes_at_once_do_not_mix(self, authority: Authority) -> None:
        """Handshakes and requests of many clients, interleaved."""
        async with serving(authority.pair()) as (gateway, _):

            async def one(number: int) -> bytes:
                async with gateway.client(authority.client()) as client:
                    return (await client.ask(f"GET /{number}")).body

            answers = await asyncio.gather(*map(one, range(100)))

            assert [f"/{number} ".encode() for number in range(100)] == answers


class TestCertificates:
    @pytest.mark.parametrize(
        ("asked", "shown"),
        [
            ("localhost", ["localhost"]),
            ("api.example", ["api.example", "www.example"]),
            ("WWW.example", ["api.example", "www.example"]),
            ("one.tenants.example", ["*.tenants.example"]),
            ("unknown.example", ["localhost"]),
            ("two.one.tenants.example", ["localhost"]),
        ],
    )
    async def test_server_name_chooses(self, authority: Authority, asked: str, shown: list[str]) -> None:
        """By its exact name, by a wildcard for one label, else the first."""
        others = [authority.pair("api.example", "www.example"), authority.pair("*.tenants.example")]
        context = authority.client()
        context.check_hostname = False
        tls = {**authority.pair("localhost"), "certificates": others}
        async with serving(tls) as (gateway, _), gateway.client(context, asked) as client:
            assert 200 == (await client.ask("GET /")).status

            assert shown == dns_names(client)

    async def test_new_files_are_shown_to_new_connections(self, authority: Authority, tmp_path: Path) -> None:
        """Open connections stay as they are."""
        tls = authority.write(tmp_path / "mine", "localhost", "old.example")
        async with serving(tls) as (gateway, _), gateway.client(authority.client()) as before:
            assert 200 == (await before.ask("GET /1")).status
            authority.write(tmp_path / "mine", "localhost", "new.example")
            gateway.reload()

            async with gateway.client(authority.client()) as after:
                assert 200 == (await after.ask("GET /2")).status
                assert ["localhost", "new.example"] == dns_names(after)
            assert 200 == (await before.ask("GET /3")).status
            assert ["localhost", "old.example"] == dns_names(before)

    async def test_reload_without_change_keeps_sessions(self, authority: Authority) -> None:
        """The keys of session tickets go with the context, so it must be the same one."""
        context = authority.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with serving(authority.pair()) as (gateway, _):
            async with gateway.client(context) as client:
                session = client.writer.get_extra_info("ssl_object").session
            gateway.reload()

            assert await resumes(gateway, context, session)

    async def test_changed_client_authority_ends_sessions(self, authority: Authority, tmp_path: Path) -> None:
        """A certificate that is no longer accepted does not come back by a resumed session."""
        context = authority.client(shows=authority.pair("alice.example"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        accepted = tmp_path / "accepted.pem"
        accepted.write_bytes(authority.ca.read_bytes())
        tls = {**authority.pair(), "client_certificates": {"ca": str(accepted)}}
        async with serving(tls) as (gateway, _):
            async with gateway.client(context) as client:
                session = client.writer.get_extra_info("ssl_object").session
            assert await resumes(gateway, context, session)
            accepted.write_bytes(Authority(tmp_path).ca.read_bytes())
            gateway.reload()

            with pytest.raises((ssl.SSLError, ConnectionError)):
                await resumes(gateway, context, session)


async def resumes(gateway: Gateway, context: ssl.SSLContext, session: ssl.SSLSession | None) -> bool:
    """Tell whether a session spares a client the whole handshake."""
    raw = context.wrap_bio(
        incoming := ssl.MemoryBIO(), outgoing := ssl.MemoryBIO(), session=session, server_hostname="localhost"
    )
    async with gateway.client() as client:
        while True:
            try:
                raw.do_handshake()
            except ssl.SSLWantReadError:
                client.writer.write(outgoing.read())
                data = await client.reader.read(65536)
                if not data:
                    raise ConnectionError from None
                incoming.write(data)
            except ssl.SSLError:
                client.writer.write(outgoing.read())  # the alert
                await client.read_end()
                raise
            else:
                client.writer.write(outgoing.read())
                return bool(raw.session_reused)


class TestClientCertificates:
    async def test_required_and_missing(self, authority: Authority) -> None:
        """No request gets through."""
        tls = {**authority.pair(), "client_certificates": {"ca": str(authority.ca)}}
        async with serving(tls) as (gateway, backend):
            await refused(gateway, authority.client())

            assert await counted(gateway, "tls_client_certificate_missing")
            assert [] == backend.requests

    @pytest.mark.parametrize("mode", ["required", "optional"])
    async def test_of_an_unknown_authority(self, authority: Authority, tmp_path: Path, mode: str) -> None:
        """Whoever shows a certificate must show a valid one."""
        stranger = Authority(tmp_path).pair("mallory.example")
        tls = {**authority.pair(), "client_certificates": {"ca": str(authority.ca), "mode": mode}}
        async with serving(tls) as (gateway, backend):
            await refused(gateway, authority.client(shows=stranger))

            assert await counted(gateway, "tls_client_certificate_refused")
            assert [] == backend.requests

    async def test_expired(self, authority: Authority) -> None:
        """An expired one counts as none."""
        expired = authority.pair("bob.example", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        tls = {**authority.pair(), "client_certificates": {"ca": str(authority.ca)}}
        async with serving(tls) as (gateway, _):
            await refused(gateway, authority.client(shows=expired))

            assert await counted(gateway, "tls_client_certificate_refused")

    async def test_optional_and_missing(self, authority: Authority) -> None:
        """The request goes on, and nobody's subject with it, whatever the client claims."""
        clients = {"ca": str(authority.ca), "mode": "optional", "subject_header": "X-Client-Subject"}
        async with (
            serving({**authority.pair(), "client_certificates": clients}) as (gateway, backend),
            gateway.client(authority.client()) as client,
        ):
            answer = await client.ask("GET /", "x-client-subject: CN=root", "X_Client_Subject: CN=root")

            assert 200 == answer.status
            assert [] == [line for line in backend.requests[0].lines if "root" in line]

    async def test_subject_is_told_only_when_configured(self, authority: Authority) -> None:
        """Without `subject_header` backends learn nothing of the certificate."""
        context = authority.client(shows=authority.pair("alice.example", common_name="alice"))
        tls = {**authority.pair(), "client_certificates": {"ca": str(authority.ca)}}
        async with serving(tls) as (gateway, backend), gateway.client(context) as client:
            assert 200 == (await client.ask("GET /")).status

            assert [] == [line for line in backend.requests[0].lines if "alice" in line]

    async def test_verified_subject_reaches_the_backend(self, authority: Authority) -> None:
        """Once, ours, on each request; the client's own copies are dropped, its trailers too."""
        context = authority.client(shows=authority.pair("alice.example", common_name="alice, \r\nX: y"))
        clients = {"ca": str(authority.ca), "subject_header": "X-Client-Subject"}
        async with (
            serving({**authority.pair(), "client_certificates": clients}) as (gateway, backend),
            gateway.client(context) as client,
        ):
            await client.ask("GET /1", "X-Client-Subject: CN=root")
            await client.ask("GET /2", "Connection: X-Client-Subject", "X-Forwarded-For: 10.0.0.1")
            gateway.reload()
            client.send("POST /3", "Transfer-Encoding: chunked")
            client.writer.write(b"1\r\na\r\n0\r\nX-Client-Subject: CN=root\r\nX-Other: kept\r\n\r\n")
            await client.read_answer()

            told = [line for one in backend.requests for line in one.lines if "Subject" in line]
            assert 3 == len(told)
            assert {"X-Client-Subject: CN=alice\\, \\0D\\0AX: y"} == {line.split(",O")[0] for line in told}
            assert ("X-Other: kept",) == backend.requests[2].trailers

    async def test_copies_are_dropped_on_plain_listeners_too(self, authority: Authority) -> None:
        """A backend cannot tell through which listener a request came."""
        clients = {"ca": str(authority.ca), "subject_header": "X-Client-Subject"}
        listen = [
            {"address": "127.0.0.1:8080"},
            {"address": "127.0.0.1:8443", "tls": {**authority.pair(), "client_certificates": clients}},
        ]
        async with (
            ScriptedBackend(echoing) as backend,
            Gateway(one_pool(backend.url, listen=listen)) as gateway,
            gateway.client() as client,
        ):
            await client.ask("GET /", "X-Client-Subject: CN=root", "X-Other: kept")

            assert "kept" == backend.requests[0].fields["x-other"]
            assert "x-client-subject" not in backend.requests[0].fields
