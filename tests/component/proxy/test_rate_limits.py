"""Rate limits as clients see them: 429 with the time to wait, counted by client, header and route."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.fakes.backend import ScriptedBackend, echoing
from tests.fakes.gateway import Gateway, one_pool, talking
from tests.fakes.raw_client import RawAnswer, RawClient

FROM_HERE = "127.0.0.1"
SLOW: dict[str, Any] = {"rate": "1/m", "burst": 2}
NOBODY: dict[str, Any] = {"trusted_proxies": []}


async def statuses(client: RawClient, count: int, *fields: str, head: str = "GET /") -> list[int]:
    """Give the statuses of as many requests, one after another."""
    return [(await client.ask(head, *fields)).status for _ in range(count)]


class TestRefusal:
    async def test_tells_when_to_come_again(self) -> None:
        """Status, Retry-After, the member that PCS's SDK reads, Proxy-Status and the counted reason agree."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, gateway, backend):
            answers = [await client.ask("GET /") for _ in range(3)]
            answer = answers[-1]
            document = json.loads(answer.body)

            assert [200, 200, 429] == [one.status for one in answers]
            assert 50 <= int(answer.fields["retry-after"]) == document["retry_after"] <= 60
            assert ("rate_limited", str) == (document["reason"], type(document["message"]))
            assert 'error=http_request_denied; details="rate_limited"' in answer.fields["proxy-status"]
            assert "connection" not in answer.fields
            assert 2 == len(backend.requests)
            assert "rate_limited" == (await gateway.record(2)).reason
            assert 1 == gateway.delta.reasons["rate_limited"]

    async def test_ends_when_its_time_is_over(self) -> None:
        """After Retry-After a request passes, and only one."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, gateway, _):
            answers = [await client.ask("GET /") for _ in range(3)]
            gateway.jump(int(answers[-1].fields["retry-after"]))

            assert [200, 429] == await statuses(client, 2)

    async def test_of_a_body_ends_the_connection(self) -> None:
        """A body that was not asked for is not the next request, and reaches nobody."""
        async with talking(echoing, rate_limits=[{"rate": "1/m", "burst": 1}]) as (client, _, backend):
            await client.ask("GET /")
            answer = await client.ask("POST /", body=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

            assert (429, "close") == (answer.status, answer.fields["connection"])
            assert b"" == await client.read_end()
            assert 1 == len(backend.requests)

    async def test_holds_for_every_request_of_a_pipeline(self) -> None:
        """Sent in one piece they are counted one by one, and answered in their order."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, _, _):
            client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5)

            assert [200, 200, 429, 429, 429] == [(await client.read_answer()).status for _ in range(5)]


class TestKeys:
    async def test_connections_of_a_client_count_together(self) -> None:
        """Another connection is no other client."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, gateway, _), gateway.client() as other:
            assert ([200, 200], [429]) == (await statuses(client, 2), await statuses(other, 1))

    async def test_clients_behind_a_trusted_proxy_are_told_apart(self) -> None:
        """The address that counts is the one that the proxy tells."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, _, _):
            one = await statuses(client, 3, "X-Forwarded-For: 192.0.2.1")
            other = await statuses(client, 3, "X-Forwarded-For: 192.0.2.2")

            assert [200, 200, 429] == one == other

    async def test_what_a_stranger_says_of_its_address_is_not_believed(self) -> None:
        """Else everybody could be somebody new with each request."""
        async with talking(echoing, rate_limits=[SLOW], forwarding=NOBODY) as (client, _, _):
            found = [(await statuses(client, 1, f"X-Forwarded-For: 192.0.2.{n}"))[0] for n in range(3)]

            assert [200, 200, 429] == found

    async def test_addresses_of_one_ipv6_network_count_together(self) -> None:
        """The first 64 bits are the client."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, _, _):
            found = [(await statuses(client, 1, f"X-Forwarded-For: 2001:db8::{n}"))[0] for n in range(3)]

            assert [200, 200, 429] == found
            assert [200] == await statuses(client, 1, "X-Forwarded-For: 2001:db8:0:1::1")

    async def test_values_of_a_header_count_apart(self) -> None:
        """Whoever sends none counts by address; the name's spelling means nothing."""
        limits = [{**SLOW, "key": "header:X-API-Key"}]
        async with talking(echoing, rate_limits=limits) as (client, _, _):
            assert [200, 200, 429] == await statuses(client, 3, "X-API-Key: one")
            assert [429] == await statuses(client, 1, "x-api-key: one")
            assert [200, 200, 429] == await statuses(client, 3, "X-API-Key: two")
            assert [200, 200, 429] == await statuses(client, 3)

    async def test_nobody_is_somebody_else_by_a_second_value(self) -> None:
        """A field that limits go by comes once: repeated it is refused, and its double in CGI is dropped."""
        limits = [{**SLOW, "key": "header:X-API-Key"}]
        async with talking(echoing, rate_limits=limits) as (client, gateway, backend):
            async with gateway.client() as other:
                other.send("GET /", "X-API-Key: one", "x-api-key: new")
                answer = await other.read_answer()
            assert 400 == answer.status
            assert b"repeated_field" in answer.body

            assert [200, 200, 429] == await statuses(client, 3, "X_API_Key: one", "X-API-Key: two")
            assert {("x-api-key", "two")} == {
                (name, value)
                for request in backend.requests
                for name, value in request.fields.items()
                if "api" in name
            }

    async def test_new_values_do_not_escape_a_limit_by_address(self) -> None:
        """Both hold."""
        limits = [{**SLOW, "key": "header:X-API-Key"}, {"rate": "1/m", "burst": 4}]
        async with talking(echoing, rate_limits=limits) as (client, _, _):
            found = [(await statuses(client, 1, f"X-API-Key: {number}"))[0] for number in range(6)]

            assert [200] * 4 + [429] * 2 == found

    @pytest.mark.parametrize(("networks", "last"), [(["127.0.0.0/8"], 200), (["10.0.0.0/8"], 429)])
    @pytest.mark.parametrize("key", ["client_address", "header:X-API-Key"])
    async def test_exempt_clients_are_not_counted(self, networks: list[str], last: int, key: str) -> None:
        """However much they send."""
        limits = [{**SLOW, "exempt": networks, "key": key}]
        async with talking(echoing, rate_limits=limits) as (client, _, _):
            assert last == (await statuses(client, 4, "X-API-Key: a"))[-1]


