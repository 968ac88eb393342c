"""What a check has to know of a backend."""

from __future__ import annotations

import msgspec

from pcs_gateway.backends.config import HealthCheckConfig
from pcs_gateway.tls.config import BackendTlsConfig


class TargetTls(msgspec.Struct, frozen=True):
    """
    How an `https://` backend is spoken to.

    Attributes:
        config: As in its pool.
        authorities: Content of the file `config.ca`; empty without one.
    """

    config: BackendTlsConfig
    authorities: bytes = b""


class Target(msgspec.Struct, frozen=True):
    """
    A backend to be checked.

    Attributes:
        url: Base URL as configured.
        host: Host of that URL, a name or an IP literal without brackets.
        check: How its pool wants it checked.
        tls: For `https://`; None for `http://`.
    """

    url: str
    host: str
    port: int
    check: HealthCheckConfig
    tls: TargetTls | None = None
