"""How a request can end."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """Why a request failed; RFC 9209's words where it has one."""

    CONNECTION_REFUSED = "connection_refused"
    """Nobody listens: the request was never sent."""
    CONNECTION_TIMEOUT = "connection_timeout"
    """No connection within `connect_timeout`: never sent."""
    CONNECTION_FAILED = "connection_failed"
    """No connection for another reason (name, route, TLS): never sent."""
    CONNECTION_RESET = "connection_reset"
    """Sent, then a TCP reset before the answer was complete."""
    CONNECTION_CLOSED = "connection_closed"
    """Sent, then the connection ended in order, without a byte of an answer."""
    INCOMPLETE_RESPONSE = "http_response_incomplete"
    """The connection ended in order within an answer."""
    MALFORMED_RESPONSE = "http_protocol_error"
    """What came back is no HTTP answer."""
    RESPONSE_TIMEOUT = "http_response_timeout"
    """Sent, and no complete answer within `timeout`."""
    NO_CONNECTION = "no_free_connection"
    """Not sent within `timeout`: all `concurrent_users` connections were busy."""
    UNEXPECTED_STATUS = "unexpected_status"
    """A complete answer, but not the one that was expected."""
