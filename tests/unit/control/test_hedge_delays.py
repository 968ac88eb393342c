"""After how long routes are hedged, and when workers are told."""

from __future__ import annotations

from typing import Any

import pytest

from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.control.configuration import Configuration
from pcs_gateway.control.hedge_delays import ENOUGH, HedgeDelayPublisher, hedge_delays, hedged_routes
from pcs_gateway.processes.messages import HedgeDelays
from pcs_gateway.telemetry.delta import Delta
from pcs_gateway.telemetry.recorder import Recorder
from pcs_gateway.telemetry.store import MeasurementStore
from tests.fakes.clock import FakeClock
from tests.fakes.exchanges import make_record

BACKENDS = [{"url": "http://127.0.0.1:8001"}]


def configuration(after: str = "p95", **route: Any) -> Configuration:
    """A configuration with one hedged route beside others that are not."""
    config = GatewayConfig.model_validate(
        {
            "pools": {
                "pcs": {"backends": BACKENDS, "hedge": {"after": after}},
                "plain": {"backends": BACKENDS},
            },
            "routes": [
                {"name": "prompt", "match": {"path": "/prompts"}, "pool": "pcs", **route},
                {"name": "plain", "match": {"path": "/plain"}, "pool": "plain"},
                {"name": "fixed", "match": {"path": "/fixed"}, "respond": {"status": 200}},
            ],
        }
    )
    return Configuration(
        document=config.model_dump(mode="json"),
        shown={},
        pools=config.pools,
        logging=config.logging,
        token="",
        listen=(),
        workers=1,
        drain_delay=0.0,
        drain_timeout=0.0,
    )


def measured(count: int, duration: float = 0.05, **fields: Any) -> Delta:
    """So many exchanges of the hedged route, the last twentieth of them ten times as long."""
    recorder = Recorder()
    for number in range(count):
        slow = number >= count * 0.95
        recorder.record(make_record(duration=duration * (10 if slow else 1), **fields))
    return recorder.take_delta()


class TestHedgedRoutes:
    @pytest.mark.parametrize(
        ("after", "side_effects", "expected"),
        [
            ("p95", None, ["prompt"]),
            ("p95", False, ["prompt"]),
            ("p95", True, []),
            ("50ms", None, []),
        ],
    )
    def test_routes(self, after: str, expected: list[str], *, side_effects: bool | None) -> None:
        """Those of a pool with a percentile, but for what has side effects."""
        assert expected == list(hedged_routes(configuration(after, side_effects=side_effects)))


class TestHedgeDelays:
    def test_percentile(self) -> None:
        """That of the configuration, within the histogram's accuracy and two digits."""
        delays = {
            after: hedge_delays(hedged_routes(configuration(after)), measured(1000))["prompt"]
            for after in ("p90", "p95", "p99")
        }

        assert {"p90": 0.05, "p95": 0.05, "p99": 0.5} == delays

    @pytest.mark.parametrize(("count", "expected"), [(ENOUGH - 1, False), (ENOUGH, True)])
    def test_too_few_say_nothing(self, count: int, *, expected: bool) -> None:
        """From a hundred on."""
        assert expected is bool(hedge_delays(hedged_routes(configuration()), measured(count)))

    @pytest.mark.parametrize(
        "fields",
        [
            {"method": b"POST"},
            {"status": 503, "reason": "queue_full"},
            {"status": 101},
            {"route": "plain"},
            {"status": 0, "reason": "client_left"},
        ],
    )
    def test_what_says_nothing_of_a_hedge(self, fields: dict[str, Any]) -> None:
        """Other methods, errors, tunnels and other routes."""
        assert {} == hedge_delays(hedged_routes(configuration()), measured(1000, **fields))


class TestPublisher:
    async def test_tells_what_changed(self) -> None:
        """At once, and nothing while nothing changes; what is known holds when traffic stops."""
        clock = FakeClock()
        store = MeasurementStore(clock.monotonic())
        told: list[HedgeDelays] = []
        publisher = HedgeDelayPublisher(store, clock, configuration, told.append)
        await publisher.step()
        store.add(measured(1000), clock.monotonic())
        await publisher.step()
        await publisher.step()
        clock.advance(3600)
        await publisher.step()
        store.add(measured(1000, 0.08), clock.monotonic())
        await publisher.step()

        assert [HedgeDelays({"prompt": 0.05}), HedgeDelays({"prompt": 0.08})] == told
        assert {"prompt": 0.08} == publisher.published

    async def test_without_a_configuration_there_is_nothing_to_tell(self) -> None:
        """Nor with one that hedges nothing."""
        clock = FakeClock()
        store = MeasurementStore(clock.monotonic())
        store.add(measured(1000), clock.monotonic())
        told: list[HedgeDelays] = []
        for in_force in (lambda: None, lambda: configuration("50ms")):
            await HedgeDelayPublisher(store, clock, in_force, told.append).step()

        assert [] == told
