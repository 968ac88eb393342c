"""
What of a request reaches the backend, and what the gateway adds on both ways.

Rows cite RFC 9110 unless another is named.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.fakes.backend import OK, ReceivedRequest, answering
from tests.fakes.gateway import talking
from tests.fakes.raw_client import RawAnswer
from tests.fakes.waiting import until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEX_ID = re.compile(r"[0-9a-f]{32}")
NOBODY: dict[str, Any] = {"trusted_proxies": []}


async def forward(*fields: str, head: str = "GET /", response: bytes = OK, **sections: Any) -> Any:
    """Send one request; give it as it was received, and the answer."""
    async with talking(answering(response), **sections) as (client, _, backend):
        answer = await client.ask(head, *fields)
        return backend.requests[0], answer


async def received(*fields: str, head: str = "GET /", **sections: Any) -> ReceivedRequest:
    """Give a request as the backend received it."""
    request, _ = await forward(*fields, head=head, **sections)
    assert isinstance(request, ReceivedRequest)
    return request


async def answered(response: bytes, *fields: str, **sections: Any) -> RawAnswer:
    """Give an answer as the client received it."""
    _, answer = await forward(*fields, response=response, **sections)
    assert isinstance(answer, RawAnswer)
    return answer


class TestHopByHop:
    @pytest.mark.parametrize(
        ("fields", "gone"),
        [
            (("Connection: keep-alive",), {"connection"}),
            (("Connection: close",), {"connection"}),
            (("Keep-Alive: timeout=5",), {"keep-alive"}),
            (("Proxy-Connection: keep-alive",), {"proxy-connection"}),
            (("TE: trailers", "Connection: TE"), {"te", "connection"}),
            (("TE: gzip",), {"te"}),
            # CGI and WSGI fold "_" into "-": what only the gateway may say is dropped in that spelling too
            (("X_Forwarded_For: 6.6.6.6",), {"x_forwarded_for"}),
            (("Content_Length: 5", "Transfer_Encoding: chunked"), {"content_length", "transfer_encoding"}),
            (("Upgrade: websocket",), {"upgrade"}),
            (("Upgrade: websocket", "Connection: upgrade"), {"upgrade", "connection"}),
            (
                ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"),
                {"upgrade", "connection", "http2-settings"},
            ),
            (("HTTP2-Settings: AAMAAABk",), {"http2-settings"}),
            (("Connection: X-Mine, x-yours", "X-Mine: 1", "X-YOURS: 2"), {"x-mine", "x-yours", "connection"}),
            (("Connection: X-Mine", "Connection: close", "X-Mine: 1"), {"x-mine", "connection"}),
            (("Connection:   X-Mine ,,", "X-Mine: 1"), {"x-mine", "connection"}),
        ],
    )
    async def test_fields_of_the_connection_stay_here(self, fields: tuple[str, ...], gone: set[str]) -> None:
        """7.6.1: hop-by-hop fields, and those that Connection names, are not forwarded; others are."""
        request = await received("X-Before: 1", *fields, "X-After: 2")

        assert not gone & request.fields.keys()
        assert (request.fields["x-before"], request.fields["x-after"]) == ("1", "2")

    @pytest.mark.parametrize(
        ("name", "value"), [("Authorization", "Bearer x"), ("Cookie", "a=b"), ("Host", "sample.test")]
    )
    async def test_credentials_cannot_be_stripped_by_naming_them(self, name: str, value: str) -> None:
        """7.6.1: what is end-to-end by its nature is forwarded although Connection names it."""
        request = await received(f"Connection: close, {name}", f"{name}: {value}")

        assert request.fields[name.lower()] == value

    async def test_forwarding_fields_cannot_be_stripped_by_naming_them(self) -> None:
        """7.6.1: a client cannot hide its address from the backend."""
        request = await received("Connection: close, X-Forwarded-For, Via, X-Request-ID, traceparent")

        assert {"x-forwarded-for", "via", "x-request-id", "traceparent"} <= request.fields.keys()

    async def test_body_length_cannot_be_stripped_by_naming_it(self) -> None:
        """7.6.1: nor the length of a body, which would become a request of its own."""
        async with talking(answering(OK)) as (client, _, backend):
            await client.ask("POST /", "Connection: Content-Length", body=b"12345")
            chunks = ("Connection: Transfer-Encoding", "Transfer-Encoding: chunked")
            await client.ask("POST /", *chunks, body=b"5\r\n67890\r\n0\r\n\r\n")

            assert [request.body for request in backend.requests] == [b"12345", b"67890"]

    @pytest.mark.parametrize("coding", ["chunked ", "Chunked", "\tchunked", "  chunked"])
    async def test_chunked_written_in_an_odd_way(self, coding: str) -> None:
        """RFC 9112 6.1: not every parser takes `chunked ` for chunked; the backend gets it plain."""
        async with talking(answering(OK)) as (client, _, backend):
            for _ in range(3):
                await client.ask("POST /", f"Transfer-Encoding:{coding}", body=b"5\r\n12345\r\n0\r\n\r\n")

            assert [request.body for request in backend.requests] == [b"12345"] * 3
            lines = [
                line for request in backend.requests for line in request.lines if "chunked" in line.lower()
            ]
            assert lines == ["Transfer-Encoding: chunked"] * 3

    @pytest.mark.parametrize("length", ["005", "5 ", "\t5", "  5  "])
    async def test_body_length_written_in_an_odd_way(self, length: str) -> None:
        """8.6: a length is decimal however it is written; the backend gets it in the plain way."""
        async with talking(answering(OK)) as (client, _, backend):
            for _ in range(3):
                await client.ask("POST /", f"Content-Length:{length}", body=b"12345")

            assert [request.body for request in backend.requests] == [b"12345"] * 3
            lines = [line for request in backend.requests for line in request.lines if "Length" in line]
            assert lines == ["Content-Length: 5"] * 3

    async def test_fields_of_the_backend_connection_stay_there(self) -> None:
        """7.6.1: the same on the way out."""
        answer = await answered(
            b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: X-Own\r\nX-Own: 2\r\nKeep-Alive: timeout=5\r\n"
            b"Proxy-Connection: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\nX-B: 3\r\n\r\n"
        )

        assert not {"connection", "x-own", "keep-alive", "proxy-connection", "upgrade"} & answer.fields.keys()
        assert (answer.fields["x-a"], answer.fields["x-b"]) == ("1", "3")

    async def test_spelling_order_and_repetition_survive(self) -> None:
        """5.3: end-to-end fields are forwarded as they came: spelling, order, repetition, octets."""
        mine = ("x-ODD-Name: a", "Cookie: b=c", "x-odd-name: d", "X-Empty:", "X-Tab: e\tf")
        request = await received(*mine, "X-Latin: caf\xe9")

        kept = [line for line in request.lines if line.lower().startswith(("x-odd", "cookie", "x-e", "x-t"))]
        assert kept == list(mine)
        assert request.fields["x-latin"].encode("latin-1") == "caf\xe9".encode()


class TestUpgradeThatIsNotTaken:
    @pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
    async def test_request_goes_on_without_it(self, upgrade: str) -> None:
        """7.8: a server may ignore Upgrade: on a route that does not allow it, it is stripped."""
        request = await received(f"Upgrade: {upgrade}", "Connection: upgrade")

        assert not {"upgrade", "connection"} & request.fields.keys()

    async def test_h2c_is_never_taken(self) -> None:
        """7.8: not even where upgrades are allowed: HTTP/2 is not spoken here."""
        routes = [{"allow_upgrade": True}]
        request = await received("Upgrade: h2c", "Connection: upgrade", routes=routes)

        assert not {"upgrade", "connection"} & request.fields.keys()

    async def test_h2c_with_a_body_goes_on_without_it(self) -> None:
        """7.8: some clients' first request asks for h2c whatever it is; a body is no reason to refuse it."""
        async with talking(answering(OK)) as (client, _, backend):
            upgrade = ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: A")
            answer = await client.ask("POST /", *upgrade, body=b"12")

            assert answer.status == 200
            assert backend.requests[0].body == b"12"
            assert not {"upgrade", "connection", "http2-settings"} & backend.requests[0].fields.keys()

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_only_get_may_upgrade(self, method: str) -> None:
        """RFC 6455 4.1: another method is forwarded as a plain request."""
        request = await received(
            "Upgrade: websocket", "Connection: upgrade", head=f"{method} /", routes=[{"allow_upgrade": True}]
        )

        assert "upgrade" not in request.fields


