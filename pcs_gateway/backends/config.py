"""The section `pools`: backends and what their pool does for them."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from pcs_gateway.backends.attempts_config import (
    MOST_ATTEMPTS,
    ConcurrencyConfig,
    HedgeConfig,
    QueueConfig,
    RetryConfig,
)
from pcs_gateway.section import Integer, Name, Number, Section, UrlPath, matching
from pcs_gateway.tls.config import BackendTlsConfig
from pcs_gateway.units import Duration, Ratio

BACKEND_URL_ALLOWED = "http://host:port or https://host:port, without path, query or credentials"
JSON_MEMBERS_ALLOWED = "members as JSON has them, whole numbers from -2^63 to 2^64 - 1"
BACKEND_NAME_ALLOWED = "a name of up to 128 letters, digits and . _ - : [ ]"
HASH_ON_ALLOWED = "header:NAME, cookie:NAME, path or client_address"
UPSTREAM_HOST_ALLOWED = "preserve, backend, or a host name with an optional port"

MOST_BACKENDS = 512
"""In all pools together: half of the scoreboard's columns, so that a reload may replace every backend."""

_BACKEND_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,128}", re.ASCII)
_HASH_ON = re.compile(r"(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}|path|client_address", re.ASCII)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?", re.ASCII)

DEFAULT_PORTS = {"http": 80, "https": 443}


def split_backend_url(url: str) -> tuple[str, str, int]:
    """Return scheme, host (without brackets) and port of a backend's URL. Raises ValueError."""
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else DEFAULT_PORTS[parts.scheme]
    return parts.scheme, parts.hostname or "", port


def host_port(host: str, port: int) -> str:
    """Return `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _idle_default(data: dict[str, Any]) -> int:
    return int(data["max_per_backend"])


def _backend_url(value: Any) -> str:
    text = str(value) if isinstance(value, str) else ""
    try:
        sound = _is_backend_url(urlsplit(text))
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(BACKEND_URL_ALLOWED)
    scheme, _, rest = text.rstrip("/").partition("://")
    return f"{scheme.lower()}://{rest}"


def _is_backend_url(parts: SplitResult) -> bool:
    return (
        parts.scheme in DEFAULT_PORTS
        and _AUTHORITY.fullmatch(parts.netloc) is not None
        and bool(parts.hostname)
        and parts.port != 0
        and parts.path in {"", "/"}
        and not parts.query
        and not parts.fragment
    )


def _name_from_url(data: dict[str, Any]) -> str:
    _, host, port = split_backend_url(data["url"])
    return host_port(host, port)


def _json_members(members: dict[str, Any]) -> dict[str, Any]:
    if not _is_json(members):
        raise ValueError(JSON_MEMBERS_ALLOWED)
    return members


def _is_json(value: Any) -> bool:
    """Return whether a value can be told to workers and stand in an answer."""
    match value:
        case bool() | str() | None:
            return True
        case int():
            return -(2**63) <= value < 2**64
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(_is_json, value.values()))
        case list():
            return all(map(_is_json, value))
    return False


BackendUrl = Annotated[str, BeforeValidator(_backend_url)]
"""http://host:port or https://host:port; a host name is resolved by the control process."""
UpstreamHost = Annotated[str, matching(_AUTHORITY, UPSTREAM_HOST_ALLOWED)]
"""What the Host field of a forwarded request says."""
HashOn = Annotated[str, matching(_HASH_ON, HASH_ON_ALLOWED)]
"""The part of a request that a hash strategy keeps together."""
JsonMembers = Annotated[dict[str, Any], AfterValidator(_json_members)] | None
"""Members of a JSON object."""
PositiveDuration = Annotated[Duration, Field(gt=0)]
"""A duration that is not zero."""
Status = Annotated[Integer, Field(ge=100, le=599)]
"""A status code."""


class BackendConfig(Section):
    """One server that can take attempts."""

    EXAMPLE: ClassVar[str] = "{url: http://host:port}"

    url: BackendUrl
    """Where it is: `http://host:port` or `https://host:port`. A host name is resolved again as its
    TTL says."""

    name: Annotated[str, matching(_BACKEND_NAME, BACKEND_NAME_ALLOWED)] = Field(
        default_factory=_name_from_url
    )
    """How metrics, logs and the admin API call it; unique in its pool. Default: host:port of `url`."""

    weight: Annotated[Integer, Field(ge=1, le=1000)] = 1
    """Its share of the traffic against the other backends' weights."""

    priority: Annotated[Integer, Field(ge=0, le=9)] = 0
    """Its level. 0 takes everything; a higher number takes what the lower ones cannot: when less than
    five sevenths of a level's weight is ready, or all of it is at `connections.max_per_backend` or was
    tried."""


