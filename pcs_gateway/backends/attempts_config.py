"""What a pool does about load and failure: its queue, concurrency limit, retries and hedges."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from pcs_gateway.section import FieldName, Integer, Method, Number, Section
from pcs_gateway.units import Duration, Ratio, parse_duration

HEDGE_AFTER_ALLOWED = 'a percentile from p50 to p99.9, or a duration of more than 0 such as "50ms"'
RETRY_ON_ALLOWED = "connect_failure, reset_before_response, or a status code from 500 to 599"

MOST_ATTEMPTS = 1_000_000
"""In flight, waiting, or in a second: the most that any number of them can ask for."""

RETRY_CAUSES = ("connect_failure", "reset_before_response")
"""Failures that may be tried again, beside status codes."""

_PERCENTILE = re.compile(r"p([5-9]\d(\.\d)?)", re.ASCII)


def _hedge_after(value: Any) -> str:
    text = str(value) if isinstance(value, str) else ""
    if not _PERCENTILE.fullmatch(text) and not _is_positive(text):
        raise ValueError(HEDGE_AFTER_ALLOWED)
    return text


def _is_positive(duration: str) -> bool:
    try:
        return parse_duration(duration) > 0.0
    except ValueError:
        return False


def _retry_cause(value: Any) -> str | int:
    if value in RETRY_CAUSES:
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 500 <= value <= 599:
        raise ValueError(RETRY_ON_ALLOWED)
    return value


def _maximum(data: dict[str, Any]) -> int | None:
    return max(1000, data["minimum"]) if data["mode"] == "adaptive" else None


def _initial(data: dict[str, Any]) -> int:
    return int(min(max(32, data["minimum"]), data["maximum"]))


Limit = Annotated[Integer, Field(ge=1, le=MOST_ATTEMPTS)]
"""A limit on attempts in flight."""
RetryCause = Annotated[str | int, BeforeValidator(_retry_cause)]
"""A failure or a status code that may be tried again."""


class QueueConfig(Section):
    """Where requests wait when every backend is at `connections.max_per_backend`, or the pool at its own."""

    max_waiting: Annotated[Integer, Field(ge=0, le=MOST_ATTEMPTS)] = 512
    """Most requests that wait in all workers; beyond it the answer is 503 at once."""

    timeout: Duration = 2.0
    """How long a request waits at most; then the answer is 503."""

    overload_timeout: Duration = 0.005
    """How long it waits while the queue is overloaded: it was not empty for 100 ms, or for the time that an
    attempt takes where that is longer. Then the newest goes first. As long as `timeout`: no difference."""

    priority_header: FieldName | None = None
    """Field with the priority class of a request: high, normal or low, or an urgency of RFC 9218 (u=0 to
    u=7). Peers in `forwarding.trusted_proxies` may raise the route's class, everybody may lower it."""


class ConcurrencyConfig(Section):
    """A limit on attempts in flight to a whole pool, measured or given."""

    mode: Literal["adaptive", "fixed"] = "adaptive"
    """adaptive: found from measured durations; fixed: `maximum`."""

    minimum: Limit = 4
    """adaptive: never below this."""

    maximum: Limit = Field(default_factory=_maximum, validate_default=True)
    """Never above this. Default: 1000, or `minimum` when larger; fixed: required."""

    initial: Limit = Field(default_factory=_initial)
    """adaptive: where it starts. Default: 32, within `minimum` and `maximum`."""

    @field_validator("maximum", mode="before")
    @classmethod
    def _needed_by_fixed(cls, maximum: Any, info: ValidationInfo) -> Any:
        if maximum is None and info.data.get("mode") == "fixed":
            raise ValueError(f"a whole number, from 1 to {MOST_ATTEMPTS}; mode fixed needs it")
        return maximum

    @field_validator("maximum")
    @classmethod
    def _not_below_the_minimum(cls, maximum: int, info: ValidationInfo) -> int:
        if info.data.get("mode") == "adaptive" and maximum < info.data.get("minimum", maximum):
            raise ValueError(f"at least minimum ({info.data['minimum']})")
        return maximum

    @field_validator("initial")
    @classmethod
    def _within_the_limits(cls, initial: int, info: ValidationInfo) -> int:
        low, high = info.data.get("minimum", initial), info.data.get("maximum", initial)
        if info.data.get("mode") == "adaptive" and not low <= initial <= high:
            raise ValueError(f"from minimum to maximum ({low} to {high})")
        return initial


