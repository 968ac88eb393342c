"""
From the hosts in backends' URLs to addresses, by the control process alone: workers never ask DNS.

A host is resolved again when the lifetime of the last answer is over. A failed resolution keeps the last
addresses: a name server that is away must not take backends with it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
import msgspec
import structlog

from pcs_gateway.clock import Clock
from pcs_gateway.control.repeating import repeat
from pcs_gateway.errors import GatewayError

SHORTEST_LIFETIME = 1.0
"""Seconds that an answer is used at least: a TTL of 0 must not become a query without pause."""

LONGEST_LIFETIME = 300.0
"""Seconds that an answer is used at most, whatever its TTL."""

LIFETIME_OF_HOSTS = 5.0
"""Seconds after which the hosts file is read again."""

PAUSE_AFTER_FAILURE = 5.0
"""Seconds from a failed resolution to the next one."""

QUERY_TIMEOUT = 3.0
"""Seconds that one resolution may take over all its queries and servers."""

HOSTS_FILE = Path("/etc/hosts")

LOOPBACK = ("127.0.0.1", "::1")
"""What `localhost` means where the hosts file says nothing (RFC 6761 section 6.3)."""

_log = structlog.get_logger()


class UnresolvedError(GatewayError):
    """A host has no address that could be found; the text says why."""


class Resolution(msgspec.Struct, frozen=True):
    """
    The answer to one resolution.

    Attributes:
        addresses: IP literals, IPv4 first; at least one.
        lifetime: Seconds after which to ask again; None for never.
    """

    addresses: tuple[str, ...]
    lifetime: float | None


Lookup = Callable[[str], Awaitable[Resolution]]
"""Resolves one host. Raises UnresolvedError."""


def literal(host: str) -> Resolution | None:
    """Return the resolution of an IP literal; None when `host` is a name."""
    try:
        return Resolution((str(ipaddress.ip_address(host)),), lifetime=None)
    except ValueError:
        return None


def addresses_in_hosts(text: str, host: str) -> tuple[str, ...]:
    """Return what a hosts file (hosts(5)) says of a name, IPv4 first."""
    wanted = host.lower().rstrip(".")
    found: list[str] = []
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if wanted in [name.lower() for name in names] and literal(address) and address not in found:
            found.append(address)
    return tuple(sorted(found, key=lambda address: ":" in address))


def bounded_lifetime(ttl: float) -> float:
    """Return the lifetime of an answer with this TTL, in seconds."""
    return min(max(float(ttl), SHORTEST_LIFETIME), LONGEST_LIFETIME)


class NameLookup:
    """Resolves as the machine does: literals, the hosts file, then DNS with the machine's search list."""

    def __init__(
        self, hosts_file: Path = HOSTS_FILE, resolver: dns.asyncresolver.Resolver | None = None
    ) -> None:
        """Take another hosts file or configured resolver than the machine's, for tests."""
        self._hosts_file = hosts_file
        self._resolver = resolver

    async def __call__(self, host: str) -> Resolution:
        """Resolve one host. Raises UnresolvedError."""
        return literal(host) or self._from_hosts(host) or await self._from_dns(host)

    def _from_hosts(self, host: str) -> Resolution | None:
        """Look into the hosts file, which is small and local."""
        try:
            text = self._hosts_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        found = addresses_in_hosts(text, host)
        if not found and (host.lower() == "localhost" or host.lower().endswith(".localhost")):
            found = LOOPBACK
        return Resolution(found, LIFETIME_OF_HOSTS) if found else None

    async def _from_dns(self, host: str) -> Resolution:
        """Ask for both families at once; one that has none, or fails, leaves the other's answer."""
        resolver = self._dns_resolver()
        answers = await asyncio.gather(
            *(resolver.resolve(host, family, search=True) for family in ("A", "AAAA")), return_exceptions=True
        )
        good = [answer for answer in answers if isinstance(answer, dns.resolver.Answer)]
        addresses = tuple(str(record.address) for answer in good for record in answer)
        if not addresses:
            raise UnresolvedError(_why(host, [e for e in answers if isinstance(e, BaseException)]))
        ttl = min(answer.rrset.ttl for answer in good if answer.rrset)
        return Resolution(addresses, bounded_lifetime(ttl))

    def _dns_resolver(self) -> dns.asyncresolver.Resolver:
        """Return the given resolver, or the machine's as its resolv.conf says now."""
        if self._resolver is not None:
            return self._resolver
        try:
            resolver = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration as error:
            raise UnresolvedError(f"no DNS server is configured: {error}") from error
        resolver.lifetime = QUERY_TIMEOUT
        return resolver


