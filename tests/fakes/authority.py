"""A certificate authority of a test's own, and what it has signed, as files."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import trustme


class Authority:
    """
    Signs certificates and writes them into a directory.

    Attributes:
        ca: Path of its own certificate.
    """

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self._directory = directory
        self._number = 0
        self.ca = directory / f"ca-{id(self)}.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def pair(
        self, *names: str, common_name: str | None = None, not_after: dt.datetime | None = None
    ) -> dict[str, str]:
        """Sign a certificate for these names; give the paths of certificate and key, as configured."""
        self._number += 1
        place = self._directory / f"pair-{id(self)}-{self._number}"
        return self.write(place, *names, common_name=common_name, not_after=not_after)

    def write(
        self,
        place: Path,
        *names: str,
        common_name: str | None = None,
        not_after: dt.datetime | None = None,
    ) -> dict[str, str]:
        """Sign a certificate into the files `place`.crt and `place`.key, replacing what they held."""
        signed = self._authority.issue_cert(
            *(names or ("localhost", "127.0.0.1")), common_name=common_name, not_after=not_after
        )
        certificate, key = place.with_suffix(".crt"), place.with_suffix(".key")
        certificate.write_bytes(b"".join(blob.bytes() for blob in signed.cert_chain_pems))
        key.write_bytes(signed.private_key_pem.bytes())
        return {"certificate": str(certificate), "key": str(key)}

    def client(self, shows: dict[str, str] | None = None) -> ssl.SSLContext:
        """Give the context of a client that trusts this authority, and shows a certificate if it has one."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if shows is not None:
            context.load_cert_chain(shows["certificate"], shows["key"])
        return context

    def server(self, pair: dict[str, str]) -> ssl.SSLContext:
        """Give the context of a server with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair["certificate"], pair["key"])
        return context