class RetryBudgetConfig(Section):
    """How much retries may add to the load of a pool."""

    ratio: Ratio = 0.2
    """Retries allowed for each request of the last ten seconds, over all workers, waiting ones included."""

    minimum_per_second: Annotated[Number, Field(ge=0, le=MOST_ATTEMPTS)] = 10.0
    """Retries allowed however little traffic there is; of ten seconds, so ten times as many at once."""


class BackoffConfig(Section):
    """The pause before a retry: random, up to a bound that doubles each time."""

    base: Duration = 0.025
    """Bound of the first pause."""

    maximum: Duration = Field(default_factory=lambda data: max(0.25, data["base"]))
    """Bound of any pause. Default: 250ms, or `base` when longer."""

    @field_validator("maximum")
    @classmethod
    def _not_below_the_base(cls, maximum: float, info: ValidationInfo) -> float:
        if maximum < info.data.get("base", maximum):
            raise ValueError("at least base")
        return maximum


class RetryConfig(Section):
    """When a request is tried again, on another backend where there is one."""

    attempts: Annotated[Integer, Field(ge=0, le=10)] = 1
    """Most attempts after the first."""

    on: tuple[RetryCause, ...] = RETRY_CAUSES
    """What is tried again: connect_failure, reset_before_response and status codes from 500 to 599. A status
    also stands for what is answered with it: 504 for a late response head, 502 for a malformed one."""

    methods: tuple[Method, ...] = ("GET", "HEAD", "OPTIONS")
    """Methods that may be sent twice. A connect failure is tried again for any method: nothing was sent.
    `side_effects` of a route goes before."""

    budget: RetryBudgetConfig = RetryBudgetConfig()
    """How much retries may add to the load, over all workers."""

    backoff: BackoffConfig = BackoffConfig()
    """The pause before a retry. A longer `Retry-After` of the backend's answer is added."""


class HedgeConfig(Section):
    """A second attempt in parallel when the first is slow. Never on routes with `side_effects: true`."""

    EXAMPLE: ClassVar[str] = "{after: p95}"

    after: Annotated[str, BeforeValidator(_hedge_after)] = "p95"
    """How long the first attempt may be without a response head, from the choice of its backend on, before
    the second begins: a duration, or a percentile (p50 to p99.9) of how long the route's exchanges with
    `methods` and a status below 500 took in the last half minute, over all workers, known from 100 on. What
    is measured is the whole exchange, from the end of the request's head to the last byte of the response,
    with queue and retries and however slowly the client reads. Where these or large bodies take most of it, a
    percentile comes after any slow head: give a duration."""

    budget: Ratio = 0.05
    """Hedges allowed for each request of the last ten seconds, over all workers; while none wins a tenth of
    that, or one in ten seconds where that is more, and five more for each that wins. Unlike retries they have
    no minimum: with 0.05, fewer than 2 requests per second to the pool have no hedge at all, and fewer than
    20 one in ten seconds until one wins."""

    methods: tuple[Literal["GET", "HEAD", "OPTIONS"], ...] = ("GET", "HEAD")
    """Methods that may be hedged, where the request has no body; only safe ones."""

    @property
    def percentile(self) -> float | None:
        """The ratio that `after` names; None when it is a duration."""
        return float(self.after[1:]) / 100.0 if self.after.startswith("p") else None

    @property
    def fixed_delay(self) -> float | None:
        """The seconds that `after` names; None when it is a percentile."""
        return None if self.after.startswith("p") else parse_duration(self.after)
