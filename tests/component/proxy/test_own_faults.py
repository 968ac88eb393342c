"""A fault in our own code costs the exchange in which it happens, and nothing else."""

from __future__ import annotations

import json

from pcs_gateway.backends.member import Instances, Member
from pcs_gateway.balancing import LoadBalancingStrategy
from pcs_gateway.balancing.strategy import PCSRequest
from tests.fakes.backend import echoing
from tests.fakes.gateway import talking


class BrokenStrategy(LoadBalancingStrategy):
    """A strategy with a mistake."""

    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        raise ZeroDivisionError(f"{len(instances)} instances")


class TestOwnFaults:
    async def test_exchange_is_answered_500_and_told(self) -> None:
        """The client gets a problem with its reason, the fault is told, and the next request is served."""
        async with talking(echoing) as (client, gateway, _):
            told: list[Exception] = []
            gateway.plane.tell_fault = told.append
            balancer = gateway.plane.pools["pcs"].balancer
            sound = balancer.strategy
            balancer.strategy = BrokenStrategy(sound.context)

            answer = await client.ask("GET /broken")
            balancer.strategy = sound

            assert answer.status == 500
            assert json.loads(answer.body)["reason"] == "internal_error"
            assert [type(error) for error in told] == [ZeroDivisionError]
            async with gateway.client() as another:
                assert (await another.ask("GET /next")).body == b"/next "
