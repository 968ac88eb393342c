"""What is known of one exchange when it is over."""

from __future__ import annotations

from typing import Final

SWITCHING_PROTOCOLS: Final = 101
"""Status of an exchange that became a tunnel."""


class ExchangeRecord:
    """
    The facts of one exchange: filled in by the data path, read by `Recorder.record` and `AccessLog.append`.

    The data path's own object is the record: it subclasses this, and sets each attribute itself. A record
    given to the access log must not change any more: the log reads it a little later. Durations are in
    seconds, of a monotonic clock.

    Attributes:
        route: Name of the matched route; "" when none matched.
        pool: Name of the route's pool; "" when none was needed.
        backend: Name of the backend that answered, else of the last one tried; "" when none was tried.
        method: As received.
        target: The request target as received, query included; secrets in it are masked by whoever shows it.
        status: Status code of the final response; 0 when none was sent.
        started: Unix seconds at which the request's head was complete and its turn had come.
        duration: From then to the last byte of the response.
        time_to_first_byte: From then to the first byte of the final response head.
        upstream_time: From the request sent to `backend` to the last byte of its response; 0.0 when no
            backend's answer was passed on as it came.
        gateway_time: The gateway's own share: `duration` without waiting for backends and clients.
        attempts: How many attempts were started.
        outcomes: Empty in the plain case: no attempt, or a single one that `backend` answered. Else every
            attempt in order as (backend, outcome), the successful one included.
        reason: Why the gateway refused, or could not finish, the exchange; "" when it did neither. One that
            begins with "client_" says that the client broke it off.
        request_id: The request's identifier, as forwarded.
        client: Address of the client.
        request_bytes: Body bytes received from the client.
        response_bytes: Body bytes sent to the client.
    """

    __slots__ = (
        "attempts",
        "backend",
        "client",
        "duration",
        "gateway_time",
        "method",
        "outcomes",
        "pool",
        "reason",
        "request_bytes",
        "request_id",
        "response_bytes",
        "route",
        "started",
        "status",
        "target",
        "time_to_first_byte",
        "upstream_time",
    )

    def __init__(self) -> None:
        self.route: str = ""
        self.pool: str = ""
        self.backend: str = ""
        self.method: bytes = b""
        self.target: bytes = b""
        self.status: int = 0
        self.started: float = 0.0
        self.duration: float = 0.0
        self.time_to_first_byte: float = 0.0
        self.upstream_time: float = 0.0
        self.gateway_time: float = 0.0
        self.attempts: int = 0
        self.outcomes: tuple[tuple[str, str], ...] = ()
        self.reason: str = ""
        self.request_id: bytes = b""
        self.client: str = ""
        self.request_bytes: int = 0
        self.response_bytes: int = 0

    def __repr__(self) -> str:
        method = self.method.decode("latin-1")
        return (
            f"<{type(self).__name__} {method} route={self.route!r} status={self.status} "
            f"{self.duration * 1000:.3f} ms, {self.attempts} attempts, reason={self.reason!r}>"
        )


def error_type(status: int, reason: str) -> str:
    """
    Name the error that an exchange was, or return "" when it was none.

    An error is what a client has to blame the service for: a status of 500 and more, or a response that broke
    off although the client was still there. A 4xx answer and a client that left are no errors; nor is a
    tunnel (status 101) that ended, in whatever way.
    """
    if status >= 500:
        return reason or f"http_{status}"
    if reason and status < 400 and status != SWITCHING_PROTOCOLS and not reason.startswith("client_"):
        return reason
    return ""