class TestClientAddress:
    async def test_is_told(self) -> None:
        """X-Forwarded-For, -Proto and -Host tell who asked, how and for what."""
        request = await received(forwarding=NOBODY)

        assert request.fields["x-forwarded-for"] == "127.0.0.1"
        assert request.fields["x-forwarded-proto"] == "http"
        assert request.fields["x-forwarded-host"] == "sample.test"
        assert "forwarded" not in request.fields

    async def test_word_of_strangers_is_replaced(self) -> None:
        """What a peer that is not on the trust list says of clients is not believed."""
        request, _ = await forward(
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil.test",
            "x-forwarded-for: 5.6.7.8",
            "Forwarded: for=1.2.3.4",
            forwarding=NOBODY,
        )
        lines = [line for line in request.lines if "forwarded" in line.lower()]

        assert lines == [
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: sample.test",
        ]

    async def test_word_of_trusted_proxies_is_extended(self) -> None:
        """What a proxy on the trust list says is kept, and its own address added."""
        request = await received(
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: www.test",
            "X-Forwarded-For: 5.6.7.8",
        )

        assert request.fields["x-forwarded-for"] == "1.2.3.4, 5.6.7.8, 127.0.0.1"
        assert request.fields["x-forwarded-proto"] == "https"
        assert request.fields["x-forwarded-host"] == "www.test"

    @pytest.mark.parametrize("style", ["x-forwarded", "rfc7239", "both", "none"])
    @pytest.mark.parametrize(
        "field",
        ["X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /app", "X-Real-IP: 1.2.3.4", "x-real-IP: ::1"],
    )
    async def test_other_words_about_clients_are_those_of_trusted_proxies(
        self, style: str, field: str
    ) -> None:
        """Fields that the gateway does not write itself are passed on from the trust list only."""
        name, _, value = field.partition(": ")
        trusted = await received(field, forwarding={"forwarded": style})
        strange = await received(field, forwarding={"forwarded": style} | NOBODY)

        assert trusted.fields[name.lower()] == value
        assert name.lower() not in strange.fields

    @pytest.mark.parametrize(
        ("trusted", "said", "client"),
        [
            ([], "1.2.3.4", "127.0.0.1"),
            (["127.0.0.0/8"], "1.2.3.4", "1.2.3.4"),
            (["127.0.0.0/8"], "6.6.6.6, 1.2.3.4", "1.2.3.4"),
            (["127.0.0.0/8", "1.2.3.0/24"], "9.9.9.9, 1.2.3.4", "9.9.9.9"),
            (["127.0.0.0/8", "1.2.3.0/24"], "1.2.3.4", "1.2.3.4"),
            (["127.0.0.0/8"], "rubbish", "127.0.0.1"),
            (["127.0.0.0/8"], "9.9.9.9, rubbish", "127.0.0.1"),
            (["127.0.0.0/8"], f"9.9.9.9, {', '.join(['127.0.0.2'] * 31)}", "9.9.9.9"),
            (["127.0.0.0/8"], f"9.9.9.9, 127.0.0.3, {', '.join(['127.0.0.2'] * 31)}", "127.0.0.3"),
            (["127.0.0.0/8"], f"{'rubbish,' * 2000}127.0.0.3, {', '.join(['127.0.0.2'] * 31)}", "127.0.0.3"),
            (["127.0.0.0/8"], f"fe80::1%{'x' * 100}", "127.0.0.1"),
        ],
    )
    async def test_recorded_client_is_the_nearest_untrusted(
        self, trusted: list[str], said: str, client: str
    ) -> None:
        """The log names the nearest address that is not a trusted proxy's, or the last of 32."""
        async with talking(answering(OK), forwarding={"trusted_proxies": trusted}) as (raw, gateway, _):
            await raw.ask("GET /", f"X-Forwarded-For: {said}")

            assert (await gateway.record()).client == client

    async def test_rfc_7239(self) -> None:
        """RFC 7239: Forwarded instead of the X- fields, extended in the same way."""
        style = {"forwarded": "rfc7239"}
        fresh = await received(forwarding=style)
        extended = await received("Forwarded: for=1.2.3.4", forwarding=style)
        replaced = await received("Forwarded: for=1.2.3.4", forwarding=style | NOBODY)

        own = 'for=127.0.0.1;proto=http;host="sample.test"'
        assert [one.fields["forwarded"] for one in (fresh, extended, replaced)] == [
            own,
            f"for=1.2.3.4, {own}",
            own,
        ]
        assert "x-forwarded-for" not in fresh.fields

    async def test_both_styles_and_none(self) -> None:
        """`both` writes both; `none` writes nothing, passes on a proxy's word and drops a stranger's."""
        both = await received(forwarding={"forwarded": "both"})
        none = await received("X-Forwarded-For: 1.2.3.4", forwarding={"forwarded": "none"})
        strange = await received("X-Forwarded-For: 1.2.3.4", forwarding={"forwarded": "none"} | NOBODY)

        assert {"x-forwarded-for", "forwarded"} <= both.fields.keys()
        assert none.fields["x-forwarded-for"] == "1.2.3.4"
        assert "x-forwarded-for" not in strange.fields

    async def test_changes_from_request_to_request(self) -> None:
        """One connection of a proxy carries many clients: nothing of one is told of another."""
        async with talking(answering(OK)) as (client, _, backend):
            for said in ("1.1.1.1", None, "2.2.2.2", None, "1.1.1.1"):
                await client.ask("GET /", *([f"X-Forwarded-For: {said}"] if said else []))

            assert [request.fields["x-forwarded-for"] for request in backend.requests] == [
                "1.1.1.1, 127.0.0.1",
                "127.0.0.1",
                "2.2.2.2, 127.0.0.1",
                "127.0.0.1",
                "1.1.1.1, 127.0.0.1",
            ]


