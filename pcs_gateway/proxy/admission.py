"""
Who may send how much: the rate limits of a route, asked once for each request before anything else is done.

A request passes when all its limits let it, and only then is it counted, by all of them. What is refused
counts for nothing, so a client that keeps to the rate again is served again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcs_gateway.http.lookup import field_value
from pcs_gateway.http.memo import Memo
from pcs_gateway.http.networks import Networks, read_address
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.processes.client_cells import Cells

if TYPE_CHECKING:
    from pcs_gateway.processes.rate_table import BucketState, RateTable, SharedRate
    from pcs_gateway.proxy.admission_config import RateLimitConfig
    from pcs_gateway.proxy.config import RouteConfig
    from pcs_gateway.proxy.exchange import Exchange

REMEMBERED_KEYS = 4096
LONGEST_KEY = 256

EVERYWHERE = "rate_limits[{}]"
ON_ROUTE = "routes.{}.rate_limits[{}]"
"""How limits are called, by the name of the route and their place in the list."""

_IPV6_PREFIX_BYTES = 8
"""A client with IPv6 has at least a /64 to choose addresses from: it is one client."""

_NOT_COUNTED: tuple[()] = ()


class RateLimited(RequestRefused):
    """A rate limit forbids the request now; `retry_after` is when it would not."""

    def __init__(self, wait: float) -> None:
        super().__init__(Refusal.RATE_LIMITED)
        self.retry_after = max(math.ceil(wait), 1)


def address_key(address: str) -> bytes:
    """Give what is one client: an IPv4 address, or the first 64 bits of an IPv6 address."""
    parsed = read_address(address)
    if parsed is None:
        return b"?" + address.encode("utf-8")
    if parsed.version == 4:
        return b"4" + parsed.packed
    return b"6" + parsed.packed[:_IPV6_PREFIX_BYTES]


class RateLimit:
    """
    One limit as it stands in the configuration, for one worker.

    Attributes:
        header: The field whose values are counted, lower-cased; empty for the client's address.
        shared: What all workers count together.
    """

    __slots__ = ("_by_address", "_by_value", "_exempt", "header", "shared")

    def __init__(self, config: RateLimitConfig, shared: SharedRate) -> None:
        self.shared = shared
        self.header = config.header.encode("latin-1")
        self._exempt = Networks(config.exempt)
        self._by_address: Memo[str, Cells | tuple[()]] = Memo(
            self._cells_of_address, REMEMBERED_KEYS, _is_short
        )
        self._by_value: Memo[bytes, Cells] = Memo(self._cells_of_value, REMEMBERED_KEYS, _is_short)

    def cells(self, exchange: Exchange) -> Cells | tuple[()]:
        """Give the cells that a request counts in; none for a client that is exempt."""
        by_address = self._by_address[exchange.client]
        if by_address and self.header:
            value = field_value(exchange.fields.section, self.header)
            if value:
                return self._by_value[value]
        return by_address

    def _cells_of_address(self, address: str) -> Cells | tuple[()]:
        return _NOT_COUNTED if address in self._exempt else self.shared.cells(b"a" + address_key(address))

    def _cells_of_value(self, value: bytes) -> Cells:
        return self.shared.cells(b"v" + value)


class Admission:
    """The limits of one route: those of the whole gateway and its own."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._limits = tuple(limits)

    @property
    def field_names(self) -> list[bytes]:
        """Lower-cased names of the fields whose values are counted."""
        return [limit.header for limit in self._limits if limit.header]

    def admit(self, exchange: Exchange) -> None:
        """
        Count a request that may pass.

        Raises:
            RateLimited: It may not.
        """
        now = exchange.received
        found: list[tuple[SharedRate, BucketState]] = []
        longest = 0.0
        for limit in self._limits:
            cells = limit.cells(exchange)
            if not cells:
                continue
            shared = limit.shared
            state = shared.look(cells, now)
            if state[0] > 0:
                longest = max(shared.wait(state), longest)
            found.append((shared, state))
        if longest:
            raise RateLimited(longest)
        for shared, state in found:
            shared.take(state)


def named_limits(
    everywhere: Sequence[RateLimitConfig], routes: Sequence[RouteConfig]
) -> list[tuple[str, RateLimitConfig]]:
    """Give every limit with its name, in the order that numbers them: alike in every process."""
    named = [(EVERYWHERE.format(place), limit) for place, limit in enumerate(everywhere)]
    for route in routes:
        named += [
            (ON_ROUTE.format(route.name, place), limit) for place, limit in enumerate(route.rate_limits)
        ]
    return named


def key_names(everywhere: Sequence[RateLimitConfig], routes: Sequence[RouteConfig]) -> frozenset[bytes]:
    """Give the lower-cased names of the fields by which limits tell clients apart."""
    headers = [limit.header for _, limit in named_limits(everywhere, routes)]
    return frozenset([header.lower().encode("latin-1") for header in headers if header])


def admissions(
    table: RateTable, everywhere: Sequence[RateLimitConfig], routes: Sequence[RouteConfig]
) -> dict[str, Admission]:
    """Give the admission of each route that has a limit, by the route's name."""
    named = named_limits(everywhere, routes)
    made = [
        RateLimit(config, table.limit(name, config.rate, config.size, number, len(named)))
        for number, (name, config) in enumerate(named)
    ]
    common, own = made[: len(everywhere)], iter(made[len(everywhere) :])
    result = {}
    for route in routes:
        limits = [*common, *(next(own) for _ in route.rate_limits)]
        if limits:
            result[route.name] = Admission(limits)
    return result


def _is_short(key: str | bytes) -> bool:
    return len(key) <= LONGEST_KEY
