"""The `tls` sections: of a listener, and of a pool whose backends have `https://` URLs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pcs_gateway.section import Boolean, FieldName, Section, matching
from pcs_gateway.tls.names import SERVER_NAME, SERVER_NAME_ALLOWED
from pcs_gateway.units import Duration

Version = Literal["1.2", "1.3"]
"""A version of TLS, in quotes: YAML takes 1.2 for a number."""
FILE_ALLOWED = "the path of a file"


def _file(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(FILE_ALLOWED)
    return str(value)


FilePath = Annotated[str, BeforeValidator(_file)]
"""Path of a file; relative to the working directory."""
ServerName = Annotated[str, matching(SERVER_NAME, SERVER_NAME_ALLOWED)]
"""A host name as certificates have it, or an IP literal without brackets."""


class CertificateConfig(Section):
    """A certificate and its key."""

    certificate: FilePath
    """File with the certificate chain in PEM; read again when it changes."""

    key: FilePath
    """File with the private key in PEM, without passphrase; read again when it changes."""


class ClientCertificatesConfig(Section):
    """Certificates that clients show."""

    ca: FilePath
    """File with the certificates in PEM that must have signed them; read again when it changes."""

    mode: Literal["optional", "required"] = "required"
    """required: no connection without a valid one; optional: one that is shown must be valid."""

    subject_header: FieldName | None = None
    """Field that tells backends the verified subject, as RFC 4514 writes it (`CN=alice,O=Example`). What
    clients send under this name is dropped, on every listener, so it must have no other meaning: not
    Authorization or X-Real-IP, nor the `forwarding.request_id_header`. Absent: backends are not told."""


class TlsConfig(CertificateConfig):
    """What a listener needs to speak TLS. A change applies to new connections; open ones stay."""

    certificates: tuple[CertificateConfig, ...] = ()
    """Further ones, chosen by the server name (SNI) that a client asks for; `*.name` takes one label. Who
    asks for another name, or for none, gets the one above."""

    minimum_version: Version = "1.2"
    """Oldest version spoken: "1.2" or "1.3"."""

    handshake_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """From the accept to the end of the handshake; then the connection is closed."""

    client_certificates: ClientCertificatesConfig | None = None
    """Absent: clients are not asked for any."""

    def pairs(self) -> tuple[CertificateConfig, ...]:
        """Return every certificate with its key, the default one first."""
        return (self, *self.certificates)

    def files(self) -> Iterator[str]:
        """Yield the path of every file that is needed."""
        for pair in self.pairs():
            yield pair.certificate
            yield pair.key
        if self.client_certificates is not None:
            yield self.client_certificates.ca


def subject_names(sections: Iterable[TlsConfig | None]) -> frozenset[bytes]:
    """Return the names, lower-cased, under which backends are told who showed a certificate."""
    clients = [one.client_certificates for one in sections if one is not None]
    names = [one.subject_header.lower() for one in clients if one is not None and one.subject_header]
    return frozenset(form.encode("ascii") for name in names for form in (name, name.replace("_", "-")))


class BackendTlsConfig(Section):
    """How `https://` backends are spoken to, by traffic and by health checks."""

    verify: Boolean = True
    """Whether a backend must show a valid certificate for its name. false: anybody can pose as a backend;
    this is said at start-up."""

    ca: FilePath | None = None
    """File with the certificates in PEM that must have signed it; read again when it changes. Default: the
    certificate authorities of the system."""

    server_name: ServerName | None = None
    """The name asked for (SNI) and looked for in the certificate. Default: the host of the backend's URL."""

    minimum_version: Version = "1.2"
    """Oldest version spoken: "1.2" or "1.3"."""

    def files(self) -> Iterator[str]:
        """Yield the path of every file that is needed."""
        if self.ca is not None:
            yield self.ca