class TestVia:
    async def test_is_added_on_both_ways(self) -> None:
        """7.6.3: a proxy adds itself, on requests and on responses."""
        request, answer = await forward()

        assert request.fields["via"] == "1.1 pcs-gateway"
        assert answer.fields["via"] == "1.1 pcs-gateway"

    @pytest.mark.parametrize("forwarding", [{}, NOBODY])
    async def test_others_stay(self, forwarding: dict[str, Any]) -> None:
        """7.6.3: whoever came before is kept, trusted or not."""
        response = b"HTTP/1.1 200 OK\r\nVia: 1.0 inner\r\nContent-Length: 0\r\n\r\n"
        request, answer = await forward("Via: 1.0 a, 1.1 b", response=response, forwarding=forwarding)

        assert request.fields["via"] == "1.0 a, 1.1 b, 1.1 pcs-gateway"
        assert [line for line in answer.lines if line.startswith("Via")] == [
            "Via: 1.0 inner",
            "Via: 1.1 pcs-gateway",
        ]


class TestRequestId:
    async def test_is_made(self) -> None:
        """A request without an id gets one; backend, client and record agree on it."""
        async with talking(answering(OK)) as (client, gateway, backend):
            answers = [await client.ask("GET /") for _ in range(3)]

            ids = [answer.fields["x-request-id"] for answer in answers]
            assert len(set(ids)) == 3
            assert all(map(HEX_ID.fullmatch, ids))
            assert [request.fields["x-request-id"] for request in backend.requests] == ids
            assert [record.request_id.decode() for record in gateway.records] == ids

    @pytest.mark.parametrize("own", ["abc-123", "x" * 128, '!"#$%&/()=?`~'])
    async def test_is_kept(self, own: str) -> None:
        """A client's id is kept on the whole way and back."""
        request, answer = await forward(f"x-REQUEST-id:  {own} ")

        assert request.fields["x-request-id"] == answer.fields["x-request-id"] == own
        assert sum(line.lower().startswith("x-request-id") for line in request.lines) == 1

    @pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "caf\xe9"])
    async def test_unusable_one_is_replaced(self, bad: str) -> None:
        """What is no printable word of at most 128 characters is replaced."""
        request = await received(f"X-Request-ID: {bad}")

        assert HEX_ID.fullmatch(request.fields["x-request-id"])
        assert sum(line.lower().startswith("x-request-id") for line in request.lines) == 1

    async def test_two_are_replaced_by_one(self) -> None:
        """Two ids are none."""
        request = await received("X-Request-ID: a", "X-Request-ID: b")

        assert [line for line in request.lines if line.lower().startswith("x-request-id")] == [
            f"X-Request-ID: {request.fields['x-request-id']}"
        ]
        assert HEX_ID.fullmatch(request.fields["x-request-id"])

    async def test_backend_may_tell_it(self) -> None:
        """A backend that echoes the id does not make it appear twice."""
        answer = await answered(
            b"HTTP/1.1 200 OK\r\nX-REQUEST-ID: theirs\r\nContent-Length: 0\r\n\r\n", "X-Request-ID: mine"
        )

        assert [line for line in answer.lines if line.lower().startswith("x-request-id")] == [
            "X-REQUEST-ID: theirs"
        ]

    async def test_operator_names_the_field(self) -> None:
        """Under another name the same holds, and X-Request-ID is a field like any other."""
        request, answer = await forward(
            "X-Request-ID: other", "X-Correlation: mine", forwarding={"request_id_header": "X-Correlation"}
        )

        assert (request.fields["x-correlation"], request.fields["x-request-id"]) == ("mine", "other")
        assert (answer.fields["x-correlation"], answer.fields.get("x-request-id")) == ("mine", None)

    async def test_own_answers_tell_it(self) -> None:
        """An answer of the gateway's own names the request too."""
        routes = [{"match": {"path": "/other"}, "pool": "pcs"}]
        async with talking(answering(OK), routes=routes) as (client, _, _):
            answer = await client.ask("GET /", "X-Request-ID: mine")

            assert answer.fields["x-request-id"] == "mine"


