"""
Contexts: what a side of TLS may and must do, made from the configuration and the bytes of its files.

A context is made anew only when what it is made from has changed: with it go the keys of session tickets,
so a client certificate that is no longer accepted cannot come back by a resumed session.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from pcs_gateway.tls.certificates import inspect, load_authorities, load_pair
from pcs_gateway.tls.config import BackendTlsConfig, CertificateConfig, TlsConfig
from pcs_gateway.tls.names import NameTable

PROTOCOL = "http/1.1"
"""What ALPN offers and takes (RFC 7301)."""

VERSIONS: Mapping[str, ssl.TLSVersion] = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Files = Mapping[str, bytes]
"""The bytes of each file that the configuration names, by its path."""

NO_FILES: Files = {}

ChooseContext = Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]


def listener_context(config: TlsConfig, files: Files) -> ssl.SSLContext:
    """
    Make the context of a listener, which turns to that of another certificate when SNI asks for it.

    Raises:
        UnusableError: A file's content cannot be used.
    """
    contexts = [_certificate_context(config, pair, files) for pair in config.pairs()]
    default, *others = contexts
    if others:
        names = [
            (name, context)
            for pair, context in zip(config.pairs(), contexts, strict=True)
            for name in inspect(files[pair.certificate], files[pair.key]).names
        ]
        default.sni_callback = _choice(NameTable(names, default))
    return default


def _choice(table: NameTable[ssl.SSLContext]) -> ChooseContext:
    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = table.find(name)

    return choose


def _certificate_context(config: TlsConfig, pair: CertificateConfig, files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[config.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([PROTOCOL])
    load_pair(context, files[pair.certificate], files[pair.key])
    clients = config.client_certificates
    if clients is not None:
        load_authorities(context, files[clients.ca])
        context.verify_mode = ssl.CERT_REQUIRED if clients.mode == "required" else ssl.CERT_OPTIONAL
    return context


def backend_context(config: BackendTlsConfig, files: Files) -> ssl.SSLContext:
    """
    Make the context for connections to backends.

    Raises:
        UnusableError: A file's content cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = VERSIONS[config.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([PROTOCOL])
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca is not None:
        load_authorities(context, files[config.ca])
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context