class TestRoutes:
    ROUTES = (
        {"name": "a", "match": {"path": "/a"}, "pool": "pcs", "rate_limits": [SLOW]},
        {"name": "b", "match": {"path": "/{path...}"}, "pool": "pcs"},
    )

    async def test_a_route_s_limit_holds_there_only(self) -> None:
        """Other routes go on."""
        async with talking(echoing, routes=self.ROUTES) as (client, _, _):
            assert [200, 200, 429] == await statuses(client, 3, head="GET /a")
            assert [200] * 4 == await statuses(client, 4, head="GET /b")

    async def test_the_gateway_s_limits_hold_beside_it(self) -> None:
        """All routes count for them together, and what a route refuses does not."""
        limits = [{"rate": "1/m", "burst": 4}]
        async with talking(echoing, routes=self.ROUTES, rate_limits=limits) as (client, _, _):
            assert [200, 200, 429, 429] == await statuses(client, 4, head="GET /a")
            assert [200, 200, 429] == await statuses(client, 3, head="GET /b")

    async def test_fixed_answers_count_too(self) -> None:
        """A route without a pool has limits as others have."""
        routes = [{"respond": {"body": "hi"}, "rate_limits": [SLOW]}]
        async with talking(echoing, routes=routes) as (client, _, _):
            assert [200, 200, 429] == await statuses(client, 3)


class TestReload:
    async def test_the_same_limit_counts_on(self) -> None:
        """A reload for another reason forgives nothing."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, gateway, backend):
            before = await statuses(client, 2)
            gateway.reload(one_pool(backend.url, rate_limits=[SLOW], timeouts={"connect": "2s"}))

            assert ([200, 200], [429]) == (before, await statuses(client, 1))

    async def test_another_rate_begins_anew(self) -> None:
        """What was counted at the old rate says nothing about the new one."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, gateway, backend):
            before = await statuses(client, 3)
            gateway.reload(one_pool(backend.url, rate_limits=[{"rate": "2/h", "burst": 1}]))

            assert ([200, 200, 429], [200, 429]) == (before, await statuses(client, 2))

    async def test_a_limit_can_be_taken_away(self) -> None:
        """At once, on open connections too."""
        async with talking(echoing, rate_limits=[SLOW]) as (client, gateway, backend):
            await statuses(client, 3)
            gateway.reload(one_pool(backend.url))

            assert [200] * 3 == await statuses(client, 3)


async def test_answers_of_two_workers_are_one_truth() -> None:
    """Two data planes on one scoreboard admit together what one may."""
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(ScriptedBackend(echoing))
        configuration = one_pool(backend.url, rate_limits=[{"rate": "1/m", "burst": 5}])
        one = await stack.enter_async_context(Gateway(configuration))
        other = await stack.enter_async_context(Gateway(configuration, beside=one))
        clients: list[RawClient] = [await stack.enter_async_context(each.client()) for each in (one, other)]
        answers: list[RawAnswer] = [await clients[number % 2].ask("GET /") for number in range(8)]

        assert [200] * 5 + [429] * 3 == [answer.status for answer in answers]