class TestTraceContext:
    async def test_is_started(self) -> None:
        """W3C Trace Context 3: without one, a trace begins here; its id is the request's."""
        async with talking(answering(OK)) as (client, _, backend):
            for _ in range(2):
                await client.ask("GET /")
            first, second = (request.fields for request in backend.requests)

            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first["traceparent"])
            assert first["traceparent"] != second["traceparent"]
            assert first["traceparent"].split("-")[1] == first["x-request-id"]

    @pytest.mark.parametrize("other", [(), ("X-Request-ID: mine",)])
    async def test_is_kept(self, other: tuple[str, ...]) -> None:
        """W3C Trace Context 3: a valid one is passed on with its state."""
        request = await received(f"traceparent: {TRACE}", *other, "tracestate: a=b")

        assert (request.fields["traceparent"], request.fields["tracestate"]) == (TRACE, "a=b")

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "rubbish",
            TRACE.upper(),
            "ff" + TRACE[2:],
            TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
            TRACE.replace("b7ad6b7169203331", "0" * 16),
            TRACE[:-1],
        ],
    )
    async def test_invalid_one_is_replaced(self, bad: str) -> None:
        """W3C Trace Context 3.2.2: an invalid one is ignored and a new trace begins."""
        request = await received(f"traceparent: {bad}")

        assert request.fields["traceparent"] != bad
        assert sum(line.lower().startswith("traceparent") for line in request.lines) == 1


