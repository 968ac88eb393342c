"""The page /metrics."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pcs_gateway.telemetry.attempt_exposition import AttemptCollector, BudgetFigures
from pcs_gateway.telemetry.delta import Decision, Delta, Event
from pcs_gateway.telemetry.exposition import (
    BuildCollector,
    FiguresCollector,
    MeasurementCollector,
    render_metrics,
    status_class,
)
from pcs_gateway.telemetry.figures import BackendFigures, GatewayFigures, LevelFigures
from pcs_gateway.telemetry.recorder import Recorder
from pcs_gateway.telemetry.store import MeasurementStore
from tests.fakes.exchanges import make_record, make_refusal

GOLDEN = Path(__file__).with_name("golden") / "metrics.txt"

FIGURES = GatewayFigures(
    started=1_700_000_000.5,
    backends=(
        BackendFigures("pcs", "one", ready=True, weight=1, in_flight=3, connections=5),
        BackendFigures("pcs", "two", ready=False, weight=2, in_flight=0, connections=0),
    ),
    levels=(
        LevelFigures("pcs", 0, load=0.7, is_panicking=True),
        LevelFigures("pcs", 1, load=0.3, is_panicking=False),
    ),
    waiters={"pcs": 4},
    limits={"pcs": 96},
    overloaded={"pcs": 1},
    client_connections={"0": 33, "1": 31},
    client_connections_limits={"0": 20000, "1": 19800},
    rate_limit_fill={"routes.prompt.rate_limits[0]": 0.25},
    worker_restarts=1,
    health_flips={("pcs", "two", "unhealthy"): 2, ("pcs", "two", "healthy"): 1},
    reloads={"applied": 2, "rejected": 1},
)

BUDGETS = {"pcs": BudgetFigures(98.5, 4.25), "reports": BudgetFigures(100.0)}


def store_of(delta: Delta) -> MeasurementStore:
    """Return a store that added this delta."""
    store = MeasurementStore(0.0)
    store.add(delta, 1.0)
    return store


def measured() -> MeasurementStore:
    """Return a store with one of everything."""
    recorder = Recorder()
    for record in (
        make_record(duration=0.25, upstream_time=0.125, request_bytes=10),
        make_record(duration=0.003, upstream_time=0.002),
        make_record(method=b"BREW", status=404),
        make_record(
            status=503, reason="upstream_reset", attempts=2, outcomes=(("two", "reset"), ("one", "reset"))
        ),
        make_record(status=101, duration=3600.0),
        make_refusal(400, "malformed_field", route="", pool=""),
        make_refusal(0, "client_left"),
    ):
        recorder.record(record)
    recorder.count_connection(opened=True)
    recorder.count_connection(opened=True)
    recorder.count_connection(opened=False)
    for decision, reason in (
        (Decision.RETRY, "http_503"),
        (Decision.RETRY_DENIED, "budget"),
        (Decision.RETRY_DENIED, "method"),
        (Decision.RETRY_DENIED, "budget"),
        (Decision.HEDGE, "started"),
        (Decision.HEDGE, "won"),
        (Decision.HEDGE_DENIED, "slow"),
    ):
        recorder.decide("pcs", decision, reason)
    for event, amount in (
        (Event.ACCESS_LOG_WRITTEN, 5),
        (Event.ACCESS_LOG_DROPPED, 2),
        (Event.GC_PAUSES, 1),
        (Event.GC_PAUSE_NANOSECONDS, 6_500_000),
    ):
        recorder.count(event, amount)
    recorder.waited("pcs", 0.003)
    recorder.shed("pcs", "normal", "overload")
    recorder.shed("pcs", "low", "queue_full")
    return store_of(recorder.take_delta())


def page() -> str:
    """Return the page with one of everything."""
    store = measured()
    collectors = [
        MeasurementCollector(store),
        AttemptCollector(store, lambda: BUDGETS),
        FiguresCollector(lambda: FIGURES),
    ]
    return render_metrics(collectors).decode()


def families(text: str) -> dict[str, Metric]:
    """Parse a page as Prometheus does."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one name by the values of its labels, in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families(text).values()
        for sample in family.samples
        if sample.name == name
    }


