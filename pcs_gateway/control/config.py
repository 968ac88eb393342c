"""The sections of the control plane: `admin`, `state`, `alerts` and `scaling`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from pcs_gateway.section import (
    PRIVATE_URL,
    Address,
    Boolean,
    Integer,
    Name,
    Number,
    Secret,
    Section,
    Text,
    split_address,
)
from pcs_gateway.units import Duration, Ratio, parse_duration

METRICS = (
    "response_time.p50",
    "response_time.p95",
    "response_time.p99",
    "response_time.average",
    "response_time.max",
    "throughput.requests_per_second",
    "throughput.concurrent_users",
    "throughput.peak_load",
    "errors.error_rate",
    "errors.error_count",
    "resources.cpu_usage",
    "resources.memory_usage",
    "resources.disk_io",
    "resources.network_io",
)
"""What an alert rule may watch: the numbers of `PerformanceMetrics`."""

Severity = Literal["low", "medium", "high", "critical"]
"""How bad an alert is."""

WEBHOOK_ALLOWED = "http://… or https://…"
THRESHOLD_ALLOWED = 'a number, or a duration such as "500ms"'


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a listener on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _webhook(value: Any) -> str:
    text = str(value) if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(WEBHOOK_ALLOWED) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(WEBHOOK_ALLOWED)
    return text


def _threshold(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(THRESHOLD_ALLOWED)  # noqa: TRY004 - see section
    try:
        return float(value)
    except OverflowError:
        raise ValueError(THRESHOLD_ALLOWED) from None


Webhook = Annotated[str, BeforeValidator(_webhook), PRIVATE_URL]
"""Where to send a POST."""
Threshold = Annotated[float, BeforeValidator(_threshold), Field(allow_inf_nan=False)]
"""A number in the unit of its metric; seconds may be written as a duration."""
Instances = Annotated[Integer, Field(ge=0, le=10_000)]
"""A number of instances."""


class AdminConfig(Section):
    """The admin API, /metrics, /healthz and /readyz, on a listener of their own."""

    address: Address = "127.0.0.1:9901"
    """Where it listens: host:port."""

    token: Secret = Field(default="", validate_default=True)
    """What `Authorization: Bearer` must say; empty is only allowed on a loopback address."""

    @field_validator("token")
    @classmethod
    def _needed_beyond_loopback(cls, token: str, info: ValidationInfo) -> str:
        address = info.data.get("address")
        if not token and address is not None and not is_loopback(split_address(address)[0]):
            raise ValueError("a token: the admin address can be reached from other machines")
        if token and (not token.isascii() or not token.isprintable() or " " in token):
            raise ValueError("printable ASCII without spaces")
        return token


class StateConfig(Section):
    """What survives a restart."""

    directory: Text = "var/lib/pcs-gateway"
    """Made when missing, with mode 0700; relative to the working directory."""

    @field_validator("directory")
    @classmethod
    def _not_empty(cls, directory: str) -> str:
        if not directory or "\0" in directory:
            raise ValueError("the path of a directory")
        return directory


class AlertRule(Section):
    """When an alert fires."""

    name: Name
    """Unique among the rules."""

    metric: Literal[METRICS]  # type: ignore[valid-type]
    """What is watched."""

    operator: Literal["gt", "gte", "lt", "lte", "eq"] = "gt"
    """How it is compared with `threshold`."""

    threshold: Threshold
    """In the metric's unit; response times may be written as durations."""

    duration: Duration = 0.0
    """How long the condition must hold before the alert fires."""

    severity: Severity = "medium"
    """How bad it is."""

    keep_firing_for: Duration = 0.0
    """How long the alert fires on after the condition ended."""


class NotifyConfig(Section):
    """Where alerts go: one of `webhook` and `log`."""

    webhook: Webhook | None = None
    """A URL that gets a POST."""

    log: Boolean = Field(default=False, validate_default=True)
    """The gateway's own log."""

    severities: tuple[Severity, ...] = get_args(Severity)
    """Which alerts."""

    @field_validator("log")
    @classmethod
    def _one_of_both(cls, log: Boolean, info: ValidationInfo) -> bool:
        if "webhook" in info.data and log == (info.data["webhook"] is not None):
            raise ValueError("either webhook: URL or log: true")
        return log


class AlertsConfig(Section):
    """Rules over the gateway's own measurements."""

    evaluate_every: Annotated[Duration, Field(gt=0)] = 1.0
    """From one evaluation to the next."""

    rules: tuple[AlertRule, ...] = ()
    """When alerts fire."""

    notify: tuple[NotifyConfig, ...] = ()
    """Where they go."""


class TargetsConfig(Section):
    """What one instance should be asked for, beside CPU and memory."""

    in_flight_per_instance: Annotated[Number, Field(gt=0)] | None = None
    """Attempts in flight."""

    response_time_p95: Annotated[Duration, Field(gt=0)] | None = None
    """Duration of 95 % of the requests."""

    requests_per_second_per_instance: Annotated[Number, Field(gt=0)] | None = None
    """Requests per second."""


class StabilizationConfig(Section):
    """How long is looked back at, so that a decision does not follow every wave."""

    up: Duration = 0.0
    """Before adding instances."""

    down: Duration = 300.0
    """Before removing instances."""


class ActuatorConfig(Section):
    """Who changes the number of instances; nobody when the section is empty."""

    webhook: Webhook | None = None
    """A URL that gets the decision."""

    command: tuple[Text, ...] | None = None
    """A program and its arguments, run with the decision."""

    processes: tuple[Text, ...] | None = Field(default=None, validate_default=True)
    """The command of one instance, which the gateway itself starts and stops."""

    @field_validator("processes")
    @classmethod
    def _one_of_them(cls, processes: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        given = [processes, info.data.get("webhook"), info.data.get("command")]
        if sum(kind is not None for kind in given) > 1:
            raise ValueError("one of webhook, command and processes")
        return processes


class ScalingConfig(Section):
    """How many instances a pool should have."""

    min_instances: Instances = 1
    """Never fewer."""

    max_instances: Instances = Field(default_factory=lambda data: max(10, data["min_instances"]))
    """Never more. Default: 10, or `min_instances` when larger."""

    target_cpu_utilization: Ratio = 0.7
    """Mean CPU share of the instances that is aimed at."""

    target_memory_utilization: Ratio = 0.8
    """Mean memory share of the instances that is aimed at."""

    targets: TargetsConfig = TargetsConfig()
    """What else is aimed at."""

    scale_up_cooldown: Duration = 30.0
    """Least gap between two additions."""

    scale_down_cooldown: Duration = 300.0
    """Least gap between two removals."""

    stabilization: StabilizationConfig = StabilizationConfig()
    """How long is looked back at."""

    tolerance: Ratio = 0.1
    """Deviation from a target that is not acted on."""

    actuator: ActuatorConfig = ActuatorConfig()
    """Who changes the number; absent or none: nobody."""

    dry_run: Boolean = False
    """Decide and log, but change nothing."""

    @field_validator("max_instances")
    @classmethod
    def _not_below_the_minimum(cls, maximum: int, info: ValidationInfo) -> int:
        if maximum < info.data.get("min_instances", maximum):
            raise ValueError(f"at least min_instances ({info.data['min_instances']})")
        return maximum

    @field_validator("actuator", mode="before")
    @classmethod
    def _none_by_name(cls, value: Any) -> Any:
        return {} if value == "none" else value
