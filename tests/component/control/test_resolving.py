"""Hosts and their addresses, from a real DNS server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pcs_gateway.control.resolving import (
    LIFETIME_OF_HOSTS,
    PAUSE_AFTER_FAILURE,
    NameLookup,
    Resolution,
    Resolver,
    UnresolvedError,
    addresses_in_hosts,
    bounded_lifetime,
)
from tests.fakes.clock import FakeClock
from tests.fakes.name_server import NameServer, name_server
from tests.fakes.waiting import until

HOSTS = """
127.0.0.1 localhost
# 10.0.0.9 app.internal
10.0.0.1  app.internal app  # the first
fe80::1%eth0 ip6-link
::5       app.internal
10.0.0.2  APP.internal
nonsense  app.internal
"""


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """A DNS server that knows no name."""
    async with name_server() as server:
        yield server


@pytest.fixture
def lookup(server: NameServer, tmp_path: Path) -> NameLookup:
    """A lookup with that server and a hosts file."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.5 from-hosts.internal\n")
    return NameLookup(hosts, server.resolver(timeout=0.3))


class TestHostsFile:
    @pytest.mark.parametrize(
        ("host", "addresses"),
        [
            ("app.internal", ("10.0.0.1", "10.0.0.2", "::5")),
            ("APP.internal.", ("10.0.0.1", "10.0.0.2", "::5")),
            ("app", ("10.0.0.1",)),
            ("internal", ()),
        ],
    )
    def test_names_are_found_without_case_and_comments(self, host: str, addresses: tuple[str, ...]) -> None:
        """Every line that names the host counts, IPv4 first; what is no address is passed over."""
        assert addresses_in_hosts(HOSTS, host) == addresses


@pytest.mark.parametrize(("ttl", "lifetime"), [(0, 1.0), (7, 7.0), (86400, 300.0)])
def test_lifetime_is_the_ttl_within_bounds(ttl: int, lifetime: float) -> None:
    """A TTL of zero does not become a query without pause, one of a day not an address for a day."""
    assert bounded_lifetime(ttl) == lifetime


class TestNameLookup:
    @pytest.mark.parametrize(("host", "address"), [("10.1.2.3", "10.1.2.3"), ("2001:DB8::1", "2001:db8::1")])
    async def test_literal_is_its_own_address_for_ever(
        self, lookup: NameLookup, server: NameServer, host: str, address: str
    ) -> None:
        """DNS is not asked about IP literals."""
        assert await lookup(host) == Resolution((address,), None)
        assert server.queries == []

    async def test_hosts_file_comes_before_dns(self, lookup: NameLookup, server: NameServer) -> None:
        """A name in the hosts file is not asked for."""
        assert await lookup("from-hosts.internal") == Resolution(("127.0.0.5",), LIFETIME_OF_HOSTS)
        assert server.queries == []

    async def test_localhost_is_loopback_without_being_asked_for(self, lookup: NameLookup) -> None:
        """RFC 6761 section 6.3: such names never go to DNS."""
        assert (await lookup("localhost")).addresses == ("127.0.0.1", "::1")
        assert (await lookup("app.localhost")).addresses == ("127.0.0.1", "::1")

    async def test_both_families_are_asked_for(self, lookup: NameLookup, server: NameServer) -> None:
        """IPv4 stands first, and the shortest TTL counts."""
        server.zone["app.internal"] = (60, ["10.0.0.1", "10.0.0.2", "2001:db8::1"])

        resolution = await lookup("app.internal")

        assert sorted(resolution.addresses[:2]) == ["10.0.0.1", "10.0.0.2"]
        assert (resolution.addresses[2:], resolution.lifetime) == (("2001:db8::1",), 60.0)
        assert sorted(server.queries) == [("app.internal", "A"), ("app.internal", "AAAA")]

    async def test_one_family_is_enough(self, lookup: NameLookup, server: NameServer) -> None:
        """A name without IPv6 address is no failure."""
        server.zone["app.internal"] = (60, ["10.0.0.1"])

        assert (await lookup("app.internal")).addresses == ("10.0.0.1",)

    async def test_failures_say_what_happened(self, lookup: NameLookup, server: NameServer) -> None:
        """A name that does not exist, one without addresses, and a silent server are told apart."""
        server.zone["empty.internal"] = (60, [])
        with pytest.raises(UnresolvedError, match=r"^nope\.internal does not exist in DNS$"):
            await lookup("nope.internal")
        with pytest.raises(UnresolvedError, match=r"^empty\.internal has no address in DNS$"):
            await lookup("empty.internal")

        server.silent = True
        with pytest.raises(UnresolvedError, match=r"^DNS failed for app\.internal: .*timed out"):
            await lookup("app.internal")


