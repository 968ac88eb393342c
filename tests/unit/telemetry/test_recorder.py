"""A worker's measurements."""

import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.telemetry.delta import Delta, Event
from pcs_gateway.telemetry.histogram import Histogram
from pcs_gateway.telemetry.record import ExchangeRecord
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.exchanges import make_record, make_refusal

DURATIONS = st.floats(0.0, 1e6)
RECORDS = st.builds(
    make_record,
    route=st.sampled_from(["prompt", "context", ""]),
    backend=st.sampled_from(["one", "two"]),
    method=st.sampled_from([b"GET", b"POST", b"BREW", b"STEAM"]),
    status=st.sampled_from([0, 200, 404, 500, 502]),
    duration=DURATIONS,
    upstream_time=DURATIONS,
    gateway_time=st.floats(0.0, 1.0),
    outcomes=st.sampled_from([(), (("two", "connect_failure"), ("one", "success"))]),
    reason=st.sampled_from(["", "connect_failed", "client_left"]),
    request_bytes=st.integers(0, 2**40),
    response_bytes=st.integers(0, 2**40),
)


def delta_of(*records: ExchangeRecord) -> Delta:
    """Return what one recorder measured of these exchanges."""
    recorder = Recorder()
    for record in records:
        recorder.record(record)
    return recorder.take_delta()


def outcomes_of(delta: Delta) -> dict[str, dict[str, int]]:
    """Return the attempts by backend and outcome."""
    return {backend: counts.outcomes for _, backend, counts in delta.each_backend()}


class TestExchanges:
    def test_exchange_is_counted_by_route_method_and_status(self) -> None:
        """Each of the three keeps exchanges apart."""
        delta = delta_of(
            make_record(),
            make_record(),
            make_record(method=b"POST"),
            make_record(status=404),
            make_record(route="context"),
        )
        counts = {
            (route, method, status): counts.durations.count
            for route, method, status, counts in delta.each_exchange()
        }

        assert counts == {
            ("prompt", "GET", 200): 2,
            ("prompt", "POST", 200): 1,
            ("prompt", "GET", 404): 1,
            ("context", "GET", 200): 1,
        }

    def test_unknown_methods_are_counted_together(self) -> None:
        """A client that invents methods adds neither labels nor memory."""
        records = [make_record(method=b"M%d" % number) for number in range(100)]
        delta = delta_of(*records, make_record(method=b"other"))

        assert {"other": 101} == {
            method: counts.durations.count for _, method, _, counts in delta.each_exchange()
        }

    def test_sums_are_those_of_the_exchanges(self) -> None:
        """Bytes and the gateway's own time add up."""
        counts = delta_of(
            make_record(gateway_time=0.5, request_bytes=10, response_bytes=3),
            make_record(gateway_time=0.25, request_bytes=5, response_bytes=4),
        ).exchange_counts("prompt", "GET", 200)

        assert (750_000_000, 15, 7) == (counts.gateway_ns, counts.request_bytes, counts.response_bytes)

    @given(st.lists(DURATIONS, min_size=1, max_size=50))
    def test_durations_are_what_a_histogram_records(self, durations: list[float]) -> None:
        """The fast way of the recorder and the plain way of the histogram count alike."""
        delta = delta_of(*(make_record(duration=seconds) for seconds in durations))
        counted = delta.exchange_counts("prompt", "GET", 200).durations
        expected = Histogram()
        for seconds in durations:
            expected.record(seconds)

        assert (expected.counts, expected.maximum_ns) == (counted.counts, counted.maximum_ns)
        assert abs(expected.total_ns - counted.total_ns) <= len(durations) + expected.total_ns * 1e-12

    @given(st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=50))
    def test_upstream_times_are_counted_like_durations(self, durations: list[float]) -> None:
        """A backend's histogram is that of a route whose exchanges lasted as long."""
        delta = delta_of(*(make_record(duration=seconds, upstream_time=seconds) for seconds in durations))

        assert (
            delta.exchange_counts("prompt", "GET", 200).durations
            == delta.backend_counts("pcs", "one").durations
        )


class TestAttempts:
    def test_plain_exchange_is_one_successful_attempt(self) -> None:
        """A record without outcomes needs none: the answer says it."""
        assert outcomes_of(delta_of(make_record(), make_record(status=404))) == {"one": {"success": 2}}

    def test_server_error_is_an_outcome(self) -> None:
        """An answer with a status of 500 and more is no success."""
        delta = delta_of(make_record(status=503), make_record())

        assert outcomes_of(delta) == {"one": {"server_error": 1, "success": 1}}

    def test_answer_that_broke_off_is_no_success(self) -> None:
        """The reason for which the exchange could not be finished is the attempt's outcome."""
        delta = delta_of(make_record(reason="response_incomplete"), make_record())

        assert outcomes_of(delta) == {"one": {"response_incomplete": 1, "success": 1}}

    def test_each_of_several_attempts_counts_once(self) -> None:
        """With outcomes in the record, those are the attempts, and the answered one is not counted again."""
        retried = make_record(attempts=2, outcomes=(("two", "connect_failure"), ("one", "success")))
        delta = delta_of(retried, make_record())

        assert outcomes_of(delta) == {"two": {"connect_failure": 1}, "one": {"success": 2}}

    def test_failed_attempts_have_no_upstream_time(self) -> None:
        """A backend that answered nothing adds to its outcomes and to no histogram."""
        failed = make_refusal(502, "connect_failed", backend="one", outcomes=(("one", "connect_failure"),))
        counts = delta_of(failed).backend_counts("pcs", "one")

        assert (0, {"connect_failure": 1}) == (counts.durations.count, counts.outcomes)

    def test_attempt_without_an_exchange_is_counted(self) -> None:
        """A hedge that lost is an attempt too."""
        recorder = Recorder()
        recorder.attempt("pcs", "two", "cancelled")

        assert outcomes_of(recorder.take_delta()) == {"two": {"cancelled": 1}}

    def test_backends_of_two_pools_may_share_a_name(self) -> None:
        """Pools keep their backends apart."""
        delta = delta_of(make_record(pool="pcs"), make_record(pool="reports"))

        assert {("pcs", "one"), ("reports", "one")} == {
            (pool, name) for pool, name, _ in delta.each_backend()
        }