class ConnectionsConfig(Section):
    """Connections from the gateway to each backend."""

    max_per_backend: Annotated[Integer, Field(ge=1, le=100_000)] = 24
    """Most attempts in flight to one backend, over all workers; beyond it requests wait in the queue."""

    idle: Annotated[Integer, Field(ge=0, le=100_000)] = Field(default_factory=_idle_default)
    """Most idle connections kept for one backend. Default: `max_per_backend`."""

    idle_timeout: PositiveDuration = 4.0
    """How long an idle connection is kept. It must end before the backend's own keep-alive (PCS: 5 s)."""

    @field_validator("idle")
    @classmethod
    def _idle_within_the_maximum(cls, idle: int, info: ValidationInfo) -> int:
        maximum = info.data.get("max_per_backend", idle)
        if idle > maximum:
            raise ValueError(f"at most max_per_backend ({maximum})")
        return idle


class HealthCheckConfig(Section):
    """How the control process finds out whether a backend is healthy; once for all workers."""

    path: UrlPath | None = None
    """Path of an HTTP check; without one the check is a TCP connect."""

    host: Annotated[str, matching(_AUTHORITY, "a host name with an optional port")] | None = None
    """Host field of the HTTP check. Default: the backend's own host and port."""

    interval: PositiveDuration = 5.0
    """From one check to the next while the state is settled."""

    fast_interval: PositiveDuration = Field(default_factory=lambda data: min(1.0, data["interval"]))
    """From one check to the next while the state is changing, or after a check that says nothing. Default:
    1s, or `interval` when shorter."""

    timeout: PositiveDuration = 2.0
    """How long one check may take, from the connect to the last byte."""

    rise: Annotated[Integer, Field(ge=1, le=100)] = 2
    """Passed checks in a row that make an unhealthy backend healthy."""

    fall: Annotated[Integer, Field(ge=1, le=100)] = 3
    """Failed checks in a row that make a healthy backend unhealthy."""

    expect_status: Annotated[tuple[Status, ...], Field(min_length=1)] = (200,)
    """Status codes of an HTTP check that pass."""

    expect_json: JsonMembers = None
    """Members that the JSON object in the answer of an HTTP check must have, with equal values."""

    max_age: PositiveDuration = Field(default_factory=lambda data: max(30.0, 3 * data["interval"]))
    """A check older than this counts as no check. Default: 30s, or three `interval`s when longer."""

    jitter: Ratio = 0.1
    """Share of the interval by which each pause is moved at random, so that checks do not march in step."""

    @field_validator("fast_interval")
    @classmethod
    def _faster_than_the_interval(cls, fast: float, info: ValidationInfo) -> float:
        if fast > info.data.get("interval", fast):
            raise ValueError("at most the interval")
        return fast

    @field_validator("expect_json")
    @classmethod
    def _only_of_http_checks(cls, members: JsonMembers, info: ValidationInfo) -> JsonMembers:
        if members is not None and info.data.get("path", "") is None:
            raise ValueError("nothing while there is no path: a TCP check reads no answer")
        return members

    @field_validator("max_age")
    @classmethod
    def _longer_than_the_interval(cls, max_age: float, info: ValidationInfo) -> float:
        interval, timeout = info.data.get("interval", 0.0), info.data.get("timeout", 0.0)
        if max_age < interval + timeout:
            raise ValueError("at least interval + timeout: else a check is too old before the next one ends")
        return max_age


class FailureRatioConfig(Section):
    """Ejection by the share of failures."""

    threshold: Ratio = 0.5
    """Share of failed attempts from which a backend is ejected. Failures are as in `consecutive_failures`: a
    plain 500 is none."""

    minimum_requests: Annotated[Integer, Field(ge=1, le=MOST_ATTEMPTS)] = 20
    """Attempts in the window below which the share means nothing."""

    window: PositiveDuration = 10.0
    """What is looked back at."""


class SuccessRateConfig(Section):
    """Ejection of backends whose success rate stands out from the others'."""

    stdev_factor: Annotated[Number, Field(gt=0, le=10)] = 1.9
    """How many standard deviations below the mean of all backends, and at least five points, are too many. Of
    N backends a single one can be √(N - 1) deviations away at most: 3 backends need a factor below 1.4,
    4 below 1.7, 5 below 2."""

    minimum_backends: Annotated[Integer, Field(ge=3, le=MOST_BACKENDS)] = 5
    """Backends with enough attempts below which there is nothing to compare."""

    minimum_requests: Annotated[Integer, Field(ge=1, le=MOST_ATTEMPTS)] = 100
    """Attempts in the window below which a backend is not compared."""

    window: PositiveDuration = 10.0
    """What is looked back at."""