def _why(host: str, errors: list[BaseException]) -> str:
    """Say in one line why a name has no address; errors that are none of DNS are raised."""
    for error in errors:
        if not isinstance(error, dns.exception.DNSException | OSError):
            raise error
    for error in errors:
        if isinstance(error, dns.resolver.NXDOMAIN):
            return f"{host} does not exist in DNS"
    for error in errors:
        if not isinstance(error, dns.resolver.NoAnswer):
            return f"DNS failed for {host}: {' '.join(str(error).split())}"
    return f"{host} has no address in DNS"


class Resolver:
    """Keeps the addresses of the hosts it follows; one task per name."""

    def __init__(self, lookup: Lookup, clock: Clock, changed: Callable[[str], None]) -> None:
        """Follow no host yet; `changed` is called with a host whose addresses are others than before."""
        self._lookup = lookup
        self._clock = clock
        self._changed = changed
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._failures: dict[str, str] = {}
        self._tried: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<Resolver of {len(self._tried)} hosts, {len(self._failures)} failing>"

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return the last known addresses; empty when there never were any."""
        return self._addresses.get(host, ())

    def failure(self, host: str) -> str:
        """Return why the last resolution failed; empty when it did not."""
        return self._failures.get(host, "")

    async def is_resolved(self, host: str) -> None:
        """Return when the first resolution of a followed host is over, however it went."""
        await self._tried[host].wait()

    def remember(self, host: str, addresses: tuple[str, ...]) -> None:
        """Start from what an earlier process knew, until the first answer."""
        self._addresses.setdefault(host, addresses)

    def follow(self, hosts: Iterable[str]) -> None:
        """Keep exactly these hosts resolved from now on."""
        wanted = set(hosts)
        for host in set(self._tried) - wanted:
            self._forget(host)
        for host in wanted - set(self._tried):
            self._tried[host] = asyncio.Event()
            known = literal(host)
            if known is not None:
                self._addresses[host] = known.addresses
                self._tried[host].set()
            else:
                keep = repeat(partial(self._resolve, host), self._clock, f"resolution of {host}")
                self._tasks[host] = asyncio.create_task(keep, name=f"resolution of {host}")

    async def close(self) -> None:
        """Stop resolving."""
        tasks = list(self._tasks.values())
        self.follow(())
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, host: str) -> None:
        """Stop following a host."""
        if task := self._tasks.pop(host, None):
            task.cancel()
        del self._tried[host]
        self._addresses.pop(host, None)
        self._failures.pop(host, None)

    async def _resolve(self, host: str) -> float:
        """Resolve one host once; return the seconds until the next time."""
        tried = self._tried[host]
        try:
            resolution = await self._lookup(host)
        except UnresolvedError as error:
            self._failed(host, str(error))
            return PAUSE_AFTER_FAILURE
        finally:
            tried.set()
        self._succeeded(host, resolution.addresses)
        return LONGEST_LIFETIME if resolution.lifetime is None else resolution.lifetime

    def _failed(self, host: str, why: str) -> None:
        """Note a failed resolution; log it when the last one did not fail the same way."""
        if self._failures.get(host) != why:
            _log.warning("resolution_failed", host=host, reason=why, kept=self.addresses(host))
            self._failures[host] = why
            self._changed(host)

    def _succeeded(self, host: str, addresses: tuple[str, ...]) -> None:
        """Take the answer; log it when it differs. The order of addresses means nothing: DNS rotates it."""
        failed_before = self._failures.pop(host, "")
        if sorted(addresses) != sorted(self.addresses(host)):
            _log.info("host_resolved", host=host, addresses=addresses, before=self.addresses(host))
            self._addresses[host] = addresses
        elif not failed_before:
            return
        self._changed(host)
