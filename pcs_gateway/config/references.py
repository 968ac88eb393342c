"""
What no section can see alone: names that point nowhere, names given twice or taken, sums over all pools.

Works on plain data, as a file or a dump holds it, and passes over whatever has the wrong shape: that
is reported where it stands, and must not hide what is wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from pcs_gateway.backends.config import MOST_BACKENDS, host_port, split_backend_url
from pcs_gateway.balancing.registry import ENTRY_POINT_GROUP, STRATEGIES
from pcs_gateway.http.request_kinds import has_meaning, is_double, may_tell_clients_apart
from pcs_gateway.processes.client_cells import MOST_RATE_LIMITS
from pcs_gateway.proxy.config import ForwardingConfig

Path = tuple[str | int, ...]
"""The keys and positions that lead to a value."""


MEANT = "a field with a meaning of its own"


@dataclass(frozen=True, slots=True)
class Reference:
    """
    One reference that does not hold.

    Attributes:
        path: Where it stands.
        message: What is wrong.
        allowed: What may stand there; empty when the message says it.
    """

    path: Path
    message: str
    allowed: str = ""


def dangling(document: Mapping[str, Any]) -> list[Reference]:
    """Return every reference of the configuration that does not hold."""
    return [reference for check in CHECKS for reference in check(document)]


def suggestion(word: str, known: list[str]) -> str:
    """Return a question after the known word nearest to `word`, in brackets; empty when none is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` when it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> list[Any]:
    """Return the items of `value` when it is a list, else none."""
    return list(value) if isinstance(value, list | tuple) else []


def _listeners(document: Mapping[str, Any]) -> Iterator[Reference]:
    listeners = [mapping(one) for one in sequence(document.get("listen"))]
    addresses = [one.get("address") for one in listeners]
    yield from _twice([("listen", index, "address") for index in range(len(listeners))], _fixed(addresses))
    admin = mapping(document.get("admin")).get("address", "127.0.0.1:9901")
    for index, address in enumerate(addresses):
        if _clash(address, admin):
            yield Reference(("listen", index, "address"), "already the address of admin")


def _clash(one: Any, other: Any) -> bool:
    """Return whether two addresses cannot be open at the same time."""
    if None in _fixed([one, other]):
        return False
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    return port == other_port and (host == other_host or "0.0.0.0" in {host, other_host})  # noqa: S104 - compared


def _fixed(addresses: list[Any]) -> list[Any]:
    """Return the addresses, with None for those that the kernel chooses."""
    return [None if not isinstance(one, str) or one.endswith(":0") else one for one in addresses]


def _own_fields(document: Mapping[str, Any]) -> Iterator[Reference]:
    """Report fields that the gateway is to set or drop itself, and that mean something else too."""
    place: Path = ("forwarding", "request_id_header")
    request_id = _request_id_header(document)
    if has_meaning(request_id):
        yield Reference(place, MEANT, "a field for the request id alone, such as X-Request-ID")
    for index, listener in enumerate(sequence(document.get("listen"))):
        clients = mapping(mapping(mapping(listener).get("tls")).get("client_certificates"))
        subject = _name(clients.get("subject_header"))
        is_taken = bool(subject) and is_double(subject, request_id)
        if is_taken or has_meaning(subject):
            message = f"already the field of {path_text(place)}" if is_taken else MEANT
            allowed = "a field that has no meaning of its own, such as X-Client-Subject"
            yield Reference(
                ("listen", index, "tls", "client_certificates", "subject_header"), message, allowed
            )


def _request_id_header(document: Mapping[str, Any]) -> bytes:
    default = ForwardingConfig().request_id_header
    return _name(mapping(document.get("forwarding")).get("request_id_header", default))


def _name(value: Any) -> bytes:
    """Return the name of a field; empty when it is none."""
    return value.encode("ascii", "replace") if isinstance(value, str) else b""


def _backends(document: Mapping[str, Any]) -> Iterator[Reference]:
    count = 0
    for pool, section in mapping(document.get("pools")).items():
        backends = [mapping(one) for one in sequence(mapping(section).get("backends"))]
        count += len(backends)
        places = [("pools", pool, "backends", index) for index in range(len(backends))]
        urls = [_endpoint(one.get("url")) for one in backends]
        yield from _twice([(*place, "url") for place in places], urls)
        names = [
            None if url is not None and url in urls[:index] else one.get("name") or url
            for index, (one, url) in enumerate(zip(backends, urls, strict=True))
        ]
        yield from _twice([(*place, "name") for place in places], names)
    if count > MOST_BACKENDS:
        yield Reference(("pools",), f"{count} backends in all pools", f"at most {MOST_BACKENDS}")


def _endpoint(url: Any) -> str | None:
    try:
        _, host, port = split_backend_url(url)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return host_port(host, port)


def _strategies(document: Mapping[str, Any]) -> Iterator[Reference]:
    brought: list[str] | None = None
    for pool, section in mapping(document.get("pools")).items():
        strategy = mapping(section).get("strategy")
        if not isinstance(strategy, str) or strategy in STRATEGIES:
            continue
        brought = (
            brought
            if brought is not None
            else [entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)]
        )
        if strategy not in brought:
            known = [*STRATEGIES, *brought]
            allowed = f"{', '.join(known)}, or an entry point of {ENTRY_POINT_GROUP}"
            yield Reference(("pools", pool, "strategy"), _unknown("strategy", strategy, known), allowed)


def _routes(document: Mapping[str, Any]) -> Iterator[Reference]:
    pools = document.get("pools")
    routes = [mapping(one) for one in sequence(document.get("routes"))]
    yield from _twice(
        [("routes", index, "name") for index in range(len(routes))], [one.get("name") for one in routes]
    )
    if not isinstance(pools, Mapping):
        return
    known = [str(name) for name in pools]
    if not routes and len(known) > 1:
        yield Reference(("routes",), "there are several pools and no routes", "at least one route")
    for index, route in enumerate(routes):
        pool = route.get("pool")
        if isinstance(pool, str) and pool not in known:
            yield Reference(("routes", index, "pool"), _unknown("pool", pool, known), ", ".join(known))
        if pool is None and route.get("respond") is None and len(known) > 1:
            yield Reference(("routes", index, "pool"), "missing", f"a pool ({', '.join(known)}), or respond")


def _rate_limits(document: Mapping[str, Any]) -> Iterator[Reference]:
    sections = [document, *map(mapping, sequence(document.get("routes")))]
    count = sum(len(sequence(one.get("rate_limits"))) for one in sections)
    if count > MOST_RATE_LIMITS:
        found = f"{count} rate limits, those of routes included"
        yield Reference(("rate_limits",), found, f"at most {MOST_RATE_LIMITS}")
    request_id = _request_id_header(document)
    yield from _rate_keys((), document, request_id)
    for index, route in enumerate(sequence(document.get("routes"))):
        yield from _rate_keys(("routes", index), mapping(route), request_id)


def _rate_keys(place: Path, section: Mapping[str, Any], request_id: bytes) -> Iterator[Reference]:
    """Report fields that come more than once, that the gateway writes, or that some read by another name."""
    for index, limit in enumerate(sequence(section.get("rate_limits"))):
        kind, _, name = str(mapping(limit).get("key", "")).partition(":")
        if kind != "header" or not name:
            continue
        if is_double(_name(name), request_id) or not may_tell_clients_apart(_name(name)):
            message = f"{name} may come twice, is the gateway's own, or is another field to some backends"
            allowed = "header: and a field of the clients' own without `_`, such as header:X-API-Key"
            yield Reference((*place, "rate_limits", index, "key"), message, allowed)


def _scaling(document: Mapping[str, Any]) -> Iterator[Reference]:
    pools = document.get("pools")
    if not isinstance(pools, Mapping):
        return
    known = [str(name) for name in pools]
    for pool in mapping(document.get("scaling")):
        if pool not in known:
            yield Reference(("scaling", pool), _unknown("pool", str(pool), known), ", ".join(known))


def _alerts(document: Mapping[str, Any]) -> Iterator[Reference]:
    rules = [mapping(one) for one in sequence(mapping(document.get("alerts")).get("rules"))]
    places: list[Path] = [("alerts", "rules", index, "name") for index in range(len(rules))]
    yield from _twice(places, [one.get("name") for one in rules])


def _twice(places: list[Any], values: list[Any]) -> Iterator[Reference]:
    """Report each value that an earlier place has already."""
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value:
            continue
        if value in first:
            yield Reference(places[index], f"given twice: the same as {path_text(places[first[value]])}")
        first.setdefault(value, index)


def _unknown(kind: str, word: str, known: list[str]) -> str:
    return f"no such {kind}{suggestion(word, known)}"


def path_text(path: Path) -> str:
    """Return a path as people write it: `pools.pcs.backends[0].url`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


CHECKS: tuple[Callable[[Mapping[str, Any]], Iterator[Reference]], ...] = (
    _listeners,
    _own_fields,
    _backends,
    _strategies,
    _routes,
    _rate_limits,
    _scaling,
    _alerts,
)