class OutlierDetectionConfig(Section):
    """What traffic proves against a backend; the second opinion beside the checks."""

    consecutive_failures: Annotated[Integer, Field(ge=0, le=1000)] = 5
    """Failures in a row that eject; 0: none do. Failures are no connection, a reset, a time-out, a malformed
    or incomplete response, 502, 503 and 504. A plain 500 is none."""

    failure_ratio: FailureRatioConfig | None = None
    """Ejection by the share of failures, which are as above: a plain 500 is none; absent: off."""

    success_rate: SuccessRateConfig | None = None
    """Ejection of backends that succeed less often than the others: what is no failure as above, such as a
    plain 500, is a success; absent: off."""

    base_ejection: PositiveDuration = 30.0
    """How long a backend that is ejected gets no attempts: so long the first time, twice as long when it is
    ejected again, and so on. Each time of this length that it is ready makes up for one ejection."""

    maximum_ejection: PositiveDuration = Field(default_factory=lambda data: max(300.0, data["base_ejection"]))
    """The longest ejection. Default: 5m, or `base_ejection` when longer."""

    max_ejected: Ratio = 0.5
    """Share of a pool's backends that may be ejected at one time; one may be, unless this is 0, but never the
    last that is ready."""

    @field_validator("maximum_ejection")
    @classmethod
    def _longer_than_the_first(cls, maximum: float, info: ValidationInfo) -> float:
        if maximum < info.data.get("base_ejection", maximum):
            raise ValueError("at least base_ejection")
        return maximum


class ResourcesConfig(Section):
    """Where an instance tells its CPU and memory."""

    url: UrlPath
    """Path on each backend."""

    format: Literal["json"] = "json"
    """How the answer reads."""

    interval: PositiveDuration = 5.0
    """How often it is asked."""


class PoolConfig(Section):
    """A named set of backends which share a strategy, health checks and limits."""

    backends: Annotated[tuple[BackendConfig, ...], Field(min_length=1, max_length=MOST_BACKENDS)]
    """The servers that take this pool's attempts."""

    strategy: Name = "least_connections"
    """Who takes the next attempt: round_robin, least_connections, two_choices, least_time, consistent_hash,
    or the name of an entry point of the group `pcs_gateway.strategies`."""

    hash_on: HashOn | None = Field(default=None, validate_default=True)
    """What consistent_hash keeps together: header:NAME, cookie:NAME, path or client_address."""

    hash_balance_factor: Annotated[Number, Field(ge=1, le=100)] = 1.25
    """Most that consistent_hash gives one backend, as a multiple of its share by weight of what the pool
    has in flight; beyond it the key's next backend is asked."""

    upstream_host: UpstreamHost = "preserve"
    """Host field of forwarded requests: preserve (the client's), backend (host and port of the backend's
    URL), or a literal name."""

    tls: BackendTlsConfig = BackendTlsConfig()
    """How `https://` backends are spoken to, by traffic and by health checks."""

    connections: ConnectionsConfig = ConnectionsConfig()
    """Connections to each backend."""

    health_check: HealthCheckConfig = HealthCheckConfig()
    """How a backend is found healthy."""

    outlier_detection: OutlierDetectionConfig = OutlierDetectionConfig()
    """What traffic proves against a backend."""

    on_abandon: Literal["finish", "cancel"] = "finish"
    """What happens to an attempt that nobody waits for any more. finish: the answer is read and counted as in
    flight, since the backend works on; cancel: the connection is closed. With finish, a client that closes
    its connection before the answer is logged with the status of the answer, which nobody reads, and not as
    `client_left`: one that only half-closes, and reads on, looks the same."""

    panic_threshold: Ratio = 0.0
    """Share of ready backends, of each priority, below which failed checks and ejections are ignored, if
    other priorities cannot take the load; never what is drained, disabled, unresolved or has never passed
    a check. 0: never."""

    slow_start: Duration = 0.0
    """How long a backend that became ready takes from a tenth of its share to all of it; 0s: at once."""

    queue: QueueConfig = QueueConfig()
    """Where requests wait when every backend is at its limit."""

    concurrency: ConcurrencyConfig | None = None
    """A limit on attempts in flight to the whole pool; absent: none but `connections.max_per_backend`."""

    retry: RetryConfig = RetryConfig()
    """When a request is tried again."""

    hedge: HedgeConfig | None = None
    """A second attempt in parallel; absent: off. It needs traffic, of 20 requests per second or more with the
    default `budget`."""

    resources: ResourcesConfig | None = None
    """Where the instances tell their CPU and memory; absent: nowhere."""

    @property
    def speaks_tls(self) -> bool:
        """A backend has an `https://` URL."""
        return any(backend.url.startswith("https:") for backend in self.backends)

    @field_validator("hash_on")
    @classmethod
    def _needed_by_consistent_hash(cls, hash_on: str | None, info: ValidationInfo) -> str | None:
        if hash_on is None and info.data.get("strategy") == "consistent_hash":
            raise ValueError(f"{HASH_ON_ALLOWED}; strategy consistent_hash needs it")
        return hash_on