class TestServerTiming:
    async def test_tells_the_share_of_the_gateway(self) -> None:
        """Every response says how much of the time was the gateway's own: little, when it only forwards."""
        _, answer = await forward()
        match = re.fullmatch(r"gateway;dur=([0-9]+\.[0-9]{3})", answer.fields["server-timing"])

        assert match is not None
        assert float(match[1]) < 50

    async def test_waiting_for_the_client_is_not_its_share(self) -> None:
        """The time in which a client sends its body is the client's."""
        async with talking(answering(OK), limits={"request_buffer": "1B"}) as (client, gateway, backend):
            client.send("POST /", "Content-Length: 4", body=b"")
            client.writer.write(b"ab")
            await until(lambda: backend.peers and backend.peers[0].received.endswith(b"\r\n\r\nab"))
            await asyncio.sleep(0.12)
            client.writer.write(b"cd")
            answer = await client.read_answer()
            record = await gateway.record()

            assert float(answer.fields["server-timing"].removeprefix("gateway;dur=")) < 100
            assert record.duration > 0.1
            assert record.gateway_time < 0.1

    async def test_can_be_switched_off(self) -> None:
        """`server_timing: false` leaves responses as they are."""
        _, answer = await forward(forwarding={"server_timing": False})

        assert "server-timing" not in answer.fields


