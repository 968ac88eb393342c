"""
The least expected time: latency × (1 + in flight) / weight.

The law of this file:

- the latency is a plain moving average of times to first byte, not a peak: per-request stragglers would make
  a peak jump on backends that are not slow. It is of all workers' attempts, not of this worker's alone;
- a failed attempt counts as a slow one, else a backend that fails fast would look like the fastest and draw
  all traffic;
- when the attempts that still wait have waited for longer, on average, than the average says, that counts: a
  backend that hangs looks slow before the first of them has ended;
- a backend without a measurement is taken to be twice as fast as the fastest: it is tried when it is idle,
  but what is in flight on it counts at once, so that it is not buried before its first answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from pcs_gateway.backends.member import Member
from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy
from pcs_gateway.balancing.strategy import StrategyContext

UNKNOWN_SECONDS = 0.03
"""What a backend is taken to need while none of the pool has been measured."""

TRUST = 0.5
"""Of the least latency, what a backend without a measurement is taken to need."""


class LeastTimeStrategy(LeastConnectionsStrategy):
    """The backend that is expected to answer first; ties take turns."""

    uses_latency = True

    def __init__(self, context: StrategyContext) -> None:
        super().__init__(context)
        self._assumed = UNKNOWN_SECONDS

    def observe(self, members: Sequence[Member]) -> None:
        """Find out what a backend without a measurement is taken to need."""
        measured = [member.latency for member in members if member.latency]
        self._assumed = TRUST * min(measured) if measured else UNKNOWN_SECONDS

    def weigh(self, member: Member) -> None:
        """Cost is latency × (1 + in flight) / weight."""
        latency = member.latency or self._assumed
        if member.waiting > latency:
            latency = member.waiting
        member.weigh(latency / member.weight, 1.0)
