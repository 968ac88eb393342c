"""What the control plane knows of a configuration, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.processes.plan import ListenPlan
from pcs_gateway.telemetry.config import LoggingConfig


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    A valid configuration.

    Attributes:
        document: The whole, as workers are sent it; it holds secrets.
        shown: The whole, with secrets masked.
        token: What clients of the admin API must know; empty when nothing.
        listen: Where clients connect.
        workers: How many workers there should be.
        drain_delay: In seconds.
        drain_timeout: In seconds.
        connections: Of clients, that one worker may hold.
        rate_limits: Name, requests per second and burst of each, in the order in which workers number them.
        files: What the certificates and keys hold that it names, by path.
        notices: One line for each thing that an operator should know.
        digest: Of the file's bytes; empty when it does not come from the file as it is now.
    """

    document: dict[str, Any]
    shown: dict[str, Any]
    pools: Mapping[str, PoolConfig]
    logging: LoggingConfig
    token: str
    listen: tuple[ListenPlan, ...]
    workers: int
    drain_delay: float
    drain_timeout: float
    connections: int = 0
    rate_limits: tuple[tuple[str, float, int], ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    digest: str = ""


class ConfigurationSource(Protocol):
    """
    Where configurations come from.

    Attributes:
        path: The file, absolute.
    """

    path: str

    def read(self) -> Configuration:
        """Read the file. Raises ConfigurationError with every problem in it."""
        ...

    def restored(self, document: dict[str, Any], files: Mapping[str, bytes]) -> Configuration:
        """Return the configuration that was published like this. Raises ValueError when it is none."""
        ...

    def changed_keys(self, old: Configuration, new: Configuration) -> list[str]:
        """Return the keys that differ."""
        ...

    def needs_restart(self, baseline: dict[str, Any], new: Configuration) -> list[str]:
        """Return one line for each key of `new` that differs from `baseline` and needs a restart."""
        ...
