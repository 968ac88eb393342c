"""
Turns, smoothly weighted, over all workers.

Each pool has one ticket counter shared by all workers. A ticket names a place in a fixed sequence, in which
each backend stands as often as its weight says and spread as smooth weighted round robin spreads it (nginx:
each backend's credit grows by its weight, the richest takes the turn and pays the sum of the weights). So one
request after another takes exact turns, whichever worker it comes to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd
from operator import add

from pcs_gateway.backends.member import Instances, Member
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, PCSRequest

LONGEST_SEQUENCE = 1024
"""Places; weights whose sum is larger are rounded to fit."""


def smooth_sequence(weights: Sequence[int]) -> list[int]:
    """Give positions of `weights` in the order of their turns, as many as the reduced weights add up to."""
    divisor = gcd(*weights)
    reduced = [weight // divisor for weight in weights]
    total = sum(reduced)
    if total > LONGEST_SEQUENCE:
        reduced = [max(1, round(weight * LONGEST_SEQUENCE / total)) for weight in reduced]
    total = sum(reduced)
    wealth = [0] * len(reduced)
    sequence = []
    for _ in range(total):
        wealth = list(map(add, wealth, reduced))
        richest = wealth.index(max(wealth))
        wealth[richest] -= total
        sequence.append(richest)
    return sequence


class RoundRobinStrategy(LoadBalancingStrategy):
    """One after the other, each as often as its weight says."""

    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        """Give the backend whose turn the next ticket is."""
        sequence: list[Member] | None = instances.prepared
        if sequence is None:
            members = instances.members
            instances.prepared = sequence = [members[i] for i in smooth_sequence(instances.weights)]
        return sequence[self.context.take_ticket() % len(sequence)]

    def order(self, instances: Instances, request: PCSRequest | None, first: Member) -> Iterator[Member]:
        """Give the others in configured order, from the one after `first` on."""
        members = instances.members
        start = members.index(first) + 1 if first in members else 0
        return (member for member in members[start:] + members[:start] if member is not first)
