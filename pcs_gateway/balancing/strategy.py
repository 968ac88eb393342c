"""What every strategy is: a proposal of backends in order, which knows nothing of health or limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol

from pcs_gateway.backends.member import Instances, Member


class Fields(Protocol):
    """
    The request's fields.

    Attributes:
        section: As received, each line with its CR LF; `pcs_gateway.http.lookup` finds a field or a cookie.
    """

    section: bytes


class PCSRequest(Protocol):
    """What a strategy may read of the request (the specification's `PCSRequest`)."""

    method: bytes
    target: bytes
    client: str

    @property
    def fields(self) -> Fields:
        """The request's fields; looked into only by who asks."""
        ...


@dataclass(frozen=True)
class StrategyContext:
    """
    What a strategy may use besides the instances.

    Attributes:
        take_ticket: Draws the pool's next number, over all workers; no number is drawn twice.
        random: The source of chance.
        hash_on: The pool's `hash_on`; None when it has none.
        hash_balance_factor: The pool's `hash_balance_factor`.
    """

    take_ticket: Callable[[], int]
    random: Random
    hash_on: str | None = None
    hash_balance_factor: float = 1.25


class LoadBalancingStrategy(ABC):
    """
    The base of all strategies; one object serves one pool in one worker.

    A strategy of your own overrides `select_instance`, and `order` where it can do better than the default.
    """

    uses_latency: ClassVar[bool] = False
    """Whether it wants to know how long backends take: `Member.latency` and `Member.waiting`."""

    compares_loads: ClassVar[bool] = False
    """Whether `Instances.loads` decide. Then they are exact in a small pool, and the strategy is asked again
    when another worker leases the backend it chose in the same instant."""

    def __init__(self, context: StrategyContext) -> None:
        self.context = context

    @abstractmethod
    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        """Give the backend that should take the next attempt. `instances` are ready, at least one."""

    def order(self, instances: Instances, request: PCSRequest | None, first: Member) -> Iterator[Member]:
        """Give the other instances in the order in which they should be asked when `first` cannot take it."""
        ranked = sorted(zip(instances.loads, range(len(instances)), instances.members, strict=True))
        return (member for _, _, member in ranked if member is not first)

    def weigh(self, member: Member) -> None:
        """Say what turns a member's attempts in flight into its load."""
        member.weigh(1.0 / member.weight, 0.0)

    def observe(self, members: Sequence[Member]) -> None:  # noqa: B027 - nothing to do for most
        """Look at all members of the pool: after each change, and each 100 ms if it uses latency."""

    def draw(self, request: PCSRequest | None) -> float:
        """Give a number from 0 to 1 that decides which level takes a request while traffic spills over."""
        return self.context.random.random()

    def heeds_ramp(self, request: PCSRequest | None) -> bool:
        """Tell whether the proposal for this request keeps to `Member.ramp` by itself."""
        return False
