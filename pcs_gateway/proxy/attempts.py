"""
Whether an attempt that failed is followed by another, and when: pure decisions.

The law: nothing is sent twice that might be executed twice, unless the method says that this does no harm
(RFC 9110 section 9.2.2) and the operator's `retry.methods` agrees, or the route has `side_effects: false`.
A failed connect sent nothing, so it is tried again whatever the method. Nothing is tried again once a byte of
a final response was passed on. Whatever is tried again must be listed in `retry.on`, where

- `connect_failure` is a connect that was refused, timed out, had no address to go to, or for which we lacked
  descriptors, memory or ports;
- `reset_before_response` is a connection that ended before the response head;
- a status is a response with it, and also what would be answered with it in its place: 504 is a response head
  that did not come within `timeouts.response_head`, 502 a malformed one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, StrEnum
from math import ceil
from random import Random
from typing import Final

from pcs_gateway.http.refusals import Refusal

CONNECT_FAILURE: Final = "connect_failure"
RESET_BEFORE_RESPONSE: Final = "reset_before_response"
STALE_CONNECTION: Final = "stale_connection"
"""Not for `retry.on`: a connection that the backend closed just as it was reused is no failure of either."""

PAUSE_STEPS: Final = 32
"""A pause is one of so many parts of its bound, so that pauses of all exchanges share a few queues."""


class Failure(Enum):
    """
    How an attempt can fail before its response head.

    Attributes:
        outcome: In log and metrics; RFC 9209's name where it has one.
        answer: What the client gets if nothing helps.
        cause: What must be listed in `retry.on` for it to be tried again.
    """

    CONNECT_FAILED = ("connection_refused", Refusal.CONNECT_FAILED, CONNECT_FAILURE)
    CONNECT_TIMEOUT = ("connection_timeout", Refusal.CONNECT_TIMEOUT, CONNECT_FAILURE)
    OUT_OF_RESOURCES = ("out_of_resources", Refusal.OUT_OF_RESOURCES, CONNECT_FAILURE)
    UNRESOLVED = ("dns_error", Refusal.CONNECT_FAILED, CONNECT_FAILURE)
    TLS_CERTIFICATE = ("tls_certificate_error", Refusal.TLS_CERTIFICATE_ERROR, CONNECT_FAILURE)
    TLS_ALERT = ("tls_alert_received", Refusal.TLS_ALERT_RECEIVED, CONNECT_FAILURE)
    TLS_PROTOCOL = ("tls_protocol_error", Refusal.TLS_PROTOCOL_ERROR, CONNECT_FAILURE)
    STALE_CONNECTION = ("stale_connection", Refusal.UPSTREAM_RESET, STALE_CONNECTION)
    RESET = ("connection_terminated", Refusal.UPSTREAM_RESET, RESET_BEFORE_RESPONSE)
    MALFORMED = ("http_protocol_error", Refusal.MALFORMED_RESPONSE, 502)
    HEAD_TOO_LARGE = ("http_response_header_section_size", Refusal.RESPONSE_HEAD_TOO_LARGE, 502)
    UNASKED_UPGRADE = ("http_upgrade_failed", Refusal.UPGRADE_FAILED, 502)
    RESPONSE_TIMEOUT = ("http_response_timeout", Refusal.RESPONSE_TIMEOUT, 504)

    def __init__(self, outcome: str, answer: Refusal, cause: str | int) -> None:
        self.outcome = outcome
        self.answer = answer
        self.cause = cause

    @property
    def blames_backend(self) -> bool:
        """Evidence against the backend; that it closed an idle connection, or that we are short, is none."""
        return self not in {Failure.STALE_CONNECTION, Failure.OUT_OF_RESOURCES}


GATEWAY_FAILURE_STATUSES = frozenset((502, 503, 504))
"""Statuses that count as gateway failures of a backend; a plain 500 says nothing about the host."""


MOST_OF_TOTAL: Final = 0.8
"""Share of `timeouts.request_total` that a backend must have had, where `response_head` is longer."""


def had_its_time(waited: float, response_head: float, request_total: float) -> bool:
    """
    Tell whether an attempt that `request_total` ended is evidence against its backend.

    It is when the backend had as long as `response_head` allows, or most of a total that is shorter: a first
    attempt usually has. What began late, after others had failed or after a wait in the queue, says nothing.
    """
    return waited >= min(response_head, MOST_OF_TOTAL * request_total)


class Denial(StrEnum):
    """Why a failed attempt is not followed by another."""

    NOT_LISTED = "not_listed"
    """`retry.on` does not name its cause."""
    METHOD = "method"
    """It was sent, and neither its method nor its route says that it may be sent twice."""
    BODY = "body"
    """Part of its body is gone: it was larger than `limits.request_buffer`."""
    ATTEMPTS = "attempts"
    """`retry.attempts` are used up."""
    RETRY_AFTER = "retry_after"
    """The backend asks for a pause that ends after `timeouts.request_total`."""
    TIME = "time"
    """The pause before a retry would end after `timeouts.request_total`."""
    BUDGET = "budget"
    """The pool's retry budget is exhausted."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """
    What a decision about a retry looks at.

    Attributes:
        cause: Of the failure, as in `retry.on`.
        is_repeatable: The request may be executed twice: by its method, or as its route says.
        is_replayable: The whole request can still be sent.
        retries: How many there were.
        maximum: `retry.attempts`.
        listed: `retry.on`.
        pause: Seconds until the retry.
        retry_after: The part of these that the backend asked for.
        time_left: Seconds until `timeouts.request_total`.
    """

    cause: str | int
    is_repeatable: bool
    is_replayable: bool
    retries: int
    maximum: int
    listed: Collection[str | int]
    pause: float = 0.0
    retry_after: float = 0.0
    time_left: float = float("inf")


_Rule = tuple[Denial, Callable[[Circumstances], bool]]


def judge_retry(seen: Circumstances) -> Denial | None:
    """
    Say why there is no retry; None when there is one, as far as the budget allows.

    A connection that was stale is replaced at once, which is no retry: it happens once at most, since the
    next attempt takes a new connection.
    """
    denials = _STALE if seen.cause == STALE_CONNECTION else _FAILED
    return next((denial for denial, applies in denials if applies(seen)), None)


_UNREPEATABLE: Final[tuple[_Rule, ...]] = (
    (Denial.METHOD, lambda seen: seen.cause != CONNECT_FAILURE and not seen.is_repeatable),
    (Denial.BODY, lambda seen: not seen.is_replayable),
)
_STALE: Final[tuple[_Rule, ...]] = ((Denial.ATTEMPTS, lambda seen: seen.maximum == 0), *_UNREPEATABLE)
_FAILED: Final[tuple[_Rule, ...]] = (
    (Denial.NOT_LISTED, lambda seen: seen.cause not in seen.listed),
    *_UNREPEATABLE,
    (Denial.ATTEMPTS, lambda seen: seen.retries >= seen.maximum),
    (Denial.RETRY_AFTER, lambda seen: seen.retry_after >= seen.time_left),
    (Denial.TIME, lambda seen: seen.pause >= seen.time_left),
)
"""The first that applies is the reason."""


def draw_pause(base: float, maximum: float, retries: int, random: Random) -> float:
    """
    Draw the seconds before a retry: full jitter below a bound that doubles with each retry, up to `maximum`.

    It is never 0, so that a backend is not asked again in the moment in which it failed.
    """
    bound = min(base * 2.0**retries, maximum)
    return bound * random.randint(1, PAUSE_STEPS) / PAUSE_STEPS


def read_retry_after(section: bytes, unix_time: float) -> float:
    """
    Give the seconds for which the field section of a response asks to wait (RFC 9110 section 10.2.3).

    They are whole, so that pauses until a date share a few queues as well. 0.0 when it does not ask, or asks
    in a way that is none.
    """
    for line in section.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"retry-after":
            return _seconds(value.strip().decode("latin-1"), unix_time)
    return 0.0


def _seconds(value: str, unix_time: float) -> float:
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(float(ceil(moment.timestamp() - unix_time)), 0.0) if moment.tzinfo is not None else 0.0
