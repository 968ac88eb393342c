"""What the control process counts by itself, for /metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pcs_gateway.control.loop import ControlPlane
from pcs_gateway.telemetry.exposition import counter, gauge


class ControlCollector(Collector):
    """Flips of readiness, ejections, whom failures speak against, and what workers were told last."""

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
            "Ejections of a backend by outlier detection, by what they were based on.",
            ("pool", "backend", "cause"),
            self._plane.ejector.ejections,
        )
        yield counter(
            "ejections_spared",
            "Accusations of a backend that ended without an ejection, by why.",
            ("pool", "backend", "objection"),
            self._plane.ejector.spared,
        )
        yield from self._failures()
        yield gauge(
            "snapshot_version",
            "Version of what workers were told last.",
            (),
            {(): self._plane.publisher.version},
        )

    def _failures(self) -> Iterator[Metric]:
        attribution = self._plane.ejector.attribution
        yield gauge(
            "backend_ejected",
            "Whether a backend is ejected.",
            ("pool", "backend"),
            {(one.key.pool, one.config.name): int(one.ejection is not None) for one in self._plane.roster},
        )
        yield counter(
            "attributed_failures",
            "Failed attempts, by what they speak against: backend, request or shared_dependency.",
            ("pool", "against"),
            attribution.failures,
        )
        yield gauge(
            "shared_failure",
            "Whether all backends of a pool fail alike.",
            ("pool",),
            {(pool,): int(attribution.current(pool) is not None) for pool in self._plane.roster.pools},
        )
