"""How a handshake can fail, told from OpenSSL's words: a pure judgement."""

from __future__ import annotations

import ssl
from enum import Enum, auto


class HandshakeFailure(Enum):
    """Why a handshake did not come to its end."""

    PLAIN_HTTP = auto()
    """The peer began with an HTTP request."""
    VERSION = auto()
    """No version of TLS is spoken by both sides."""
    NO_SHARED_CIPHER = auto()
    """No cipher, curve or signature algorithm is known to both sides."""
    CERTIFICATE_MISSING = auto()
    """The peer showed no certificate, and must."""
    CERTIFICATE = auto()
    """The peer's certificate is not valid, not for its name, or not signed by a known authority."""
    ALERT = auto()
    """The peer refused, with an alert; most often it does not trust the certificate."""
    ENDED = auto()
    """The peer closed the connection."""
    MALFORMED = auto()
    """What came is no TLS, or breaks it."""


_REASONS: dict[str, HandshakeFailure] = {
    "HTTP_REQUEST": HandshakeFailure.PLAIN_HTTP,
    "HTTPS_PROXY_REQUEST": HandshakeFailure.PLAIN_HTTP,
    "UNSUPPORTED_PROTOCOL": HandshakeFailure.VERSION,
    "VERSION_TOO_LOW": HandshakeFailure.VERSION,
    "NO_PROTOCOLS_AVAILABLE": HandshakeFailure.VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": HandshakeFailure.VERSION,
    "NO_SHARED_CIPHER": HandshakeFailure.NO_SHARED_CIPHER,
    "NO_SHARED_GROUPS": HandshakeFailure.NO_SHARED_CIPHER,
    "NO_SUITABLE_KEY_SHARE": HandshakeFailure.NO_SHARED_CIPHER,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": HandshakeFailure.NO_SHARED_CIPHER,
    "NO_SHARED_SIGNATURE_ALGORITHMS": HandshakeFailure.NO_SHARED_CIPHER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": HandshakeFailure.CERTIFICATE_MISSING,
    "CERTIFICATE_VERIFY_FAILED": HandshakeFailure.CERTIFICATE,
    "UNEXPECTED_EOF_WHILE_READING": HandshakeFailure.ENDED,
}


def handshake_failure(error: ssl.SSLError) -> HandshakeFailure:
    """Tell why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return HandshakeFailure.CERTIFICATE
    reason = error.reason or ""
    if reason in _REASONS:
        return _REASONS[reason]
    return HandshakeFailure.ALERT if "ALERT" in reason else HandshakeFailure.MALFORMED
