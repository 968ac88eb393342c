"""A worker without descriptors: whose places are given up, and that no backend is blamed."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pcs_gateway.processes.shortage import RESERVED
from tests.fakes.backend import OK, answering, echoing
from tests.fakes.descriptors import limited_to, used_up
from tests.fakes.gateway import one_pool, talking
from tests.fakes.waiting import until

STRICT: dict[str, Any] = {"outlier_detection": {"consecutive_failures": 1}}
"""One failure is enough to be avoided."""


class TestRoom:
    @pytest.mark.parametrize(
        ("free", "max_per_backend", "room"),
        [
            pytest.param(400, 100, 300, id="what-is-left"),
            pytest.param(400, 1000, 200, id="at-least-half"),
            pytest.param(40_000, 100, 5000, id="as-configured"),
        ],
    )
    async def test_backends_are_left_what_they_may_need(
        self, free: int, max_per_backend: int, room: int
    ) -> None:
        """With a low limit of descriptors clients hold fewer connections than configured; it is shown."""
        pool = {"connections": {"max_per_backend": max_per_backend}}
        async with talking(echoing) as (client, gateway, backend):
            with limited_to(min(RESERVED + free, 20_000)):
                gateway.reload(one_pool(backend.url, pool=pool, limits={"connections": 5000}))

                assert 200 == (await client.ask("GET /")).status
            assert (room, room) == (gateway.plane.connections.room, gateway.row.client_connections_limit)


class TestConnects:
    async def test_shortage_of_ours_blames_no_backend(self) -> None:
        """The client is told why, it is counted, and the backend is no suspect."""
        async with talking(answering(OK), pool={**STRICT, "retry": {"attempts": 0}}) as (client, gateway, _):
            await until(lambda: gateway.plane.connections)
            with used_up():
                short = await client.ask("GET /short")
            served = await client.ask("GET /after")
            record = await gateway.record()
            member = gateway.plane.pools["pcs"].balancer.members[0]

            assert (503, 200) == (short.status, served.status)
            assert "out_of_resources" == json.loads(short.body)["reason"]
            assert "pcs-gateway; error=connection_limit_reached" in short.fields["proxy-status"]
            assert (("b0", "out_of_resources"),) == record.outcomes
            assert {"out_of_resources": 1} == gateway.delta.reasons
            assert [] == [entry for entry in gateway.evidence if entry.failures]
            assert (0, 0.0) == (member.consecutive_failures, member.skipped_until)

    async def test_idle_clients_make_room_for_it(self) -> None:
        """The connections that were idle for longest are closed, and the retry is served."""
        async with talking(answering(OK), pool=STRICT) as (client, gateway, _), AsyncExitStack() as stack:
            idle = [await stack.enter_async_context(gateway.client()) for _ in range(4)]
            await until(lambda: len(gateway.plane.connections) == 5)
            gateway.jump(2)
            with used_up():
                assert 200 == (await client.ask("GET /")).status
            for one in idle:
                assert b"" == await one.read_end()
            assert {"retry": {"connect_failure": 1}} == gateway.delta.decisions["pcs"]
