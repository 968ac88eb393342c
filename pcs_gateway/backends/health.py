"""
What health checks make of a backend: a small state machine that is fed results and says when it flipped.

The law of this file:

- a backend that was never checked takes the first result as it is: one passed check makes it healthy, one
  failed check unhealthy. Nothing was known, so there is nothing to damp;
- after that a status changes only when `fall` failed checks, or `rise` passed ones, came in a row;
- a check that timed out says nothing when traffic was answered meanwhile, nor does one that could not be made
  for a shortage of ours: it is excused, neither passed nor failed, and made again soon;
- a check older than `max_age` counts as no check: the backend is unknown again, as if never checked. One that
  was excused is a check, or a shortage that lasts would end in the same.

Whether an operator allows traffic, and whether traffic went wrong, are other facts (`backend`, `outlier`).
"""

from __future__ import annotations

from random import Random

import msgspec

from pcs_gateway.backends.backend import Health, HealthStatus
from pcs_gateway.backends.config import HealthCheckConfig

NEXT_STATUS = {True: HealthStatus.HEALTHY, False: HealthStatus.UNHEALTHY}
"""The status that a passed (True) or failed check speaks for."""


class CheckResult(msgspec.Struct, frozen=True):
    """
    How one check ended.

    Attributes:
        passed: Every expectation was met in time.
        detail: One line for operators: what was seen, and what was expected when it failed.
        timed_out: It failed since no answer came in time.
        is_void: It could not be made, for a shortage of ours.
    """

    passed: bool
    detail: str
    timed_out: bool = False
    is_void: bool = False


class HealthTracker:
    """
    The health of one backend over time.

    Attributes:
        health: What is known now; an immutable value, replaced by each observation.
    """

    __slots__ = ("_against", "_is_excused", "health")

    def __init__(self, health: Health = Health()) -> None:  # noqa: B008 (an immutable value)
        self.health = health
        self._against = 0
        self._is_excused = False

    def __repr__(self) -> str:
        health = self.health
        return f"<HealthTracker {health.status}, {self._against} against it, {health.detail!r}>"

    def observe(self, result: CheckResult, now: float, config: HealthCheckConfig) -> bool:
        """
        Take in the result of a check that ended at `now` (unix seconds).

        Returns:
            Whether the status flipped by it.
        """
        self._is_excused = False
        before = self.health.status
        spoken_for = NEXT_STATUS[result.passed]
        self._against = 0 if spoken_for is before else self._against + 1
        status = spoken_for if self._against >= self._needed(config) else before
        if status is not before:
            self._against = 0
        self.health = Health(status=status, last_check=now, detail=result.detail)
        return status is not before

    def excuse(self, detail: str, now: float) -> None:
        """Take in that a check ended at `now` and said nothing of the backend; `detail` says why."""
        self._is_excused = True
        self.health = Health(status=self.health.status, last_check=now, detail=detail)

    def forget_when_old(self, now: float, max_age: float) -> bool:
        """
        Make the backend unknown when its last check ended more than `max_age` seconds before `now`.

        Returns:
            Whether the status flipped by it.
        """
        health = self.health
        if health.status is HealthStatus.UNKNOWN or now - health.last_check <= max_age:
            return False
        detail = f"no check for more than {max_age:g} s; the last one: {health.detail}"
        self.health = Health(status=HealthStatus.UNKNOWN, last_check=health.last_check, detail=detail)
        self._against = 0
        return True

    @property
    def is_changing(self) -> bool:
        """Whether the last checks speak against the status, or say nothing: time to look more often."""
        return self._against > 0 or self._is_excused or self.health.status is HealthStatus.UNKNOWN

    def pause(self, config: HealthCheckConfig, random: Random) -> float:
        """Seconds from the start of one check to the start of the next: jittered, shorter while changing."""
        seconds = config.fast_interval if self.is_changing else config.interval
        return seconds * (1.0 + config.jitter * random.uniform(-1.0, 1.0))

    def _needed(self, config: HealthCheckConfig) -> int:
        """How many results in a row change the present status."""
        return {
            HealthStatus.UNKNOWN: 1,
            HealthStatus.HEALTHY: config.fall,
            HealthStatus.UNHEALTHY: config.rise,
        }[self.health.status]
