"""
Every reason for which the gateway answers in its own name, each with what the client is told.

A refusal is shown alike in the answer (`Proxy-Status`), in the log and in the metrics. The names of
`proxy_error` are those of RFC 9209 section 2.3.
"""

from __future__ import annotations

from enum import Enum


class Refusal(Enum):
    """
    One reason not to forward, or not to finish, an exchange.

    Attributes:
        status: The answer's status code.
        proxy_error: RFC 9209's error token.
        message: What the client reads; says what was wrong and what is allowed.
        is_final: The connection is closed after the answer: its bytes cannot be trusted any more.
    """

    # what the bytes of a request may do wrong (RFC 9112)
    MALFORMED_REQUEST_LINE = (
        400,
        "http_request_error",
        "The request line is not 'METHOD target HTTP/1.1'.",
        True,
    )
    LOWER_CASE_METHOD = (
        501,
        "http_request_error",
        "Methods with lower-case letters are not passed on: some servers take them for others.",
        True,
    )
    METHOD_TOO_LONG = (501, "http_request_error", "Methods have at most 32 characters here.", True)
    UNSUPPORTED_VERSION = (505, "http_request_error", "Only HTTP/1.1 and HTTP/1.0 are spoken here.", True)
    MALFORMED_FIELD = (400, "http_request_error", "A header field is malformed.", True)
    BARE_LINE_END = (400, "http_request_error", "A line does not end with CR LF.", True)
    FOLDED_FIELD = (400, "http_request_error", "Folded header fields are not accepted (RFC 9112 5.2).", True)
    CONTROL_CHARACTER = (400, "http_request_error", "A header field contains a control character.", True)
    SPACE_BEFORE_COLON = (400, "http_request_error", "Whitespace before the colon of a header field.", True)
    REPEATED_FIELD = (
        400,
        "http_request_error",
        "A field that has a single value occurs twice (RFC 9110 5.3).",
        True,
    )
    MISSING_HOST = (400, "http_request_error", "HTTP/1.1 requires a Host field.", True)
    REPEATED_HOST = (400, "http_request_error", "More than one Host field.", True)
    MALFORMED_HOST = (400, "http_request_error", "The Host field is not 'name' or 'name:port'.", True)
    MALFORMED_CONTENT_LENGTH = (
        400,
        "http_request_error",
        "Content-Length is not one plain decimal number.",
        True,
    )
    LENGTH_AND_TRANSFER_ENCODING = (
        400,
        "http_request_error",
        "Content-Length and Transfer-Encoding exclude each other.",
        True,
    )
    UNSUPPORTED_TRANSFER_CODING = (
        501,
        "http_request_error",
        "The only transfer coding accepted is 'chunked'.",
        True,
    )
    TRANSFER_CODING_IN_HTTP_1_0 = (400, "http_request_error", "HTTP/1.0 has no transfer codings.", True)
    MALFORMED_CHUNK = (400, "http_request_error", "The chunked body is malformed.", True)
    FRAGMENT_IN_TARGET = (400, "http_request_error", "The request target contains a fragment.", True)
    MALFORMED_TARGET = (400, "http_request_error", "The request target is malformed.", True)
    AMBIGUOUS_PATH = (
        400,
        "http_request_error",
        "The path contains dot segments, delimiters or empty segments that others could read differently.",
        False,
    )
    CONNECT_REFUSED = (405, "http_request_denied", "CONNECT is not offered: this is no forward proxy.", True)
    TRACE_REFUSED = (
        405,
        "http_request_denied",
        "TRACE is not offered: it would show what was added to the request on its way.",
        False,
    )
    MALFORMED_MAX_FORWARDS = (
        400,
        "http_request_error",
        "Max-Forwards is not one plain decimal number.",
        True,
    )
    UPGRADE_WITH_BODY = (400, "http_request_error", "An upgrade request must not have a body.", True)
    UNKNOWN_EXPECTATION = (
        417,
        "http_request_error",
        "The only expectation understood is '100-continue'.",
        True,
    )

    # before the first request (RFC 8446): nothing can be answered, it is only counted
    TLS_HANDSHAKE_TIMEOUT = (0, "connection_timeout", "The handshake was not complete in time.", True)
    TLS_HANDSHAKE_ABANDONED = (
        0,
        "connection_terminated",
        "The client closed the connection in the handshake.",
        True,
    )
    TLS_HANDSHAKE_MALFORMED = (0, "tls_protocol_error", "The client's handshake is no TLS.", True)
    TLS_VERSION_REFUSED = (0, "tls_protocol_error", "The client speaks only older versions of TLS.", True)
    TLS_NO_SHARED_CIPHER = (0, "tls_protocol_error", "The client knows none of the ciphers.", True)
    TLS_ALERT_BY_CLIENT = (0, "tls_alert_received", "The client refused, with an alert.", True)
    TLS_CLIENT_CERTIFICATE_MISSING = (0, "tls_certificate_error", "The client showed no certificate.", True)
    TLS_CLIENT_CERTIFICATE_REFUSED = (
        0,
        "tls_certificate_error",
        "The client's certificate is not valid.",
        True,
    )
    TLS_NO_CERTIFICATE = (0, "proxy_configuration_error", "The listener has no certificate yet.", True)
    PLAIN_HTTP_ON_TLS = (400, "http_request_error", "This port speaks HTTPS, not HTTP.", True)

    # limits
    HEAD_TOO_LARGE = (431, "http_request_error", "The request head is larger than limits.header_bytes.", True)
    TARGET_TOO_LONG = (
        414,
        "http_request_error",
        "The request line is larger than limits.header_bytes.",
        True,
    )
    TOO_MANY_FIELDS = (431, "http_request_error", "The request has more fields than limits.headers.", True)
    BODY_TOO_LARGE = (413, "http_request_error", "The request body is larger than limits.body_bytes.", True)
    REQUEST_TIMEOUT = (408, "http_request_error", "The request did not arrive in time.", True)

    # routing and admission
    NO_ROUTE = (404, "destination_not_found", "No route matches this request.", False)
    METHOD_NOT_ROUTED = (
        405,
        "http_request_denied",
        "A route matches this path, but not with this method.",
        False,
    )

    TOO_MANY_CONNECTIONS = (
        429,
        "connection_limit_reached",
        "This client holds more connections than limits.connections_per_client.",
        True,
    )
    RATE_LIMITED = (
        429,
        "http_request_denied",
        "This client sends more requests than its rate limit allows.",
        False,
    )

    # attempts and the response
    NO_HEALTHY_BACKEND = (503, "destination_unavailable", "No healthy instances available", False)
    QUEUE_TIMEOUT = (
        503,
        "connection_limit_reached",
        "Every backend is at its limit; waiting took too long.",
        False,
    )
    QUEUE_FULL = (
        503,
        "connection_limit_reached",
        "Every backend is at its limit and the queue is full.",
        False,
    )
    OVERLOAD = (
        503,
        "connection_limit_reached",
        "More is asked for than can be done; waiting is kept short.",
        False,
    )
    CONCURRENCY_LIMIT = (
        503,
        "connection_limit_reached",
        "The pool is at its limit on attempts in flight.",
        False,
    )
    OUT_OF_RESOURCES = (
        503,
        "connection_limit_reached",
        "The gateway has no descriptors, memory or ports left for a connection to a backend.",
        False,
    )
    CONNECT_FAILED = (502, "connection_refused", "No connection to a backend could be made.", False)
    CONNECT_TIMEOUT = (504, "connection_timeout", "Connecting to a backend took too long.", False)
    TLS_CERTIFICATE_ERROR = (
        502,
        "tls_certificate_error",
        "The backend's certificate is not valid.",
        False,
    )
    TLS_ALERT_RECEIVED = (502, "tls_alert_received", "The backend refused the TLS handshake.", False)
    TLS_PROTOCOL_ERROR = (502, "tls_protocol_error", "The TLS handshake with a backend failed.", False)
    UPSTREAM_RESET = (
        502,
        "connection_terminated",
        "The backend closed the connection before it answered.",
        False,
    )
    MALFORMED_RESPONSE = (502, "http_protocol_error", "The backend's response was malformed.", False)
    RESPONSE_HEAD_TOO_LARGE = (
        502,
        "http_response_header_section_size",
        "The backend's response head is too large.",
        False,
    )
    RESPONSE_TIMEOUT = (504, "http_response_timeout", "The backend did not answer in time.", False)
    TOTAL_TIMEOUT = (
        504,
        "http_response_timeout",
        "The request was not answered within its total time.",
        False,
    )
    UPGRADE_FAILED = (
        502,
        "http_upgrade_failed",
        "The backend switched protocols without being asked.",
        False,
    )

    # after the response head: nothing can be answered any more, it is only counted and logged
    RESPONSE_INCOMPLETE = (
        0,
        "http_response_incomplete",
        "The backend's response ended before its end.",
        True,
    )
    CLIENT_TOO_SLOW = (
        0,
        "connection_write_timeout",
        "The client took the response more slowly than limits.minimum_body_rate.",
        True,
    )
    STREAM_IDLE = (0, "http_response_timeout", "No byte flowed for timeouts.stream_idle.", True)
    TUNNEL_IDLE = (0, "connection_timeout", "No byte flowed for timeouts.tunnel_idle.", True)
    CLIENT_LEFT = (499, "connection_terminated", "The client closed the connection before the answer.", True)
    DRAIN_TIMEOUT = (503, "connection_terminated", "The worker's drain_timeout ended the exchange.", True)
    INTERNAL_ERROR = (500, "proxy_internal_error", "The gateway failed; this is logged.", True)

    def __init__(self, status: int, proxy_error: str, message: str, is_final: bool) -> None:  # noqa: FBT001
        self.status = status
        self.proxy_error = proxy_error
        self.message = message
        self.is_final = is_final

    @property
    def reason(self) -> str:
        """The reason as it stands in logs and metrics, such as `missing_host`."""
        return self.name.lower()


class RequestRefused(Exception):  # noqa: N818 - an outcome, not a fault of ours
    """
    Raised while reading a request that must not be forwarded.

    Attributes:
        allowed: The methods that would be taken, for the field Allow of a 405.
        retry_after: Seconds until the same request may be admitted; 0 where time changes nothing.
    """

    retry_after = 0

    def __init__(self, refusal: Refusal, allowed: bytes = b"") -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.allowed = allowed


class MalformedResponse(Exception):  # noqa: N818
    """Raised while reading a response that must not be forwarded: a failure of the backend."""
