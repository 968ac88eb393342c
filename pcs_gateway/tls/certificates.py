"""
A certificate with its key, judged before it is used.

A pair counts as good when a handshake with it succeeds, against ourselves and in memory: that finds a key of
another certificate, a chain out of order, keys too weak for OpenSSL's security level and certificates not
meant for servers, and it tells what the certificate says of itself.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

VERIFY_PARTIAL_CHAIN = 0x80000
VERIFY_NO_TIME = 0x200000
"""From OpenSSL's x509_vfy.h; Python names only some of the flags."""

PRIVATE_KEY_MARK = b"PRIVATE KEY-----"
_CERTIFICATE_END = b"-----END CERTIFICATE-----"
_ROUNDS = 8
"""A handshake in memory needs fewer turns than this."""


class UnusableError(Exception):
    """
    A certificate, key or list of authorities cannot be used; the text completes `it …`.

    Attributes:
        blames_key: It is the key that cannot be used, or that belongs to another certificate.
    """

    def __init__(self, reason: str, *, blames_key: bool = False) -> None:
        super().__init__(reason)
        self.blames_key = blames_key


class Certificate(NamedTuple):
    """
    What a certificate says of itself.

    Attributes:
        names: DNS names, as written; some may be `*.name`.
        not_before: Unix seconds.
        not_after: Unix seconds.
    """

    names: tuple[str, ...]
    not_before: float
    not_after: float


@contextlib.contextmanager
def as_file(content: bytes) -> Iterator[str]:
    """Lend a path at which `content` can be read, in memory: OpenSSL loads keys from files only."""
    fd = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """
    Give a context its certificate.

    Raises:
        UnusableError: The two are no pair, or one of them is not readable.
    """
    if b"ENCRYPTED" in key:
        raise UnusableError("has a passphrase: a key without one is needed", blames_key=True)
    if PRIVATE_KEY_MARK not in key:
        raise UnusableError("has no private key in PEM", blames_key=True)
    if _CERTIFICATE_END not in certificate:
        raise UnusableError("has no certificate in PEM")
    try:
        with as_file(certificate) as chain, as_file(key) as private:
            context.load_cert_chain(chain, private, password=_no_passphrase)
    except ssl.SSLError as error:
        is_mismatch = error.reason == "KEY_VALUES_MISMATCH"
        reason = "is not the key of this certificate" if is_mismatch else _reason(error)
        raise UnusableError(reason, blames_key=is_mismatch) from None


def load_authorities(context: ssl.SSLContext, content: bytes) -> None:
    """
    Let a context trust the certificates in `content`.

    Raises:
        UnusableError: There are none, or one is malformed.
    """
    if _CERTIFICATE_END not in content:
        raise UnusableError("has no certificate in PEM")
    try:
        context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except ssl.SSLError as error:
        raise UnusableError(_reason(error)) from None
    if not context.cert_store_stats()["x509"]:
        raise UnusableError("has no certificate in PEM")


def inspect(certificate: bytes, key: bytes) -> Certificate:
    """
    Judge a pair.

    Raises:
        UnusableError: It cannot be used; the text says why.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(server, certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= VERIFY_PARTIAL_CHAIN | VERIFY_NO_TIME
    first, end, _ = certificate.partition(_CERTIFICATE_END)
    load_authorities(client, first + end + b"\n")
    return _told(_shake_hands(client, server))


def _told(peer: dict[str, Any]) -> Certificate:
    names = tuple(value for kind, value in peer.get("subjectAltName", ()) if kind == "DNS")
    return Certificate(
        names, ssl.cert_time_to_seconds(peer["notBefore"]), ssl.cert_time_to_seconds(peer["notAfter"])
    )


def _shake_hands(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> dict[str, Any]:
    """Let a client and a server meet in memory; give the server's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        is_client_done = _go_on(client)
        if _go_on(server) and is_client_done:
            return client.getpeercert() or {}
    raise UnusableError("does not complete a handshake")


def _go_on(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLCertVerificationError as error:
        raise UnusableError(f"is refused: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise UnusableError(_reason(error)) from None
    return True


def _reason(error: ssl.SSLError) -> str:
    """Complete `it …`; Python's own words, where OpenSSL has none, are of its source code."""
    words = error.reason.lower().replace("_", " ") if error.reason else "a certificate in it is damaged"
    return f"cannot be used: {words}"


def _no_passphrase() -> str:
    """Keep OpenSSL from asking on the terminal."""
    return ""
