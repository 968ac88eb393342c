"""What every strategy is: a proposal of backends in order, which knows nothing of health or limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol

from pcs_gateway.backends.member import Instances, Member


class PCSRequest(Protocol):
    """What a strategy may read of the request (the specification's `PCSRequest`)."""

    method: bytes
    target: bytes
    client: str


@dataclass(frozen=True)
class StrategyContext:
    """
    What a strategy may use besides the instances.

    Attributes:
        take_ticket: Draws the pool's next number, over all workers; no number is drawn twice.
        random: The source of chance.
    """

    take_ticket: Callable[[], int]
    random: Random


class LoadBalancingStrategy(ABC):
    """
    The base of all strategies; one object serves one pool in one worker.

    A strategy of your own overrides `select_instance`, and `order` where it can do better than the default.
    """

    uses_latency: ClassVar[bool] = False
    """Whether loads are weighed by latency: load = latency × (1 + in flight) / weight."""

    def __init__(self, context: StrategyContext) -> None:
        self.context = context

    @abstractmethod
    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        """Give the backend that should take the next attempt. `instances` are ready, at least one."""

    def order(self, instances: Instances, request: PCSRequest | None, first: Member) -> Iterator[Member]:
        """Give the other instances in the order in which they should be asked when `first` cannot take it."""
        ranked = sorted(zip(instances.loads, range(len(instances)), instances.members, strict=True))
        return (member for _, _, member in ranked if member is not first)
