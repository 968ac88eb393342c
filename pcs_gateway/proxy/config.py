"""The sections of the data plane: `listen`, `limits`, `timeouts`, `forwarding` and `routes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from pcs_gateway.backends.config import UpstreamHost
from pcs_gateway.cache.config import RouteCacheConfig, Tag
from pcs_gateway.proxy.admission_config import RateLimits
from pcs_gateway.proxy.limits_config import (
    LimitsConfig,
    RouteLimitsConfig,
    RouteTimeoutsConfig,
    TimeoutsConfig,
)
from pcs_gateway.proxy.template import TEMPLATE_ALLOWED, parse_template, placeholders, template_parameters
from pcs_gateway.section import (
    NAME_ALLOWED,
    NAME_PATTERN,
    Address,
    Boolean,
    FieldName,
    FieldValue,
    Integer,
    Method,
    Name,
    Network,
    Section,
    Text,
    UrlPath,
    matching,
    split_address,
)
from pcs_gateway.tls.config import TlsConfig

__all__ = [
    "ForwardingConfig",
    "HeaderChangesConfig",
    "LimitsConfig",
    "ListenConfig",
    "MatchConfig",
    "RespondConfig",
    "RouteConfig",
    "RouteLimitsConfig",
    "RouteTimeoutsConfig",
    "TimeoutsConfig",
    "TlsConfig",
]

HOST_ALLOWED = "a host name without port, or *.name for every name below it"
FRAMING_FIELDS = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Fields that belong to one connection or to the framing: the gateway's own, on no route's list."""

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]", re.ASCII)


def _host(value: Any) -> str:
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise ValueError(HOST_ALLOWED)
    return value.lower()


