"""
The better of two backends drawn at random.

With loads known late or partly, going to the apparent minimum herds all workers to one backend; two random
choices stay good (Mitzenmacher, "How Useful Is Old Information?", IEEE TPDS 11(1), 2000).
"""

from __future__ import annotations

from pcs_gateway.backends.member import Instances, Member
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, PCSRequest


class TwoChoicesStrategy(LoadBalancingStrategy):
    """Two distinct backends at random, and of these the one with less in flight per weight."""

    compares_loads = True

    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        """Give the less loaded of two random backends; equal ones are chosen between by weight and chance."""
        members = instances.members
        count = len(members)
        if count == 1:
            return members[0]
        chance = self.context.random.random
        one = int(chance() * count)
        other = (one + 1 + int(chance() * (count - 1))) % count
        loads = instances.loads
        if loads[one] == loads[other]:
            heavier = members[one].weight / (members[one].weight + members[other].weight)
            return members[one] if chance() < heavier else members[other]
        return members[one] if loads[one] < loads[other] else members[other]