def test_page_is_the_golden_one() -> None:
    """The whole page, as agreed; what changes here changes somebody's dashboard."""
    assert GOLDEN.read_text() == page()


class TestValues:
    def test_requests_by_route_method_and_class(self) -> None:
        """Unknown methods are one label; no route and no response have names of their own."""
        assert samples(page(), "pcs_gateway_requests_total") == {
            ("GET", "prompt", "2xx"): 2.0,
            ("other", "prompt", "4xx"): 1.0,
            ("GET", "prompt", "5xx"): 1.0,
            ("GET", "prompt", "1xx"): 1.0,
            ("GET", "-", "4xx"): 1.0,
            ("GET", "prompt", "none"): 1.0,
        }

    def test_tunnels_are_no_durations(self) -> None:
        """The hour of a WebSocket is in the requests, and not in the histogram."""
        counts = samples(page(), "pcs_gateway_request_duration_seconds_count")

        assert counts == {("prompt",): 5.0, ("-",): 1.0}

    def test_attempts_by_backend_and_outcome(self) -> None:
        """Retries and plain attempts stand side by side."""
        assert samples(page(), "pcs_gateway_attempts_total") == {
            ("one", "success", "pcs"): 4.0,
            ("one", "reset", "pcs"): 1.0,
            ("two", "reset", "pcs"): 1.0,
        }

    def test_refusals_and_errors(self) -> None:
        """All reasons are refusals; those that the service is to blame for are errors."""
        text = page()

        assert samples(text, "pcs_gateway_refusals_total") == {
            ("upstream_reset",): 1.0,
            ("malformed_field",): 1.0,
            ("client_left",): 1.0,
        }
        assert samples(text, "pcs_gateway_errors_total") == {("upstream_reset",): 1.0}

    def test_figures_are_read_when_the_page_is(self) -> None:
        """The second page has the second reading."""
        readings = iter([FIGURES, GatewayFigures(worker_restarts=2)])
        collector = FiguresCollector(lambda: next(readings))
        restarts = [
            samples(render_metrics([collector]).decode(), "pcs_gateway_worker_restarts_total")
            for _ in range(2)
        ]

        assert restarts == [{(): 1.0}, {(): 2.0}]

    def test_build_names_the_version(self) -> None:
        """The version is a label of a constant."""
        text = render_metrics([BuildCollector("1.2.3")]).decode()

        assert re.search(
            r'^pcs_gateway_build_info\{python="3\.[\d.]+\S*",version="1\.2\.3"\} 1\.0$', text, re.MULTILINE
        )

    @pytest.mark.parametrize(
        ("status", "name"),
        [(0, "none"), (100, "1xx"), (204, "2xx"), (599, "5xx"), (600, "other"), (999, "other")],
    )
    def test_status_classes_are_few(self, status: int, name: str) -> None:
        """Odd codes of a backend make no new classes."""
        assert name == status_class(status)

    def test_nothing_measured_is_a_page_too(self) -> None:
        """A gateway that has just started can be scraped."""
        collectors = [MeasurementCollector(MeasurementStore(0.0)), FiguresCollector(GatewayFigures)]

        assert families(render_metrics(collectors).decode())


class TestHistograms:
    @given(st.lists(st.integers(0, 100 * 10**9), min_size=1, max_size=50))
    def test_buckets_are_exact(self, nanoseconds: list[int]) -> None:
        """Each bucket counts exactly the durations up to its bound, and the sum is theirs."""
        durations = [duration / 1e9 for duration in nanoseconds]
        recorder = Recorder()
        for seconds in durations:
            recorder.record(make_record(duration=seconds))
        text = render_metrics([MeasurementCollector(store_of(recorder.take_delta()))]).decode()
        buckets = samples(text, "pcs_gateway_request_duration_seconds_bucket")
        total = samples(text, "pcs_gateway_request_duration_seconds_sum")[("prompt",)]

        for (bound, _), count in buckets.items():
            assert sum(seconds <= float(bound) for seconds in durations) == count
        assert math.isclose(sum(durations), total, rel_tol=1e-9, abs_tol=1e-8)


