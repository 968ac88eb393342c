"""
TRACE, OPTIONS and Max-Forwards: how far a request goes, and who answers it.

Rows cite RFC 9110.
"""

from __future__ import annotations

import json

import pytest

from tests.fakes.backend import OK, answering
from tests.fakes.gateway import talking

COMMON = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class TestMaxForwards:
    @pytest.mark.parametrize("target", ["*", "/a"])
    @pytest.mark.parametrize(
        ("received", "forwarded"),
        [("1", "0"), ("2", "1"), ("10", "9"), ("007", "6"), (" 5 ", "4"), ("9" * 50, "999999")],
    )
    async def test_is_decremented(self, target: str, received: str, forwarded: str) -> None:
        """7.6.2: a limit above zero is forwarded, one less or the most that is counted here."""
        async with talking(answering(OK)) as (client, _, backend):
            await client.ask(f"OPTIONS {target}", f"max-FORWARDS:{received}", "X-Last: 1")

            assert forwarded == backend.requests[0].fields["max-forwards"]
            assert "1" == backend.requests[0].fields["x-last"]

    @pytest.mark.parametrize("target", ["*", "/a", "http://sample.test"])
    @pytest.mark.parametrize("value", ["0", "000"])
    async def test_zero_is_answered_here(self, target: str, value: str) -> None:
        """7.6.2: a limit of zero must not be forwarded; 9.3.7: the answer says what is offered."""
        async with talking(answering(OK)) as (client, gateway, backend):
            answer = await client.ask(f"OPTIONS {target}", f"Max-Forwards: {value}")
            again = await client.ask("GET /")

            assert (200, b"", COMMON) == (answer.status, answer.body, answer.fields["allow"])
            assert b"ok" == again.body
            assert ["GET"] == [request.method for request in backend.requests]
            assert (200, "") == ((await gateway.record()).status, gateway.records[0].backend)

    async def test_answer_names_the_methods_of_the_route(self) -> None:
        """10.2.1: Allow lists what the target takes."""
        routes = [{"match": {"methods": ["OPTIONS", "GET"]}, "pool": "pcs"}]
        async with talking(answering(OK), routes=routes) as (client, _, _):
            answer = await client.ask("OPTIONS /", "Max-Forwards: 0")

            assert "GET, OPTIONS" == answer.fields["allow"]

    @pytest.mark.parametrize("body", [b"hello", b""])
    async def test_zero_with_a_body_ends_the_connection(self, body: bytes) -> None:
        """RFC 9112 9.3: a body that is not read must not become the next request."""
        async with talking(answering(OK)) as (client, _, backend):
            answer = await client.ask(
                "OPTIONS /", "Max-Forwards: 0", f"Content-Length: {len(body)}", body=body
            )

            assert ("close" if body else None) == answer.fields.get("connection")
            assert [] == backend.requests

    @pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "a", "1, 2", "0x1", "1 1"])
    async def test_malformed_limit_is_refused(self, value: str) -> None:
        """7.6.2: it is 1*DIGIT; whoever reads another limit would answer at another place."""
        async with talking(answering(OK)) as (client, _, backend):
            answer = await client.ask("OPTIONS /", f"Max-Forwards: {value}")

            assert (400, "malformed_max_forwards") == (answer.status, json.loads(answer.body)["reason"])
            assert [] == backend.requests

    async def test_two_limits_are_refused(self) -> None:
        """5.3: a field with one value occurs once."""
        async with talking(answering(OK)) as (client, _, _):
            assert 400 == (await client.ask("OPTIONS /", "Max-Forwards: 1", "max-forwards: 1")).status

    @pytest.mark.parametrize("value", ["0", "1", "rubbish"])
    async def test_other_methods_ignore_it(self, value: str) -> None:
        """7.6.2: for other methods it may be ignored, and is passed on as it is."""
        async with talking(answering(OK)) as (client, _, backend):
            await client.ask("GET /", f"Max-Forwards: {value}")

            assert value == backend.requests[0].fields["max-forwards"]

    async def test_counts_for_each_request_by_itself(self) -> None:
        """7.6.2: the same fields on one connection, once in a GET and once in OPTIONS, in any order."""
        async with talking(answering(OK)) as (client, _, backend):
            for method in ("GET", "OPTIONS", "GET", "OPTIONS", "OPTIONS"):
                await client.ask(f"{method} /", "Max-Forwards: 7")

            limits = [request.fields["max-forwards"] for request in backend.requests]
            assert ["7", "6", "7", "6", "6"] == limits

    async def test_cannot_be_stripped_by_naming_it(self) -> None:
        """7.6.1: a client that names it in Connection does not take the limit away."""
        async with talking(answering(OK)) as (client, _, backend):
            await client.ask("OPTIONS /", "Connection: x-a, Max-Forwards", "Max-Forwards: 2", "X-A: 1")

            assert "1" == backend.requests[0].fields["max-forwards"]
            assert "x-a" not in backend.requests[0].fields


class TestTrace:
    @pytest.mark.parametrize(
        "fields",
        [
            (),
            ("Max-Forwards: 0",),
            ("Max-Forwards: 5", "Cookie: secret=1", "Authorization: Bearer secret"),
            ("Max-Forwards: rubbish",),
        ],
    )
    @pytest.mark.parametrize("target", ["/", "http://sample.test/a", "*"])
    async def test_is_refused(self, fields: tuple[str, ...], target: str) -> None:
        """9.3.8: nothing is shown of what a request carried or was given on its way; 15.5.6: Allow."""
        async with talking(answering(OK)) as (client, gateway, backend):
            answer = await client.ask(f"TRACE {target}", *fields)
            again = await client.ask("GET /")

            assert (405, "trace_refused") == (answer.status, json.loads(answer.body)["reason"])
            assert COMMON == answer.fields["allow"]
            assert b"secret" not in answer.body
            assert b"ok" == again.body
            assert ["GET"] == [request.method for request in backend.requests]
            assert {"trace_refused": 1} == gateway.delta.reasons

    async def test_with_a_body_ends_the_connection(self) -> None:
        """9.3.8: TRACE has no content; what comes is not the next request."""
        async with talking(answering(OK)) as (client, _, backend):
            answer = await client.ask("TRACE /", body=b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")

            assert (405, "close") == (answer.status, answer.fields["connection"])
            assert b"" == await client.read_end()
            assert [] == backend.requests


async def test_connect_says_what_is_allowed() -> None:
    """15.5.6: a 405 has Allow."""
    async with talking(answering(OK)) as (client, _, _):
        client.writer.write(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")

        assert COMMON == (await client.read_answer()).fields["allow"]
