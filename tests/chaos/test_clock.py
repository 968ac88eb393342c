"""Clocks that jump: the injected one, since nobody may move the machine's."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from tests.fakes.backend import OK, answering, hanging
from tests.fakes.gateway import talking
from tests.fakes.raw_client import RawAnswer
from tests.fakes.waiting import until

HOUR = 3600.0


def told(answer: RawAnswer) -> float:
    """When the answer was made, as its Date says, in Unix seconds."""
    return parsedate_to_datetime(answer.fields["date"]).timestamp()


async def test_leap_of_monotonic_time_ends_what_waits_and_nothing_else() -> None:
    """After the machine slept, who waited is told so, and the next request on the connection is served."""
    async with talking(hanging, pool={"on_abandon": "cancel"}) as (client, gateway, backend):
        client.send("GET /waits")
        await until(lambda: gateway.in_flight == 1)

        gateway.jump(HOUR)
        waited = await client.read_answer()
        backend.script = answering(OK)
        served = await client.ask("GET /next")

        assert (504, 200) == (waited.status, served.status)


async def test_time_of_day_that_goes_back_is_only_told() -> None:
    """Dates follow the clock; durations do not notice."""
    async with talking(answering(OK)) as (client, gateway, _):
        before = told(await client.ask("GET /before"))

        gateway.set_wall_clock(-HOUR)
        await until(lambda: gateway.plane.wall_offset < before - gateway.plane.monotonic() - HOUR / 2)
        after = told(await client.ask("GET /after"))
        records = [await gateway.record(number) for number in range(2)]

        assert HOUR / 2 < before - after < 1.5 * HOUR
        assert all(0 <= record.duration < 5 for record in records)
