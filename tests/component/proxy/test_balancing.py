"""What strategies learn of requests and of backends, on real connections."""

from __future__ import annotations

from tests.fakes.backend import OK, answering, hanging
from tests.fakes.gateway import Gateway, balancing
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

KEYS = [f"key-{number}" for number in range(12)]


async def homes(client: RawClient, gateway: Gateway, line: str) -> list[str]:
    """Which backend each key goes to, asked for three times; `line` is the field that carries it."""
    found = []
    for key in KEYS:
        names = set()
        for _ in range(3):
            seen = len(gateway.records)
            await client.ask("GET /", line.format(key))
            names.add((await gateway.record(seen)).backend)
        assert len(names) == 1
        found.append(names.pop())
    return found


async def test_a_header_and_a_cookie_keep_a_client_at_its_backend() -> None:
    """The same key goes to the same backend, whichever of the two carries it."""
    found = []
    for hash_on, line in (("header:X-Tenant", "x-tenant: {}"), ("cookie:session", "Cookie: a=1; session={}")):
        pool = {"strategy": "consistent_hash", "hash_on": hash_on}
        async with balancing(answering(OK), answering(OK), answering(OK), pool=pool) as (client, gateway, _):
            found.append(await homes(client, gateway, line))

    assert {"b0", "b1", "b2"} == set(found[0])
    # the backends' ports differ from one gateway to the next, and with them the keys' homes
    assert {"b0", "b1", "b2"} >= set(found[1])


async def test_another_key_is_taken_over_by_a_reload() -> None:
    """`hash_on` may change while the strategy stays."""
    pool = {"strategy": "consistent_hash", "hash_on": "path"}
    async with balancing(answering(OK), answering(OK), pool=pool) as (client, gateway, backends):
        await client.ask("GET /a")
        before = gateway.plane.pools["pcs"].balancer
        gateway.reload(
            {
                "pools": {
                    "pcs": {
                        "backends": [
                            {"url": one.url, "name": f"b{number}"} for number, one in enumerate(backends)
                        ],
                        "strategy": "consistent_hash",
                        "hash_on": "header:X-Tenant",
                    }
                }
            }
        )
        names = await homes(client, gateway, "X-Tenant: {}")

        assert before is not gateway.plane.pools["pcs"].balancer
        assert {"b0", "b1"} == set(names)


async def test_least_time_sees_a_backend_that_hangs() -> None:
    """Its attempts that wait count with their age, and it gets no more once that is over the average."""
    pool = {"strategy": "least_time", "on_abandon": "cancel"}
    async with balancing(hanging, answering(OK), pool=pool) as (client, gateway, backends):
        members = gateway.plane.pools["pcs"].balancer.members
        async with gateway.client() as one, gateway.client() as other:
            for waiting in (one, other):
                waiting.send("GET /")
            await until(lambda: members[0].in_flight and gateway.records)
            await until(lambda: members[0].waiting > 0.15)
            for _ in range(10):
                assert (await client.ask("GET /")).status == 200

        assert 1 == len(backends[0].peers)
        assert 0.0 == members[1].waiting
