"""
Whether a failed attempt is followed by another: pure decisions.

The law: nothing is sent twice that might be executed twice, unless the method says that this does no harm
(RFC 9110 section 9.2.2) and the operator's `retry.methods` agrees. A failed connect sent nothing and is tried
once on another backend whatever the method. Nothing is tried again once a byte of a response was passed on.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from pcs_gateway.http.refusals import Refusal


class Failure(Enum):
    """How an attempt can fail before its response head; `answer` is what the client gets if nothing helps."""

    CONNECT_FAILED = ("connection_refused", Refusal.CONNECT_FAILED)
    CONNECT_TIMEOUT = ("connection_timeout", Refusal.CONNECT_TIMEOUT)
    UNRESOLVED = ("dns_error", Refusal.CONNECT_FAILED)
    TLS_CERTIFICATE = ("tls_certificate_error", Refusal.TLS_CERTIFICATE_ERROR)
    TLS_ALERT = ("tls_alert_received", Refusal.TLS_ALERT_RECEIVED)
    TLS_PROTOCOL = ("tls_protocol_error", Refusal.TLS_PROTOCOL_ERROR)
    STALE_CONNECTION = ("stale_connection", Refusal.UPSTREAM_RESET)
    RESET = ("connection_terminated", Refusal.UPSTREAM_RESET)
    MALFORMED = ("http_protocol_error", Refusal.MALFORMED_RESPONSE)
    HEAD_TOO_LARGE = ("http_response_header_section_size", Refusal.RESPONSE_HEAD_TOO_LARGE)
    UNASKED_UPGRADE = ("http_upgrade_failed", Refusal.UPGRADE_FAILED)
    RESPONSE_TIMEOUT = ("http_response_timeout", Refusal.RESPONSE_TIMEOUT)

    def __init__(self, outcome: str, answer: Refusal) -> None:
        self.outcome = outcome
        self.answer = answer

    @property
    def is_connect(self) -> bool:
        """Nothing of the request was sent."""
        return self in _CONNECT_FAILURES

    @property
    def blames_backend(self) -> bool:
        """Evidence against the backend; that it closed an idle connection is none."""
        return self is not Failure.STALE_CONNECTION


_CONNECT_FAILURES = frozenset(
    (
        Failure.CONNECT_FAILED,
        Failure.CONNECT_TIMEOUT,
        Failure.UNRESOLVED,
        Failure.TLS_CERTIFICATE,
        Failure.TLS_ALERT,
        Failure.TLS_PROTOCOL,
    )
)

GATEWAY_FAILURE_STATUSES = frozenset((502, 503, 504))
"""Statuses that count as gateway failures of a backend; a plain 500 says nothing about the host."""


def may_try_again(
    failure: Failure,
    method: bytes,
    retry_methods: Collection[bytes],
    failures: int,
    maximum: int,
    *,
    is_replayable: bool,
) -> bool:
    """
    Decide whether an exchange is tried again after an attempt that failed.

    A connection that the backend closed just as it was reused says nothing about the backend and does not
    count: it happens once at most, since the next attempt takes a new connection.

    Args:
        retry_methods: The methods that may be sent twice.
        failures: Attempts that failed so far and count, this one included.
        maximum: The most attempts after the first.
        is_replayable: The whole request can still be sent.
    """
    if not is_replayable:
        return False
    if failure.is_connect:
        return failures <= max(1, maximum if method in retry_methods else 1)
    if failure is Failure.RESET:
        return method in retry_methods and failures <= maximum
    return failure is Failure.STALE_CONNECTION and method in retry_methods and maximum > 0
