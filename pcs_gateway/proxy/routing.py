"""
Method, host and normalised path to a route and its parameters; the first match wins.

Routes are compiled once per snapshot. What a target matched is kept, bounded in two generations, since
clients ask for the same targets again; matching itself is a prefix test and at most one regular expression
for each route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pcs_gateway.balancing.priority import Priority
from pcs_gateway.http.memo import Memo
from pcs_gateway.http.refusals import Refusal, RequestRefused
from pcs_gateway.http.targets import Target, normalise_path, read_target
from pcs_gateway.proxy.hedging import RouteHedge
from pcs_gateway.proxy.rewriting import FieldEdits, Params, PathRewrite, plain_name

if TYPE_CHECKING:
    from pcs_gateway.proxy.admission import Admission
    from pcs_gateway.proxy.config import LimitsConfig, RouteConfig, TimeoutsConfig
    from pcs_gateway.proxy.upstream_pool import UpstreamPool

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")
NO_PARAMS: Params = {}


def compile_path(template: str) -> re.Pattern[bytes]:
    """Turn a path template into a pattern: `{name}` is one non-empty segment, `{name...}` the rest."""
    pattern = ""
    at = 0
    for match in _PLACEHOLDER.finditer(template):
        pattern += re.escape(template[at : match.start()])
        pattern += f"(?P<{match[1]}>{'.*' if match[2] else '[^/]+'})"
        at = match.end()
    pattern += re.escape(template[at:])
    return re.compile(pattern.encode("latin-1"), re.DOTALL)


class Route:
    """
    One route, ready to match.

    Attributes:
        admission: The rate limits that hold on it; None without any.
        upstream_pool: Where its requests go; None for a fixed answer.
        hedge: How its requests are hedged; None when they are not.
        methods: None for all.
        priority: Who is served first when the pool has more requests than it can take.
        repeats_all: Its requests may be sent twice whatever their method.
        is_plain: The request head depends on nothing but the client's fields and the target.
        response_head: `timeouts.response_head`, at hand.
        rules: All that is configured for it but its name and which requests it takes.
        uses_latency: The pool's strategy weighs by latency.
        request_total: `timeouts.request_total`, at hand.
        untrailed: Fields, in one spelling, that count or are changed in the head of a request: what a trailer
            says of them is not passed on, since a backend may join it with the head (RFC 9110 section 6.5.1).
        upstream_host: `preserve`, `backend` or a literal name.
    """

    __slots__ = (
        "admission",
        "allow_ambiguous_paths",
        "allow_upgrade",
        "hedge",
        "host",
        "is_plain",
        "limits",
        "methods",
        "name",
        "path_rewrite",
        "pattern",
        "prefix",
        "priority",
        "repeats_all",
        "request_edits",
        "request_total",
        "respond",
        "response_edits",
        "response_head",
        "retry_methods",
        "rules",
        "takes_all",
        "timeouts",
        "untrailed",
        "upstream_host",
        "upstream_pool",
        "uses_latency",
    )

    def __init__(
        self,
        config: RouteConfig,
        pool: UpstreamPool | None,
        limits: LimitsConfig,
        timeouts: TimeoutsConfig,
        admission: Admission | None = None,
        hedge_delay: float = 0.0,
    ) -> None:
        self.name = config.name
        self.rules = config.model_dump(exclude={"name", "match", "allow_ambiguous_paths"})
        self.admission = admission
        self.upstream_pool = pool
        self.limits = limits.overridden_by(config.limits)
        self.timeouts = timeouts.overridden_by(config.timeouts)
        self.response_head = self.timeouts.response_head
        self.request_total = self.timeouts.request_total
        match = config.match
        self.methods = frozenset(m.encode("latin-1") for m in match.methods) if match.methods else None
        self.host = match.host.lower().encode("latin-1") if match.host else None
        template = normalise_path(match.path.encode("latin-1")).decode("latin-1")
        self.pattern = compile_path(template)
        self.prefix = template.partition("{")[0].encode("latin-1")
        self.takes_all = template.startswith("/{") and template.endswith("...}") and template.count("/") == 1
        self.allow_ambiguous_paths = config.allow_ambiguous_paths
        self.allow_upgrade = config.allow_upgrade
        self.respond = config.respond
        self.priority = Priority[config.priority.upper()]
        self.path_rewrite = PathRewrite(
            config.strip_prefix or "", config.add_prefix or "", config.rewrite or "", config.trailing_slash
        )
        self.request_edits = FieldEdits(config.request_headers.set, config.request_headers.remove) or None
        self.response_edits = FieldEdits(config.response_headers.set, config.response_headers.remove) or None
        self.upstream_host = config.upstream_host or (pool.config.upstream_host if pool else "preserve")
        may_repeat = pool.config.retry.methods if pool and not config.side_effects else ()
        self.uses_latency = pool is not None and pool.uses_latency
        self.is_plain = self.upstream_host != "backend"
        self.retry_methods = frozenset(m.encode("latin-1") for m in may_repeat)
        self.repeats_all = config.side_effects is False
        hedges = pool.config.hedge if pool and not config.side_effects else None
        self.hedge = RouteHedge(hedges, hedge_delay) if hedges is not None else None
        self.untrailed = self._untrailed()

    def __repr__(self) -> str:
        return f"<Route {self.name}: {self.pattern.pattern.decode('latin-1')}>"

    def _untrailed(self) -> frozenset[bytes]:
        names = self.admission.field_names if self.admission is not None else []
        if self.upstream_pool is not None:
            config = self.upstream_pool.config
            kind, _, name = (config.hash_on or "").partition(":")
            named = (name if kind == "header" else "", config.queue.priority_header or "")
            names += [name.encode("latin-1") for name in named if name]
        edited = self.request_edits.names if self.request_edits is not None else frozenset()
        return edited | {plain_name(name) for name in names}

    def may_repeat(self, method: bytes) -> bool:
        """Tell whether a request may be sent again although it may have been executed."""
        return self.repeats_all or method in self.retry_methods

    def match_host(self, name: bytes) -> bool:
        """Tell whether a lower-cased host name is this route's; `*.name` is every name below `name`."""
        host = self.host
        if host is None or host == name:
            return True
        return host.startswith(b"*.") and name.endswith(host[1:]) and len(name) > len(host) - 1

    def takes(self, method: bytes, host: bytes) -> bool:
        """Tell whether a request with this method for this lower-cased host is this route's, by its path."""
        return (self.methods is None or method in self.methods) and self.match_host(host)

    def matches_path(self, path: bytes) -> bool:
        """Tell whether a normalised path is this route's."""
        if not path.startswith(self.prefix):
            return False
        return self.takes_all or self.pattern.fullmatch(path) is not None


