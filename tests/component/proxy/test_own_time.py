"""What an exchange says of the gateway's own time: none of what it waited for others, however it ends."""

import pytest

from pcs_gateway.telemetry.record import ExchangeRecord
from tests.fakes.backend import OK, answering, hanging
from tests.fakes.gateway import talking
from tests.fakes.waiting import until

LONG = 7.0
"""Seconds that nobody works in."""


def _is_own_time_short(record: ExchangeRecord) -> bool:
    return record.duration >= LONG and -1e-6 < record.gateway_time < 1.0


@pytest.mark.parametrize("is_pooled", [True, False])
async def test_a_body_that_is_not_kept_whole_is_waited_for(*, is_pooled: bool) -> None:
    """Until as much has come as is kept, and afterwards; whether there is a connection already or not."""
    async with talking(answering(OK), limits={"request_buffer": "1B"}) as (client, gateway, backend):
        if is_pooled:
            await client.ask("GET /")
        client.send("POST /", "Content-Length: 4", body=b"")
        await until(lambda: any(one.exchange for one in gateway.plane.connections))
        gateway.jump(3.0)
        client.writer.write(b"ab")
        await until(lambda: backend.peers and backend.peers[0].received.endswith(b"\r\n\r\nab"))
        gateway.jump(LONG - 3.0)
        client.writer.write(b"cd")

        answer = await client.read_answer()
        assert float(answer.fields["server-timing"].removeprefix("gateway;dur=")) < 1000
        assert _is_own_time_short(await gateway.record(int(is_pooled)))


async def test_a_body_that_never_comes_was_waited_for() -> None:
    """Until 408."""
    async with talking(answering(OK), timeouts={"stream_idle": "5s"}) as (client, gateway, _):
        client.send("POST /", "Content-Length: 4", body=b"")
        await until(lambda: any(one.exchange for one in gateway.plane.connections))
        gateway.jump(LONG)

        assert (await client.read_answer()).status == 408
        assert _is_own_time_short(await gateway.record())


async def test_an_answer_that_a_client_no_longer_waits_for_was_waited_for() -> None:
    """Until it left."""
    async with talking(hanging, pool={"on_abandon": "cancel"}) as (client, gateway, backend):
        client.send("GET /")
        await until(lambda: backend.peers and backend.peers[0].received)
        gateway.jump(LONG)
        client.reset()

        assert _is_own_time_short(await gateway.record())


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_pause_before_a_retry_is_a_wait(*, leaves: bool) -> None:
    """Be it ended by the client, or by the time that a request has."""
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n"
    timeouts = {"request_total": "25s"}
    pool = {"retry": {"on": [503]}, "on_abandon": "cancel"}
    async with talking(answering(busy), pool=pool, timeouts=timeouts) as (client, gateway, backend):
        client.send("GET /")
        await until(lambda: backend.requests)
        await until(lambda: not gateway.in_flight)
        gateway.jump(LONG)
        if leaves:
            client.reset()
        else:
            gateway.plane.sweep()
            gateway.jump(20.0)

        assert _is_own_time_short(await gateway.record())