def _template(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(TEMPLATE_ALLOWED)  # noqa: TRY004 - see section
    parse_template(value)
    return str(value)


def _changeable(value: str) -> str:
    if value.lower() in FRAMING_FIELDS:
        raise ValueError("any field but those of the connection and the framing, which are the gateway's own")
    if value.lower() == "host":
        raise ValueError("any field but Host, which upstream_host sets")
    return value


def _routed(value: str) -> str:
    if value in {"CONNECT", "TRACE"}:
        raise ValueError("any method but CONNECT and TRACE, which are always refused")
    return value


RoutedMethod = Annotated[Method, AfterValidator(_routed)]
"""A request method that can reach a backend."""
ChangeableField = Annotated[FieldName, AfterValidator(_changeable)]
"""A header field that an operator may set or remove."""
RouteName = Annotated[str, matching(re.compile(rf"({NAME_PATTERN})?", re.ASCII), NAME_ALLOWED)]
"""A name, or empty: to be given one by its place in the list."""
MatchHost = Annotated[str, BeforeValidator(_host)]
"""A host name, lower-cased."""
PathTemplate = Annotated[str, BeforeValidator(_template)]
"""See `template`."""


class ListenConfig(Section):
    """One address that clients connect to."""

    address: Address
    """host:port; port 0 is any free one."""

    tls: TlsConfig | None = None
    """Absent: plain HTTP."""

    @property
    def host(self) -> str:
        """The host, an IPv6 address without brackets."""
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        """The port; 0 for any free one."""
        return split_address(self.address)[1]


class ForwardingConfig(Section):
    """What backends are told of the client, and the client of the gateway."""

    trusted_proxies: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    """Peers whose X-Forwarded-*, X-Real-IP and Forwarded fields are believed, and extended or passed on;
    those of others are replaced or dropped."""

    request_id_header: FieldName = "X-Request-ID"
    """Field with the request id, kept from the client or made."""

    forwarded: Literal["x-forwarded", "rfc7239", "both", "none"] = "x-forwarded"
    """Fields that tell the backend who asks: X-Forwarded-For, -Proto and -Host, Forwarded, both, or none."""

    server_timing: Boolean = True
    """Whether every response says in Server-Timing how much of the time was the gateway's own."""


class MatchConfig(Section):
    """Which requests a route takes; all conditions must hold."""

    methods: tuple[RoutedMethod, ...] = ()
    """Request methods; none listed: any. CONNECT and TRACE are never taken."""

    host: MatchHost | None = None
    """Host of the request, without port; *.name takes every name below it; absent: any."""

    path: PathTemplate = "/{path...}"
    """Template of the normalised path: {name} is one segment, {name...} the rest; all else, even a star,
    stands for itself."""


class RespondConfig(Section):
    """A fixed answer, given by the gateway itself."""

    status: Annotated[Integer, Field(ge=200, le=599)] = 200
    """Status code."""

    body: Text = ""
    """Body."""

    headers: dict[ChangeableField, FieldValue] = Field(default_factory=dict)
    """Header fields."""


class HeaderChangesConfig(Section):
    """Changes to header fields."""

    set: dict[ChangeableField, FieldValue] = Field(default_factory=dict)
    """Fields that get this value, instead of any they had."""

    remove: tuple[ChangeableField, ...] = ()
    """Fields that are taken away."""


class RouteConfig(Section):
    """Which requests go where, and what happens to them on the way. The first match wins."""

    name: RouteName = ""
    """How metrics and logs call it; unique. Default: route-N, counted from 1."""

    match: MatchConfig = MatchConfig()
    """Which requests."""

    pool: Name | None = None
    """Where to. Default: the pool, when there is only one and nothing to `respond`."""

    respond: RespondConfig | None = None
    """A fixed answer instead of a pool."""

    strip_prefix: PathTemplate | None = None
    """Begin of the path that is taken away, by whole segments."""

    add_prefix: UrlPath | None = None
    """What is put before the path."""

    rewrite: PathTemplate | None = None
    """The path to send instead, with the parameters of `match.path`; the query is kept."""

    trailing_slash: Literal["keep", "add", "remove"] = "keep"
    """What happens to the slash at the end of the path before it is sent."""

    request_headers: HeaderChangesConfig = HeaderChangesConfig()
    """Changes to the request."""

    response_headers: HeaderChangesConfig = HeaderChangesConfig()
    """Changes to the response."""

    upstream_host: UpstreamHost | None = None
    """As in the pool, for this route."""

    allow_upgrade: Boolean = False
    """Whether a connection may be upgraded to a tunnel (WebSocket)."""

    allow_ambiguous_paths: Boolean = False
    """Whether dot segments, backslashes and // may stand in the path, and what would be the path of a
    route with other rules with escaped delimiters (%2F and the like) decoded or `;…` cut off; else the answer
    is 400."""

    timeouts: RouteTimeoutsConfig | None = None
    """Timeouts of this route."""

    limits: RouteLimitsConfig | None = None
    """Limits of this route."""

    rate_limits: RateLimits = ()
    """Rate limits of this route, beside those of the whole gateway."""

    side_effects: Boolean | None = None
    """Whether a request changes something. true: repeated only where no byte was sent; false: may be repeated
    whatever its method; absent: as its method says."""

    priority: Literal["high", "normal", "low"] = "normal"
    """Who is served first, and shed last, when the pool has more requests than it can take."""

    cache: RouteCacheConfig | None = None
    """What is stored of the responses; absent: nothing."""

    invalidates: tuple[Tag, ...] = ()
    """Tags that a successful request purges; {name} stands for a parameter of the path."""

    @field_validator("respond")
    @classmethod
    def _pool_or_answer(cls, respond: RespondConfig | None, info: ValidationInfo) -> RespondConfig | None:
        if respond is not None and info.data.get("pool") is not None:
            raise ValueError("either pool or respond")
        return respond

    @field_validator("strip_prefix")
    @classmethod
    def _literal_prefix(cls, prefix: str | None) -> str | None:
        if prefix is not None and template_parameters(prefix):
            raise ValueError("a path without parameters, such as /api")
        return prefix

    @field_validator("rewrite")
    @classmethod
    def _only_known_parameters(cls, rewrite: str | None, info: ValidationInfo) -> str | None:
        if rewrite is None:
            return None
        if info.data.get("strip_prefix") is not None or info.data.get("add_prefix") is not None:
            raise ValueError("either rewrite, or strip_prefix and add_prefix")
        _require_parameters(template_parameters(rewrite), info.data)
        return rewrite

    @field_validator("cache")
    @classmethod
    def _only_known_tags(
        cls, cache: RouteCacheConfig | None, info: ValidationInfo
    ) -> RouteCacheConfig | None:
        for tag in cache.tags if cache is not None else ():
            _require_parameters(placeholders(tag), info.data)
        return cache

    @field_validator("invalidates")
    @classmethod
    def _only_known_invalidations(cls, tags: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for tag in tags:
            _require_parameters(placeholders(tag), info.data)
        return tags


def _require_parameters(names: frozenset[str], data: Mapping[str, Any]) -> None:
    """Raise ValueError when `names` are not all parameters of the route's path."""
    match = data.get("match")
    if match is None:
        return
    known = template_parameters(match.path)
    if names - known:
        listed = ", ".join(sorted(f"{{{name}}}" for name in known)) or "none"
        raise ValueError(f"only parameters of match.path ({listed})")