class Match:
    """
    What a request line led to.

    Attributes:
        authority: From a target in absolute form; it stands for Host.
        line: The request line for the backend; its target is the original bytes unless the route rewrites.
    """

    __slots__ = ("authority", "line", "route", "target")

    def __init__(self, route: Route, method: bytes, target: Target) -> None:
        self.route = route
        self.target = target
        self.authority = target.authority
        rewrite = route.path_rewrite
        forwarded = rewrite.forward(target, self.params) if rewrite else target.origin_form
        self.line = b"%b %b HTTP/1.1\r\n" % (method, forwarded)

    @property
    def params(self) -> Params:
        """The route's parameters in the path; found anew each time."""
        match = self.route.pattern.fullmatch(self.target.path)
        return NO_PARAMS if match is None else match.groupdict()


class MethodNotRouted(RequestRefused):
    """A route matches the path, but not with this method; `allowed` are the methods that would."""

    def __init__(self, allowed: Iterable[bytes]) -> None:
        super().__init__(Refusal.METHOD_NOT_ROUTED, b", ".join(sorted(set(allowed))))


class Router:
    """All routes of a snapshot, in order."""

    __slots__ = ("_considers_host", "_known", "routes")

    MEMO_TARGETS = 4096
    MEMO_TARGET_BYTES = 512
    MEMO_KEY_BYTES = 1024

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._considers_host = any(route.host is not None for route in self.routes)
        self._known: Memo[tuple[bytes, bytes, bytes], Match] = Memo(
            self._find, self.MEMO_TARGETS, self._is_short
        )

    @classmethod
    def _is_short(cls, key: tuple[bytes, bytes, bytes]) -> bool:
        """A method and a Host may be as long as a head, and memory is for many of them."""
        return sum(map(len, key)) <= cls.MEMO_KEY_BYTES

    def match(self, method: bytes, host: bytes, target: bytes) -> Match:
        """
        Give the first route that matches.

        Raises:
            RequestRefused: The target is malformed or ambiguous, or no route matches it.
        """
        key = (method, target, host if self._considers_host else b"")
        return self._known[key] if len(target) <= self.MEMO_TARGET_BYTES else self._find(key)

    def _find(self, key: tuple[bytes, bytes, bytes]) -> Match:
        method, asked_target, host = key
        target = read_target(method, asked_target)
        allowed: set[bytes] = set()
        asked = host_name(target.authority or host) if self._considers_host else b""
        for route in self.routes:
            if self._considers_host and not route.match_host(asked):
                continue
            # the asterisk form stands for the whole server: only a route that takes everything is meant
            if not (route.takes_all if target.path == b"*" else route.matches_path(target.path)):
                continue
            if route.methods is not None and method not in route.methods:
                allowed |= route.methods
            elif route.allow_ambiguous_paths or not (
                target.is_ambiguous
                or (target.other_paths and self._leads_elsewhere(route, method, asked, target))
            ):
                return Match(route, method, target)
            else:
                raise RequestRefused(Refusal.AMBIGUOUS_PATH)
        if target.is_ambiguous:
            raise RequestRefused(Refusal.AMBIGUOUS_PATH)
        raise MethodNotRouted(allowed) if allowed else RequestRefused(Refusal.NO_ROUTE)

    def _leads_elsewhere(self, taken: Route, method: bytes, host: bytes, target: Target) -> bool:
        """Tell whether a path is, for some, that of a route with other rules than `taken`."""
        routes = [route for route in self.routes if route.takes(method, host)]
        for path in target.other_paths:
            first = next((route for route in routes if route.matches_path(path)), taken)
            if first.rules != taken.rules:
                return True
        return False


def host_name(authority: bytes) -> bytes:
    """Give the lower-cased host of `host[:port]`, without the dot of the root (RFC 3986 section 3.2.2)."""
    if authority.startswith(b"["):
        return authority.partition(b"]")[0].lower() + b"]"
    return authority.partition(b":")[0].lower().removesuffix(b".")
