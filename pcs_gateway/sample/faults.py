"""
Faults to order: what goes wrong on purpose, and how often.

`decide` is pure: from the faults, a path and chance to what happens to one request. Acting on it is the
server's work. All is at once replaced by `PUT /sample/faults`, or changed by `PATCH`, or ended by `DELETE`.
"""

import asyncio
import math
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Annotated

import msgspec

from pcs_gateway.units import parse_duration

CONTROL_PREFIX = "/sample/"
"""Paths that no fault touches, so that it can be ended."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Ending(StrEnum):
    """How a request ends that is chosen to fail."""

    ANSWER = "answer"
    """With `error_status` and PCS's usual JSON."""
    UNHANDLED = "unhandled"
    """With PCS's unhandled 500: no usual fields, and the connection is closed unannounced."""
    RESET = "reset"
    """With a TCP reset instead of an answer."""
    CLOSE = "close"
    """With the connection closed instead of an answer."""
    TRUNCATE = "truncate"
    """With half of the body, then the connection is closed."""
    GARBAGE = "garbage"
    """With bytes that are no HTTP."""
    HANG = "hang"
    """Not at all, until the faults are changed."""


class Database(StrEnum):
    """What the shared database does."""

    UP = "up"
    DOWN = "down"
    FROZEN = "frozen"


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What goes wrong. Shares are of the requests, 0 to 1.

    Attributes:
        latency: Added to every request, as `Delay.parse` reads it: "20ms", "uniform 5ms 40ms",
            "exponential 20ms", "lognormal 20ms 0.6".
        slow_share: Requests that take `slow_latency` more.
        slow_latency: As `latency`.
        work: CPU time that every request burns while the whole instance waits, as PCS's one worker does.
        error_share: Requests that end as `error_ending` says.
        error_ending: How they end.
        error_status: The status of those that end with an answer.
        hang: No request is answered any more; connections are still accepted.
        not_ready: Readiness answers 503.
        database: Down: readiness 503 and all data routes 500. Frozen: both hang.
        cpu_usage: What the resource endpoint tells instead of the truth.
        memory_usage: Likewise.
        paths: Prefixes of the paths concerned; none means all. It does not narrow readiness and database.
    """

    latency: str = "0ms"
    slow_share: Share = 0.0
    slow_latency: str = "1s"
    work: str = "0ms"
    error_share: Share = 0.0
    error_ending: Ending = Ending.ANSWER
    error_status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 503
    hang: bool = False
    not_ready: bool = False
    database: Database = Database.UP
    cpu_usage: float | None = None
    memory_usage: float | None = None
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in (self.latency, self.slow_latency, self.work):
            Delay.parse(text)


@dataclass(frozen=True, slots=True)
class Delay:
    """
    A distribution of seconds.

    Attributes:
        kind: fixed, uniform, exponential or lognormal.
        first: The value; the lower bound; the mean; the median.
        second: Unused; the upper bound; unused; the standard deviation of the logarithm.
    """

    kind: str
    first: float
    second: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Delay":
        """Read the text of a distribution.

        Raises:
            ValueError: It is none.
        """
        words = text.split()
        try:
            match words:
                case [value]:
                    return cls("fixed", parse_duration(value))
                case ["uniform", low, high]:
                    return cls("uniform", parse_duration(low), parse_duration(high))
                case ["exponential", mean]:
                    return cls("exponential", parse_duration(mean))
                case ["lognormal", median, sigma]:
                    return cls("lognormal", parse_duration(median), float(sigma))
        except ValueError as error:
            raise ValueError(f"delay {text!r}: {error}") from error
        raise ValueError(
            f"delay {text!r}: allowed: '20ms', 'uniform 5ms 40ms', 'exponential 20ms', 'lognormal 20ms 0.6'"
        )

    def draw(self, random: Random) -> float:
        match self.kind:
            case "uniform":
                return random.uniform(self.first, self.second)
            case "exponential":
                return random.expovariate(1 / self.first) if self.first else 0.0
            case "lognormal":
                return random.lognormvariate(math.log(self.first), self.second) if self.first else 0.0
        return self.first


@dataclass(frozen=True, slots=True)
class FaultDecision:
    """
    What happens to one request.

    Attributes:
        delay: Seconds before it is handled.
        work: Seconds of CPU burnt before it is handled.
        ending: How it ends instead of as it should; None: as it should.
        status: The status where it ends with an answer.
    """

    delay: float = 0.0
    work: float = 0.0
    ending: Ending | None = None
    status: int = 503


NO_FAULT = FaultDecision()


def decide(faults: Faults, path: str, random: Random) -> FaultDecision:
    """Decide what happens to a request for `path`."""
    if path.startswith(CONTROL_PREFIX) or (faults.paths and not path.startswith(faults.paths)):
        return NO_FAULT
    if faults.hang:
        return FaultDecision(ending=Ending.HANG)
    delay = Delay.parse(faults.latency).draw(random)
    if faults.slow_share and random.random() < faults.slow_share:
        delay += Delay.parse(faults.slow_latency).draw(random)
    fails = faults.error_share > 0 and random.random() < faults.error_share
    return FaultDecision(
        delay=delay,
        work=Delay.parse(faults.work).draw(random),
        ending=faults.error_ending if fails else None,
        status=faults.error_status,
    )


class FaultControl:
    """
    The faults in force, and the requests that hang because of them.

    Args:
        faults: What is in force from the start, and again after `reset`.
        random: Chance.
    """

    def __init__(self, faults: Faults, random: Random) -> None:
        self._initial = faults
        self._random = random
        self.current = faults
        self._changed = asyncio.Event()

    def replace(self, faults: Faults) -> None:
        """Put other faults in force; what hangs is released."""
        self.current = faults
        self._changed.set()
        self._changed = asyncio.Event()

    def reset(self) -> None:
        self.replace(self._initial)

    def decide(self, path: str) -> FaultDecision:
        if self.current == NO_FAULTS:
            return NO_FAULT
        return decide(self.current, path, self._random)

    async def hang(self) -> None:
        """Wait until the faults are changed."""
        await self._changed.wait()


NO_FAULTS = Faults()