class TestDate:
    async def test_is_added_where_it_is_missing(self) -> None:
        """6.6.1: a recipient that has a clock adds a Date; the backend's own is kept."""
        without = await answered(OK)
        own = await answered(
            b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
        )

        assert re.fullmatch(r"\w{3}, \d\d \w{3} 2\d{3} \d\d:\d\d:\d\d GMT", without.fields["date"])
        assert own.fields["date"] == "Mon, 01 Jan 2001 00:00:00 GMT"


class TestRequestLine:
    @pytest.mark.parametrize("method", ["PATCH", "PROPFIND", "BREW", "M-SEARCH", "X!#$%&'*+-.^_`|~9"])
    async def test_unknown_methods_are_passed(self, method: str) -> None:
        """9.1: a method is a token; the backend knows which it takes."""
        assert (await received(head=f"{method} /a")).line == f"{method} /a HTTP/1.1"

    @pytest.mark.parametrize(
        "target",
        [
            "/",
            "/a%20b",
            "/%7e%41%2f",
            "/a;b=c",
            "/a?b=c&d=%zz",
            "/a?",
            "/a??b",
            "/?a=/../b//c\\",
            "/a:b@c!$&'()*+,=",
            '/"<>^`{|}',
            "/a%C3%A9",
        ],
    )
    async def test_target_is_forwarded_as_it_came(self, target: str) -> None:
        """RFC 9112 3.2.1: path and query reach the backend byte by byte."""
        assert (await received(head=f"GET {target}")).target == target

    @pytest.mark.parametrize(
        ("target", "origin_form", "host"),
        [
            ("http://www.test/a?b", "/a?b", "www.test"),
            ("http://www.test:8080/a", "/a", "www.test:8080"),
            ("http://www.test", "/", "www.test"),
            ("http://www.test?b", "/?b", "www.test"),
            ("HTTP://WWW.test/a", "/a", "WWW.test"),
            ("http://[::1]:80/a", "/a", "[::1]:80"),
            ("https://www.test/a", "/a", "www.test"),
        ],
    )
    async def test_absolute_form(self, target: str, origin_form: str, host: str) -> None:
        """RFC 9112 3.2.2: the target's authority replaces Host; the backend gets the origin form."""
        request = await received(head=f"GET {target}")

        assert (request.target, request.fields["host"]) == (origin_form, host)
        assert request.fields["x-forwarded-host"] == host

    async def test_authority_of_one_request_is_not_that_of_the_next(self) -> None:
        """RFC 9112 3.2.2: the next request in origin form has its own Host again."""
        async with talking(answering(OK)) as (client, _, backend):
            for target in ("http://www.test/", "/", "http://other.test/", "/"):
                await client.ask(f"GET {target}")

            hosts = [request.fields["host"] for request in backend.requests]
            assert hosts == ["www.test", "sample.test", "other.test", "sample.test"]

    @pytest.mark.parametrize("target", ["*", "http://sample.test"])
    async def test_options_for_the_whole_server(self, target: str) -> None:
        """RFC 9112 3.2.4: `OPTIONS *`, also as an absolute form without path, reaches the backend as such."""
        assert (await received(head=f"OPTIONS {target}")).line == "OPTIONS * HTTP/1.1"
