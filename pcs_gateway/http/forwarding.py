"""
What the gateway tells a backend about the client and about itself.

`Via` (RFC 9110 section 7.6.3), `X-Forwarded-*` and `Forwarded` (RFC 7239), the request id and
`traceparent` (W3C Trace Context). What a peer says of its own clients is believed, and extended,
only when the peer's address is on the trust list; everybody else's word is replaced.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from pcs_gateway.http.networks import Networks
from pcs_gateway.http.request_fields import RequestFields

PSEUDONYM = b"pcs-gateway"
VIA = b"Via: 1.1 " + PSEUDONYM + b"\r\n"

_SAID = (b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Forwarded")
_PASSED_ON = (b"X-Forwarded-Port", b"X-Forwarded-Prefix", b"X-Real-IP")
"""Words about the client that the gateway never says itself: only those of a trusted peer are passed on."""

MOST_HOPS = 32
"""Of more proxies in a row only the nearest are looked at: each costs time, and a head has room for many."""

LONGEST_ADDRESS = 64
"""An address of IPv6 has 39 characters; what follows `%` in one is only bounded here."""


class Client:
    """
    The peer of one connection.

    Attributes:
        address: IP literal of the peer; empty when it has none.
        is_trusted: Its forwarding fields are believed.
        scheme: `http` or `https`, as spoken on this connection.
        subject_line: The field that tells who showed a certificate on it; empty where none is to be told.
    """

    __slots__ = ("address", "is_trusted", "scheme", "subject_line")

    def __init__(self, address: str, scheme: bytes, subject_line: bytes = b"", *, is_trusted: bool) -> None:
        self.address = address
        self.scheme = scheme
        self.subject_line = subject_line
        self.is_trusted = is_trusted


class Forwarding:
    """Writes the forwarding fields of requests, as configured."""

    __slots__ = ("_trusted", "_writes_rfc7239", "_writes_x_forwarded")

    def __init__(self, trusted_proxies: Iterable[str], style: str) -> None:
        self._trusted = Networks(trusted_proxies)
        self._writes_x_forwarded = style in ("x-forwarded", "both")
        self._writes_rfc7239 = style in ("rfc7239", "both")

    def is_trusted(self, address: str) -> bool:
        """Tell whether an IP literal is on the trust list; what is no IP literal is not."""
        return address in self._trusted

    def client(self, before: Client, address: str) -> Client:
        """Describe the peer of a connection, of which all but the address is known."""
        is_trusted = self.is_trusted(address)
        return Client(address, before.scheme, before.subject_line, is_trusted=is_trusted)

    def client_address(self, client: Client, fields: RequestFields) -> str:
        """
        Give the address of the client: the nearest one that is not on the trust list.

        Of a chain longer than `MOST_HOPS`, or one that says something else than addresses, it is the last one
        looked at.
        """
        if not client.is_trusted:
            return client.address
        nearest = client.address
        chain = fields.values.get(b"x-forwarded-for", b"").rsplit(b",", MOST_HOPS)[-MOST_HOPS:]
        for hop in reversed(chain):
            address = hop.decode("latin-1").strip()
            if len(address) > LONGEST_ADDRESS:
                return nearest
            try:
                ipaddress.ip_address(address)
            except ValueError:
                return nearest
            nearest = address
            if not self.is_trusted(address):
                return nearest
        return nearest

    def write(self, client: Client, fields: RequestFields, host: bytes) -> bytes:
        """Give the forwarding field lines of a request; `host` is what the client asked for."""
        said = fields.values if fields.has_forwarding else {}
        before = said if client.is_trusted else {}
        via = said.get(b"via")
        lines = [b"Via: %b, 1.1 %b\r\n" % (via, PSEUDONYM) if via else VIA]
        if self._writes_x_forwarded:
            lines += self._write_x_forwarded(client, before, host)
        if self._writes_rfc7239:
            lines.append(self._write_rfc7239(client, before, host))
        if before:
            names = _PASSED_ON if self._writes_x_forwarded or self._writes_rfc7239 else _SAID + _PASSED_ON
            lines += [
                b"%b: %b\r\n" % (name, before[name.lower()]) for name in names if name.lower() in before
            ]
        lines.append(client.subject_line)
        return b"".join(lines)

    def _write_x_forwarded(self, client: Client, before: dict[bytes, bytes], host: bytes) -> list[bytes]:
        address = client.address.encode("latin-1") or b"unknown"
        earlier = before.get(b"x-forwarded-for")
        return [
            b"X-Forwarded-For: %b\r\n" % (b"%b, %b" % (earlier, address) if earlier else address),
            b"X-Forwarded-Proto: %b\r\n" % before.get(b"x-forwarded-proto", client.scheme),
            b"X-Forwarded-Host: %b\r\n" % before.get(b"x-forwarded-host", host) if host else b"",
        ]

    def _write_rfc7239(self, client: Client, before: dict[bytes, bytes], host: bytes) -> bytes:
        address = client.address.encode("latin-1")
        node = b'"[%b]"' % address if b":" in address else address or b"unknown"
        element = b"for=%b;proto=%b%b" % (node, client.scheme, b';host="%b"' % host if host else b"")
        earlier = before.get(b"forwarded")
        return b"Forwarded: %b\r\n" % (b"%b, %b" % (earlier, element) if earlier else element)


class Identities:
    """
    Makes request ids and trace contexts from a source of random bytes, drawn in large blocks.

    Twenty-four random octets make one identity: sixteen name the trace (and the request), eight the span.
    """

    __slots__ = ("_random_bytes", "_stock")

    _BLOCK = 256

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._stock: list[bytes] = []

    def draw(self) -> bytes:
        """Give 48 fresh hexadecimal digits."""
        if not self._stock:
            digits = self._random_bytes(24 * self._BLOCK).hex().encode("ascii")
            self._stock = [digits[at : at + 48] for at in range(0, len(digits), 48)]
        return self._stock.pop()
