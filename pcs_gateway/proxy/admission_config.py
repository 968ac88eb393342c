"""The section `rate_limits`, of the whole gateway and of one route."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from pcs_gateway.section import Integer, Network, Section, matching
from pcs_gateway.units import Rate

KEY_ALLOWED = "client_address or header:NAME"
HEADER = "header:"

MOST_IN_ONE_LIST = 16

_KEY = re.compile(r"client_address|header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)

RateKey = Annotated[str, matching(_KEY, KEY_ALLOWED)]
"""What is counted apart."""


class RateLimitConfig(Section):
    """How many requests one client may send; what is beyond is answered 429 with Retry-After."""

    rate: Annotated[Rate, Field(gt=0, le=10_000)]
    """Requests in the long run."""

    burst: Annotated[Integer, Field(ge=1, le=1_000_000)] | None = None
    """Requests at once, after a pause. Default: what the rate allows in one second, at least 1."""

    key: RateKey = "client_address"
    """What is counted apart: client_address (of IPv6 the first 64 bits), or header:NAME, where a request
    without that field counts for its client's address. A request has that field once, else it is refused
    (repeated_field). A client can send any value, so a limit by header holds back nobody who is not known by
    it: put one by client_address beside it."""

    exempt: tuple[Network, ...] = ()
    """Clients that are not counted."""

    @property
    def size(self) -> int:
        """Requests at once."""
        return self.burst if self.burst is not None else max(int(self.rate), 1)

    @property
    def header(self) -> str:
        """The field that is counted by, lower-cased; empty for the client's address."""
        return self.key.removeprefix(HEADER).lower() if self.key.startswith(HEADER) else ""


RateLimits = Annotated[tuple[RateLimitConfig, ...], Field(max_length=MOST_IN_ONE_LIST)]
"""Limits that all hold."""
