"""
How long the backends of a fleet take: drawn by request, so that every proxy meets the same sequence.

The n-th attempt of a request takes the same time whoever sends it, and wherever: a second attempt is a new
draw, since what makes one attempt slow (a pause, a lost packet, a cold page) does not follow the request.
"""

import math
from dataclasses import dataclass
from random import Random

ATTEMPTS = 16
"""Draws that one request has; later attempts meet them again."""


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """
    A lognormal service time, with stragglers where asked.

    Attributes:
        mean: Seconds, stragglers aside.
        variation: Standard deviation over mean (the coefficient of variation).
        straggler_share: Attempts that take `straggler_factor` times as long, 0 to 1.
        straggler_factor: How much longer they take.
        seed: Another seed, another sequence.
    """

    mean: float
    variation: float = 0.0
    straggler_share: float = 0.0
    straggler_factor: float = 1.0
    seed: int = 1

    def of(self, request: int, attempt: int) -> float:
        """Return the seconds that an attempt (counted from 0) of a request takes at ordinary speed."""
        chance = Random(((self.seed << 40) + request) * ATTEMPTS + attempt % ATTEMPTS)
        seconds = self.mean
        if self.variation:
            square = math.log1p(self.variation**2)
            seconds = chance.lognormvariate(math.log(self.mean) - square / 2, math.sqrt(square))
        if self.straggler_share and chance.random() < self.straggler_share:
            seconds *= self.straggler_factor
        return seconds
