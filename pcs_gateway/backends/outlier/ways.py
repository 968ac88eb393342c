"""
The ways in which attempts fail, and whom a failure speaks against.

Failures are compared by their way, not by every detail: a service whose database is away answers 502 here and
503 there, a dead network shows as a refused connect or as one that times out. A TLS handshake is part of the
connect: when it fails nothing was sent, so nothing is said of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Way(StrEnum):
    """What failures have in common."""

    CONNECT = "connect"
    RESET = "reset"
    TIMEOUT = "timeout"
    STATUS = "status"
    MALFORMED = "malformed"
    INCOMPLETE = "incomplete"


class Bearing(StrEnum):
    """
    Whom a failure speaks against.

    BACKEND: the backend; it counts in every respect.
    LATE: the backend too, but an attempt succeeded since, so that it is no part of a row.
    REQUEST: the request, which failed alike at two backends. It ejects nobody; when all requests fail alike,
    it helps to know that.
    """

    BACKEND = "backend"
    LATE = "late"
    REQUEST = "request"


NO_ANSWER = "no_answer"
"""Kind of an attempt that still waits, long after other backends would have answered."""

_WAYS: Mapping[str, Way] = {
    "connection_refused": Way.CONNECT,
    "connection_timeout": Way.CONNECT,
    "dns_error": Way.CONNECT,
    "tls_certificate_error": Way.CONNECT,
    "tls_alert_received": Way.CONNECT,
    "tls_protocol_error": Way.CONNECT,
    "connection_terminated": Way.RESET,
    "http_response_timeout": Way.TIMEOUT,
    NO_ANSWER: Way.TIMEOUT,
    "response_incomplete": Way.INCOMPLETE,
    "stream_idle": Way.INCOMPLETE,
    "http_502": Way.STATUS,
    "http_503": Way.STATUS,
    "http_504": Way.STATUS,
}


def way_of(kind: str) -> Way:
    """Return the way of a kind of failure; kinds that are not listed are malformed answers."""
    return _WAYS.get(kind, Way.MALFORMED)
