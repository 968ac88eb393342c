"""Addresses of clients, and in which networks they are."""

import pytest

from pcs_gateway.http.networks import Networks, read_address

LISTED = Networks(["10.0.0.0/8", "2001:db8::/32", "fe80::/10"])


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::5", "fe80::1%eth0"])
def test_addresses_inside(address: str) -> None:
    """In both forms of IPv4, with or without a zone."""
    assert address in LISTED


@pytest.mark.parametrize("address", ["11.1.2.3", "::ffff:11.1.2.3", "2001:db9::5", "", "here", "10.1.2"])
def test_addresses_outside(address: str) -> None:
    """What is no address is in no network; nothing is in an empty list."""
    assert address not in LISTED
    assert address not in Networks([])


def test_address_has_one_form() -> None:
    """However it is written."""
    assert read_address("192.0.2.1") == read_address("::ffff:192.0.2.1")
    assert read_address("fe80::1") == read_address("fe80::1%eth0")
    assert read_address("nowhere") is None
