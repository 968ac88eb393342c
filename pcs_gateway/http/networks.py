"""Addresses of clients, and the lists of networks that the configuration has for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_address(text: str) -> Address | None:
    """Read an IP literal, without its zone; an IPv4 address in an IPv6 one is the former. None for others."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


class Networks:
    """A list of networks, asked for IP literals; what is none is in no network."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in networks]

    def __repr__(self) -> str:
        return f"<Networks {', '.join(map(str, self._networks)) or 'none'}>"

    def __contains__(self, text: str) -> bool:
        if not self._networks:
            return False
        address = read_address(text)
        return address is not None and any(address in network for network in self._networks)