class TestLint:
    """What promtool would complain about."""

    @pytest.fixture(params=["measured", "build"])
    def metrics(self, request: pytest.FixtureRequest) -> list[Metric]:
        """Return all families of the page."""
        text = page() if request.param == "measured" else render_metrics([BuildCollector("1")]).decode()
        return list(families(text).values())

    def test_each_family_has_help_and_a_type(self, metrics: list[Metric]) -> None:
        """Somebody who reads the page learns what a value means."""
        assert [] == [
            family.name for family in metrics if not family.documentation or family.type == "unknown"
        ]

    def test_names_have_one_prefix_and_plain_characters(self, metrics: list[Metric]) -> None:
        """Lower case, no colon, the name of the application first."""
        assert [] == [f.name for f in metrics if not re.fullmatch(r"pcs_gateway(_[a-z]+)+", f.name)]

    def test_suffixes_mean_what_prometheus_means(self, metrics: list[Metric]) -> None:
        """_total on counters only; _count, _sum and _bucket on histograms only."""
        for family in metrics:
            for sample in family.samples:
                assert sample.name.endswith("_total") == (family.type == "counter")
                is_part = sample.name.removeprefix(family.name) in {"_count", "_sum", "_bucket"}
                assert is_part == (family.type == "histogram")

    def test_units_are_base_units_at_the_end(self, metrics: list[Metric]) -> None:
        """Seconds and bytes; nothing in milli, percent or another unit."""
        units = r"_(milliseconds|ms|us|minutes|hours|kb|mb|kilobytes|megabytes|percent|ratio_percent)(_|$)"

        for family in metrics:
            assert not re.search(units, family.name)
            assert re.search(r"_(seconds|bytes)$", family.name) or not re.search(
                r"(seconds|bytes)", family.name
            )

    def test_labels_are_plain_and_not_the_scraper_s(self, metrics: list[Metric]) -> None:
        """The labels job and instance belong to Prometheus; le stands on buckets only."""
        for family in metrics:
            for sample in family.samples:
                for label in sample.labels:
                    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", label)
                    assert label not in {"job", "instance", "quantile"}
                    assert (label == "le") <= sample.name.endswith("_bucket")

    def test_histograms_are_complete(self, metrics: list[Metric]) -> None:
        """Buckets grow, end with +Inf, and that is the count."""
        for family in metrics:
            if family.type == "histogram":
                for counts, total in histograms_of(family):
                    assert sorted(counts) == counts
                    assert counts[-1] == total

    def test_no_series_appears_twice(self, metrics: list[Metric]) -> None:
        """A name with its labels is one value."""
        names = [(s.name, *sorted(s.labels.items())) for family in metrics for s in family.samples]

        assert len(set(names)) == len(names)


def histograms_of(family: Metric) -> Iterator[tuple[list[float], float]]:
    """Yield the buckets, in the order of the page, and the count of each histogram of a family."""
    buckets: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for sample in family.samples:
        label = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(label, []).append(sample.value)
        if sample.name.endswith("_count"):
            yield buckets[label], sample.value


@pytest.mark.parametrize("name", ['quote"s', "back\\slash", "line\nend", "ünïcode", "brace}{"])
def test_names_are_escaped(name: str) -> None:
    """Whatever a pool is called, the page can be read."""
    recorder = Recorder()
    recorder.record(make_record(pool=name, backend=name, route=name))
    figures = GatewayFigures(waiters={name: 1})
    collectors = [MeasurementCollector(store_of(recorder.take_delta())), FiguresCollector(lambda: figures)]
    text = render_metrics(collectors).decode()

    assert samples(text, "pcs_gateway_waiting_requests") == {(name,): 1.0}
    assert samples(text, "pcs_gateway_attempts_total") == {(name, "success", name): 1.0}
