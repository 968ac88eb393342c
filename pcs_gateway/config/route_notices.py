"""What routes ask for and do not get: requests that others take, paths and methods that nobody sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.config.references import Path, path_text, suggestion
from pcs_gateway.http.targets import normalise_path
from pcs_gateway.proxy.config import MatchConfig, RouteConfig
from pcs_gateway.proxy.template import parse_template
from pcs_gateway.units import format_duration

# fmt: off
REGISTERED_METHODS = frozenset((
    "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD",
    "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE",
    "MOVE", "OPTIONS", "ORDERPATCH", "PATCH", "POST", "PRI", "PROPFIND", "PROPPATCH", "PUT", "QUERY",
    "REBIND", "REPORT", "SEARCH", "TRACE", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE",
    "UPDATEREDIRECTREF", "VERSION-CONTROL",
))
# fmt: on
"""The HTTP Method Registry of IANA."""

Segment = tuple[str, bool]
"""One of a template, and whether it is a parameter."""

STAR = "`*` stands for itself; {name} is any one segment and {name...} the rest"


def route_notices(config: GatewayConfig) -> Iterator[tuple[Path, str]]:
    """Yield what is to be told of each route, of timeouts, and of the methods of retries."""
    yield from _unreached(config.routes)
    for index, route in enumerate(config.routes):
        place: Path = ("routes", index)
        for keys, template in ((("match", "path"), route.match.path), (("rewrite",), route.rewrite or "")):
            if "*" in template:
                yield (*place, *keys), f": {STAR}"
        if not _can_strip(route):
            yield (*place, "strip_prefix"), " has no effect: no path that match.path takes begins with it"
        yield from _unregistered((*place, "match", "methods"), route.match.methods)
    for name, pool in config.pools.items():
        yield from _unregistered(("pools", name, "retry", "methods"), pool.retry.methods)
    yield from _late_heads(config)


def _unreached(routes: Sequence[RouteConfig]) -> Iterator[tuple[Path, str]]:
    """Yield each route whose requests an earlier one takes; what it takes only with others is passed over."""
    by_host: dict[str | None, _Templates] = {}
    for index, match in enumerate(route.match for route in routes):
        segments = _segments(match.path)
        first = next(
            (
                earlier
                for host in dict.fromkeys((None, match.host))
                for earlier in by_host.get(host, NO_TEMPLATES).covering(segments)
                if _takes_methods_of(routes[earlier].match, match)
            ),
            None,
        )
        if first is None:
            by_host.setdefault(match.host, _Templates()).add(segments, index)
        else:
            yield (
                ("routes", index),
                f" is never reached: {path_text(('routes', first))} takes all its requests",
            )


def _takes_methods_of(earlier: MatchConfig, later: MatchConfig) -> bool:
    return not earlier.methods or (bool(later.methods) and set(later.methods) <= set(earlier.methods))


class _Templates:
    """Path templates as a tree of segments, for a file may have thousands; None stands for `{name}`."""

    def __init__(self) -> None:
        self._longer: dict[str | None, _Templates] = {}
        self._ends: list[int] = []
        self._rests: list[int] = []

    def add(self, segments: Sequence[Segment], index: int) -> None:
        """Add the template of a route."""
        node = self
        for segment in segments:
            if _is_rest(segment):
                node._rests.append(index)
                return
            text, is_parameter = segment
            node = node._longer.setdefault(None if is_parameter else text, _Templates())
        node._ends.append(index)  # noqa: SLF001

    def covering(self, segments: Sequence[Segment]) -> Iterator[int]:
        """Yield each route whose template matches every path that these segments match."""
        ahead = [(self, 0)]
        while ahead:
            node, at = ahead.pop()
            if at == len(segments):
                yield from node._ends  # noqa: SLF001
                continue
            yield from node._rests  # noqa: SLF001
            text, is_parameter = segments[at]
            if _is_rest(segments[at]):
                continue
            keys = (None,) if is_parameter else (None, text) if text else (text,)
            ahead += [(node._longer[key], at + 1) for key in keys if key in node._longer]  # noqa: SLF001


NO_TEMPLATES = _Templates()


def _can_strip(route: RouteConfig) -> bool:
    """Return whether some path of the route begins with the prefix that is to be taken away."""
    prefix = (route.strip_prefix or "").rstrip("/")
    if not prefix:
        return True
    for wanted, found in zip_longest(parse_template(prefix), _segments(route.match.path)):
        if wanted is None or (found is not None and _is_rest(found)):
            return True
        if found is None or not (found[1] or found == wanted):
            return False
    return True


def _segments(template: str) -> tuple[Segment, ...]:
    """Return the segments of a template as paths in normal form have them."""
    return tuple(
        (text if is_parameter else normalise_path(text.encode("latin-1")).decode("latin-1"), is_parameter)
        for text, is_parameter in parse_template(template)
    )


def _is_rest(segment: Segment) -> bool:
    text, is_parameter = segment
    return is_parameter and text.endswith("...")


def _unregistered(place: Path, methods: Iterable[str]) -> Iterator[tuple[Path, str]]:
    for index, method in enumerate(methods):
        if method not in REGISTERED_METHODS:
            near = suggestion(method, sorted(REGISTERED_METHODS))
            yield (*place, index), f": {method} is no registered method{near}"


def _late_heads(config: GatewayConfig) -> Iterator[tuple[Path, str]]:
    """Yield each `response_head` that was asked for and is longer than all the time that a request has."""
    places: dict[Path, list[tuple[float, float]]] = {}
    for index, route in enumerate(config.routes):
        timeouts = config.timeouts.overridden_by(route.timeouts)
        is_own = route.timeouts is not None and route.timeouts.response_head is not None
        place: Path = ("routes", index, "timeouts") if is_own else ("timeouts",)
        if is_own or "response_head" in config.timeouts.model_fields_set:
            places.setdefault(place, []).append((timeouts.response_head, timeouts.request_total))
    for place, found in places.items():
        if all(head > total for head, total in found):
            longest = format_duration(max(total for _, total in found))
            yield (
                (*place, "response_head"),
                f" is never reached: request_total ({longest}) ends the request before",
            )
