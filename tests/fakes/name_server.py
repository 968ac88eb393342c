"""A real DNS server over UDP whose zone a test can change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """
    Answers from `zone`; anything else does not exist.

    Attributes:
        zone: By name without final dot: TTL and addresses.
        silent: Answer nothing.
        queries: What was asked, as (name, type).
        port: On 127.0.0.1.
    """

    def __init__(self) -> None:
        """Know no name."""
        self.zone: dict[str, tuple[int, list[str]]] = {}
        self.silent = False
        self.queries: list[tuple[str, str]] = []
        self.port = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.queries.append((name, dns.rdatatype.to_text(question.rdtype)))
        if self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        if name in self.zone:
            self._fill(answer, name, question.rdtype)
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)

    def _fill(self, answer: dns.message.Message, name: str, kind: dns.rdatatype.RdataType) -> None:
        """Add the addresses of the family that was asked for."""
        ttl, addresses = self.zone[name]
        wanted = [a for a in addresses if (":" in a) == (kind == dns.rdatatype.AAAA)]
        if wanted:
            answer.answer.append(dns.rrset.from_text_list(f"{name}.", ttl, "IN", kind, wanted))

    def resolver(self, timeout: float = 1.0) -> dns.asyncresolver.Resolver:
        """Return a resolver that asks this server alone."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.port
        resolver.lifetime = timeout
        return resolver


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """A running server."""
    server = NameServer()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
