"""OpenSSL's words, judged."""

import ssl

import pytest

from pcs_gateway.proxy.attempts import CONNECT_FAILURE
from pcs_gateway.proxy.tls_backends import FAILURES
from pcs_gateway.proxy.tls_listening import REFUSALS
from pcs_gateway.tls.handshakes import HandshakeFailure, handshake_failure


def error(reason: str | None) -> ssl.SSLError:
    """An error as OpenSSL makes them."""
    made = ssl.SSLError(1, "text")
    made.reason = reason  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("reason", "failure"),
    [
        ("HTTP_REQUEST", HandshakeFailure.PLAIN_HTTP),
        ("UNSUPPORTED_PROTOCOL", HandshakeFailure.VERSION),
        ("NO_SHARED_CIPHER", HandshakeFailure.NO_SHARED_CIPHER),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", HandshakeFailure.CERTIFICATE_MISSING),
        ("CERTIFICATE_VERIFY_FAILED", HandshakeFailure.CERTIFICATE),
        ("TLSV1_ALERT_UNKNOWN_CA", HandshakeFailure.ALERT),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", HandshakeFailure.ALERT),
        ("WRONG_VERSION_NUMBER", HandshakeFailure.MALFORMED),
        ("A_WORD_OF_A_LATER_RELEASE", HandshakeFailure.MALFORMED),
        (None, HandshakeFailure.MALFORMED),
    ],
)
def test_reason_is_judged(reason: str | None, failure: HandshakeFailure) -> None:
    """What is not known is a malformed handshake."""
    assert failure is handshake_failure(error(reason))


def test_every_failure_is_told_on_both_sides() -> None:
    """A reason for the metric, and an outcome for the attempt."""
    assert set(HandshakeFailure) == set(REFUSALS) == set(FAILURES)
    assert all(one.cause == CONNECT_FAILURE and one.blames_backend for one in FAILURES.values())
