"""What the control process counts by itself, for /metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pcs_gateway.control.loop import ControlPlane
from pcs_gateway.telemetry.exposition import counter, gauge


class ControlCollector(Collector):
    """Flips of readiness, ejections, and what workers were told last."""

    def __init__(self, plane: ControlPlane) -> None:
        """Look at this control plane."""
        self._plane = plane

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield counter(
            "readiness_flips",
            "Changes of a backend's readiness, by what it became.",
            ("pool", "backend", "to"),
            self._plane.publisher.readiness_flips,
        )
        yield counter(
            "ejections",
            "Ejections of a backend by outlier detection.",
            ("pool", "backend"),
            self._plane.ejector.ejections,
        )
        yield gauge(
            "snapshot_version",
            "Version of what workers were told last.",
            (),
            {(): self._plane.publisher.version},
        )
