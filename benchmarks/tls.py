"""The certificate that every proxy shows, and the context of clients that do not look at it."""

import functools
import ssl
from pathlib import Path

import trustme


def write_certificate(directory: Path) -> Path:
    """Write certificate and key into one file, and return its path."""
    path = directory / "certificate.pem"
    if not path.exists():
        signed = trustme.CA().issue_cert("localhost", "127.0.0.1")
        path.write_bytes(b"".join(blob.bytes() for blob in (*signed.cert_chain_pems, signed.private_key_pem)))
        path.chmod(0o644)  # the peers may run as another user
    return path


@functools.cache
def client_context() -> ssl.SSLContext:
    """Return a context that trusts everybody: it is the proxies that are measured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