class TestResolver:
    async def test_asks_again_when_the_ttl_is_over(self, lookup: NameLookup, server: NameServer) -> None:
        """A moved host is found at its new address, and that is told."""
        clock = FakeClock()
        changes: list[str] = []
        resolver = Resolver(lookup, clock, changes.append)
        server.zone["app.internal"] = (30, ["10.0.0.1"])
        resolver.follow(["app.internal"])
        await resolver.is_resolved("app.internal")
        await until(lambda: clock.sleepers == 1)
        assert resolver.addresses("app.internal") == ("10.0.0.1",)

        server.zone["app.internal"] = (30, ["10.0.0.2"])
        clock.advance(29.9)
        assert clock.sleepers == 1
        clock.advance(0.2)
        await until(lambda: resolver.addresses("app.internal") == ("10.0.0.2",))
        await resolver.close()

        assert changes == ["app.internal", "app.internal"]

    async def test_failed_resolution_keeps_the_last_addresses(
        self, lookup: NameLookup, server: NameServer
    ) -> None:
        """A name server that is away takes no backend with it, and is asked again soon."""
        clock = FakeClock()
        changes: list[str] = []
        resolver = Resolver(lookup, clock, changes.append)
        server.zone["app.internal"] = (1, ["10.0.0.1"])
        resolver.follow(["app.internal"])
        await until(lambda: clock.sleepers == 1)

        server.silent = True
        clock.advance(1.0)
        await until(lambda: bool(resolver.failure("app.internal")))
        assert resolver.addresses("app.internal") == ("10.0.0.1",)
        await until(lambda: clock.sleepers == 1)

        server.silent = False
        clock.advance(PAUSE_AFTER_FAILURE)
        await until(lambda: not resolver.failure("app.internal"))
        await resolver.close()

        assert len(changes) == 3

    async def test_order_of_the_answer_is_no_change(self, lookup: NameLookup, server: NameServer) -> None:
        """DNS servers rotate their answers; the same addresses are not told again."""
        clock = FakeClock()
        changes: list[str] = []
        resolver = Resolver(lookup, clock, changes.append)
        server.zone["app.internal"] = (1, ["10.0.0.1", "10.0.0.2"])
        resolver.follow(["app.internal"])
        await until(lambda: clock.sleepers == 1)
        server.zone["app.internal"] = (1, ["10.0.0.2", "10.0.0.1"])
        clock.advance(1.0)
        await until(lambda: len(server.queries) == 4 and clock.sleepers == 1)
        await resolver.close()

        assert changes == ["app.internal"]

    async def test_first_attempt_is_over_even_if_it_failed(self, lookup: NameLookup) -> None:
        """Who waits for the first resolution does not wait for a good one."""
        resolver = Resolver(lookup, FakeClock(), lambda _: None)
        resolver.follow(["nope.internal"])

        await resolver.is_resolved("nope.internal")
        await resolver.close()

        assert resolver.addresses("nope.internal") == ()

    async def test_literal_is_there_at_once(self, lookup: NameLookup) -> None:
        """A literal needs no task."""
        resolver = Resolver(lookup, FakeClock(), lambda _: None)
        resolver.follow(["10.0.0.1"])

        assert resolver.addresses("10.0.0.1") == ("10.0.0.1",)
        await resolver.is_resolved("10.0.0.1")
        await resolver.close()

    async def test_remembered_addresses_hold_until_the_first_answer(self, lookup: NameLookup) -> None:
        """What an earlier process knew is used while DNS cannot be asked."""
        resolver = Resolver(lookup, FakeClock(), lambda _: None)
        resolver.remember("nope.internal", ("10.0.0.7",))
        resolver.follow(["nope.internal"])
        await resolver.is_resolved("nope.internal")

        assert resolver.addresses("nope.internal") == ("10.0.0.7",)
        await resolver.close()

    async def test_host_that_nobody_needs_is_forgotten(self, lookup: NameLookup, server: NameServer) -> None:
        """A host that left the configuration is not asked for any more, even while a query is under way."""
        server.silent = True
        resolver = Resolver(lookup, FakeClock(), lambda _: None)
        resolver.follow(["app.internal"])
        await until(lambda: bool(server.queries))
        resolver.follow([])

        await until(lambda: not [t for t in asyncio.all_tasks() if "resolution" in t.get_name()])
        assert repr(resolver) == "<Resolver of 0 hosts, 0 failing>"
