"""What a check has to know of a backend."""

from __future__ import annotations

import msgspec

from pcs_gateway.backends.config import HealthCheckConfig


class Target(msgspec.Struct, frozen=True):
    """
    A backend to be checked.

    Attributes:
        url: Base URL as configured.
        host: Host of that URL, a name or an IP literal without brackets.
        check: How its pool wants it checked.
    """

    url: str
    host: str
    port: int
    check: HealthCheckConfig
