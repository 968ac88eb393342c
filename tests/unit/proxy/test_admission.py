"""Who is one client, and which limits a route has."""

from __future__ import annotations

import pytest

from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.processes.rate_table import RateTable
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.proxy.admission import (
    RateLimited,
    address_key,
    admissions,
    named_limits,
)

POOL = {"pcs": {"backends": [{"url": "http://127.0.0.1:1"}]}}


def configured(**sections: object) -> GatewayConfig:
    """Give a configuration with one pool."""
    return GatewayConfig.model_validate({"pools": POOL, **sections})


class TestAddresses:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff"),
            ("fe80::1%eth0", "fe80::2%eth1"),
        ],
    )
    def test_are_one_client(self, one: str, other: str) -> None:
        """An IPv4 address in both of its forms, and a whole /64 of IPv6."""
        assert address_key(one) == address_key(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8:0:1::1"),
            ("192.0.2.1", "c000:201::"),
            ("", "192.0.2.1"),
            ("unknown", "other"),
        ],
    )
    def test_are_two_clients(self, one: str, other: str) -> None:
        """Others."""
        assert address_key(one) != address_key(other)


class TestLimitsOfARoute:
    def test_names_tell_the_place_in_the_file(self) -> None:
        """Those of the whole gateway first, then route by route."""
        config = configured(
            rate_limits=[{"rate": "10/s"}, {"rate": "100/m"}],
            routes=[{"name": "a", "rate_limits": [{"rate": "1/s"}]}, {"name": "b"}],
        )

        names = [name for name, _ in named_limits(config.rate_limits, config.routes)]

        assert ["rate_limits[0]", "rate_limits[1]", "routes.a.rate_limits[0]"] == names

    def test_routes_without_limits_have_no_admission(self) -> None:
        """So their requests are not even asked about."""
        config = configured(routes=[{"name": "a", "rate_limits": [{"rate": "1/s"}]}, {"name": "b"}])
        board = Scoreboard.create()
        board.occupy(1, Role.WORKER, 1, 1)

        assert ["a"] == list(admissions(RateTable(board, 1), config.rate_limits, config.routes))

    @pytest.mark.parametrize(("rate", "size"), [("100/s", 100), ("90/m", 1), ("1/h", 1), ("2.5/s", 2)])
    def test_burst_is_a_second_s_worth(self, rate: str, size: int) -> None:
        """Unless it is given."""
        (limit,) = configured(rate_limits=[{"rate": rate}]).rate_limits

        assert size == limit.size


@pytest.mark.parametrize(("wait", "seconds"), [(0.001, 1), (1.0, 1), (1.2, 2), (59.1, 60)])
def test_clients_are_told_whole_seconds(wait: float, seconds: int) -> None:
    """Never less than they have to wait."""
    assert seconds == RateLimited(wait).retry_after