class TestReasons:
    def test_reason_of_an_exchange_is_counted(self) -> None:
        """Refusals of requests, and of what never became one, stand in one table."""
        recorder = Recorder()
        recorder.record(make_refusal(431, "head_too_large"))
        recorder.refuse("head_too_large")
        recorder.refuse("malformed_field")

        assert recorder.take_delta().reasons == {"head_too_large": 2, "malformed_field": 1}

    def test_errors_are_counted_by_type(self) -> None:
        """What a client did wrong is a reason and no error."""
        delta = delta_of(
            make_record(status=500),
            make_refusal(503, "queue_full"),
            make_refusal(413, "body_too_large"),
            make_refusal(0, "client_left"),
        )

        assert delta.errors == {"http_500": 1, "queue_full": 1}


class TestEvents:
    def test_connections_are_counted(self) -> None:
        """Connections opened and closed are two counters."""
        recorder = Recorder()
        recorder.count_connection(opened=True)
        recorder.count_connection(opened=True)
        recorder.count_connection(opened=False)

        assert recorder.take_delta().events == {Event.CONNECTION_OPENED: 2, Event.CONNECTION_CLOSED: 1}

    def test_amounts_add_up(self) -> None:
        """An event may count more than one at once."""
        recorder = Recorder()
        recorder.count(Event.ACCESS_LOG_DROPPED, 7)
        recorder.count(Event.ACCESS_LOG_DROPPED)

        assert recorder.take_delta().events == {"access_log_dropped": 8}


class TestTakeDelta:
    @given(st.lists(st.one_of(RECORDS, st.none()), max_size=60))
    def test_every_exchange_is_in_exactly_one_delta(self, script: list[Any]) -> None:
        """However often a delta is taken (None) between exchanges, their sum is that of all at once."""
        recorder, whole, total = Recorder(), Recorder(), Delta()
        for step in script:
            if step is None:
                total.merge(recorder.take_delta())
            else:
                recorder.record(step)
                whole.record(step)
        total.merge(recorder.take_delta())

        assert without_sums(whole.take_delta()) == without_sums(total)

    def test_nothing_measured_is_an_empty_delta(self) -> None:
        """A delta holds no zeros: what is taken is gone."""
        recorder = Recorder()
        recorder.record(make_record())
        recorder.take_delta()

        assert recorder.take_delta().is_empty()

    def test_counting_goes_on_after_a_delta(self) -> None:
        """A taken delta is not changed by what comes later, nor the later one by it."""
        recorder = Recorder()
        recorder.record(make_record())
        first = recorder.take_delta()
        recorder.record(make_record(status=500))
        recorder.record(make_record())

        assert (1, 2) == (first.count, recorder.take_delta().count)

    def test_sums_begin_again(self) -> None:
        """A second delta knows nothing of the durations and bytes of the first."""
        recorder = Recorder()
        recorder.record(make_record(duration=9.0, gateway_time=5.0, request_bytes=7))
        recorder.take_delta()
        recorder.record(make_record())

        assert delta_of(make_record()) == recorder.take_delta()


def without_sums(delta: Delta) -> Delta:
    """Set the sums of float seconds to 0: rounded once or several times they differ by nanoseconds."""
    for _, _, _, counts in delta.each_exchange():
        counts.gateway_ns = counts.durations.total_ns = 0
    for _, _, backend in delta.each_backend():
        backend.durations.total_ns = 0
    return delta


def test_worker_needs_neither_psutil_nor_prometheus_nor_aiohttp() -> None:
    """What a worker imports of telemetry stays small."""
    program = (
        "import sys\n"
        "from pcs_gateway.telemetry import access_log, garbage, recorder, logging\n"
        "print(*sorted({'psutil', 'prometheus_client', 'aiohttp'} & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == ""


class TestQueues:
    def test_waits_and_sheds(self) -> None:
        """Who waited and got a backend, and who was shed, by class and reason; each in one delta."""
        recorder = Recorder()
        recorder.waited("pcs", 0.25)
        recorder.shed("pcs", "low", "overload")
        recorder.shed("pcs", "low", "overload")
        recorder.shed("pcs", "high", "queue_full")
        queue = recorder.take_delta().queues["pcs"]

        assert (1, 0.25) == (queue.waits.count, queue.waits.total)
        assert {"low": {"overload": 2}, "high": {"queue_full": 1}} == queue.sheds
        assert recorder.take_delta().is_empty()

    def test_mean_upstream_time(self) -> None:
        """Over all backends of the pool, since the last delta."""
        recorder = Recorder()
        assert 0.0 == recorder.mean_upstream_time("pcs")
        recorder.record(make_record(upstream_time=0.25))
        recorder.record(make_record(backend="two", upstream_time=0.75))
        recorder.record(make_record(pool="other", upstream_time=9.0))

        assert 0.5 == recorder.mean_upstream_time("pcs")
        recorder.take_delta()
        assert 0.0 == recorder.mean_upstream_time("pcs")
