"""The load tester against real servers, good and bad ones."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pcs_gateway.loadtest import Failure, LoadTestConfig, LoadTester, TestScenario
from pcs_gateway.sample import Ending, Faults, SampleConfig, SampleServer
from tests.fakes.raw_client import RawClient

HEALTH = TestScenario(path="/api/v1/health/")


@asynccontextmanager
async def scripted(*answers: bytes, closes: bool = False) -> AsyncIterator[str]:
    """Serve the given answers, one for each request head, on every connection; give the server's URL."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
            if not closes:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def sample() -> AsyncIterator[SampleServer]:
    """One instance of the sample service."""
    async with SampleServer(SampleConfig(instance="one", seed=1)) as server:
        yield server


async def test_an_open_loop_sends_what_was_asked_for(sample: SampleServer) -> None:
    """Requests, statuses, instances and the specification's summary agree with each other."""
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url, target_rps=200, duration=1, arrivals="constant", test_scenarios=(HEALTH,)
        )
    )

    summary, metrics = report.summary, report.detailed_metrics
    assert (summary.total_requests, summary.successful_requests, summary.failed_requests) == (200, 200, 0)
    assert (metrics.statuses, metrics.instances, metrics.failures) == ({200: 200}, {"one": 200}, {})
    assert (summary.error_rate, metrics.response_time.count) == (0, 200)
    assert summary.throughput == pytest.approx(200, rel=0.05)
    assert summary.p95_response_time == metrics.response_time.p95
    assert summary.average_response_time == metrics.response_time.average > 0
    assert sum(second.answered for second in metrics.seconds) == 200
    assert metrics.body_bytes > 200 * 80


async def test_a_closed_loop_keeps_its_users_busy(sample: SampleServer) -> None:
    """Four users of a service that takes 50 ms get about 80 answers a second, one connection each."""
    sample.order(Faults(latency="50ms"))
    report = await LoadTester().run_load_test(
        LoadTestConfig(base_url=sample.url, concurrent_users=4, duration=1, test_scenarios=(HEALTH,))
    )

    assert 60 <= report.summary.total_requests <= 84
    assert report.detailed_metrics.connections == 4
    assert report.detailed_metrics.peak_in_flight == 4
    assert "closed loop" in report.warnings[-1]


async def test_users_think(sample: SampleServer) -> None:
    """Two users who think for 100 ms send about ten requests a second each."""
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url, concurrent_users=2, duration=1, think_time=0.1, test_scenarios=(HEALTH,)
        )
    )

    assert 14 <= report.summary.total_requests <= 22


async def test_a_stall_is_seen_by_every_request_that_was_due(sample: SampleServer) -> None:
    """A pause of a second is in the response times of all that were due in it, not of one (wrk2's lesson)."""
    config = LoadTestConfig(
        base_url=sample.url,
        target_rps=100,
        duration=2,
        arrivals="constant",
        concurrent_users=1,
        test_scenarios=(HEALTH,),
    )
    closed = config.model_copy(update={"target_rps": 0.0})

    async def stall(running_config: LoadTestConfig) -> tuple[float, float, int]:
        running = LoadTester().start(running_config)
        await asyncio.sleep(0.5)
        sample.order(Faults(hang=True))
        await asyncio.sleep(1)
        sample.order(Faults())
        metrics = (await running.wait()).detailed_metrics
        return metrics.response_time.p90, metrics.service_time.p90, metrics.response_time.count

    response_time, service_time, count = await stall(config)
    omitted, _, _ = await stall(closed)

    assert count == 200
    # due evenly within the stall: half of all, delayed by 0 to 1 s, so the 90th percentile is near 0.8 s
    assert 0.7 < response_time < 0.95
    assert service_time < 0.2, "the one connection sent them quickly once it could"
    assert omitted < 0.2, "who waits for answers does not notice"


async def test_a_ramp_is_seen_in_the_seconds(sample: SampleServer) -> None:
    """Over a ramp of two seconds the first has a quarter of its requests, and the third the full rate."""
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url,
            target_rps=100,
            duration=3,
            ramp_up_time=2,
            arrivals="constant",
            test_scenarios=(HEALTH,),
        )
    )

    assert report.summary.total_requests == 200
    assert [second.answered for second in report.detailed_metrics.seconds[:3]] == pytest.approx(
        [25, 75, 100], abs=6
    )


async def test_scenarios_are_drawn_by_weight(sample: SampleServer) -> None:
    """Three to one, within four standard deviations, each with figures of its own."""
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url,
            target_rps=1000,
            duration=1,
            arrivals="constant",
            seed=5,
            test_scenarios=(
                TestScenario(name="often", path="/api/v1/health/", weight=3),
                TestScenario(
                    name="seldom",
                    method="POST",
                    path="/api/v1/prompts/generate",
                    body='{"template_name": "x"}',
                ),
            ),
        )
    )

    scenarios = report.detailed_metrics.scenarios
    assert report.summary.failed_requests == 0
    assert abs(scenarios["often"].successful_requests - 750) < 4 * 14
    assert scenarios["often"].response_time.count + scenarios["seldom"].response_time.count == 1000


async def test_one_request_per_connection(sample: SampleServer) -> None:
    """Without keep-alive every request makes its connection and none is left."""
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url, target_rps=100, duration=0.5, keep_alive=False, test_scenarios=(HEALTH,)
        )
    )

    assert report.summary.failed_requests == 0
    assert report.detailed_metrics.connections == report.summary.total_requests > 20
    async with asyncio.timeout(5):
        while sample.connections:
            await asyncio.sleep(0.01)


async def test_pipelined_requests_are_all_answered(sample: SampleServer) -> None:
    """Users send five at once on their connection and go on when all five are answered."""
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url,
            concurrent_users=3,
            duration=0.5,
            pipelined_requests=5,
            test_scenarios=(HEALTH,),
        )
    )

    assert report.summary.failed_requests == 0
    assert report.summary.total_requests % 5 == 0
    assert report.detailed_metrics.peak_in_flight == 15
    assert report.detailed_metrics.connections == 3


@pytest.mark.parametrize(
    ("ending", "failure"),
    [
        (Ending.RESET, Failure.CONNECTION_RESET),
        (Ending.CLOSE, Failure.CONNECTION_CLOSED),
        (Ending.TRUNCATE, Failure.INCOMPLETE_RESPONSE),
        (Ending.GARBAGE, Failure.MALFORMED_RESPONSE),
        (Ending.HANG, Failure.RESPONSE_TIMEOUT),
        (Ending.ANSWER, Failure.UNEXPECTED_STATUS),
    ],
)
async def test_each_way_to_fail_is_told_apart(sample: SampleServer, ending: Ending, failure: Failure) -> None:
    """A failing service is counted by how it fails, with examples in full."""
    sample.order(Faults(error_share=1, error_ending=ending))
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url, target_rps=100, duration=0.3, timeout=0.3, arrivals="constant",
            test_scenarios=(HEALTH,),
        )
    )  # fmt: skip

    assert report.detailed_metrics.failures == {failure.value: 30}
    assert (report.summary.failed_requests, report.summary.error_rate) == (30, 1)
    assert report.detailed_metrics.failed[0].failure == failure
    assert failure.value in report.recommendations[0]


async def test_only_a_share_fails(sample: SampleServer) -> None:
    """A fault of a third of the requests is a third of the report, and only that."""
    sample.order(Faults(error_share=0.33, error_status=502))
    report = await LoadTester().run_load_test(
        LoadTestConfig(base_url=sample.url, target_rps=600, duration=1, test_scenarios=(HEALTH,), seed=3)
    )

    statuses = report.detailed_metrics.statuses
    assert set(statuses) == {200, 502}
    assert report.summary.failed_requests == statuses[502]
    assert report.summary.error_rate == pytest.approx(0.33, abs=0.08)


async def test_nobody_listens() -> None:
    """Refused connections are failures that were never sent, and users do not run wild on them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    opened = await LoadTester().run_load_test(
        LoadTestConfig(base_url=url, target_rps=100, duration=0.3, arrivals="constant")
    )
    closed = await LoadTester().run_load_test(LoadTestConfig(base_url=url, concurrent_users=2, duration=0.3))

    assert opened.detailed_metrics.failures == {"connection_refused": 30}
    assert opened.detailed_metrics.response_time.count == 0
    assert set(closed.detailed_metrics.failures) == {"connection_refused"}
    assert closed.summary.total_requests <= 2 * 8


async def test_refusals_hold_nobody_up_who_waits_behind() -> None:
    """With a single connection allowed, each request that waits gets its own refusal, soon."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    crowd = LoadTestConfig(
        base_url=url, target_rps=10_000, duration=0.01, arrivals="constant", concurrent_users=1, timeout=2
    )

    report = await LoadTester().run_load_test(crowd)

    assert report.detailed_metrics.failures == {"connection_refused": 100}


async def test_a_full_backlog_is_a_connection_timeout() -> None:
    """Where the machine does not take the connection, that is told from a refusal."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        report = await LoadTester().run_load_test(
            LoadTestConfig(
                base_url=f"http://127.0.0.1:{address[1]}",
                target_rps=20,
                duration=0.2,
                connect_timeout=0.2,
                arrivals="constant",
            )
        )
        for filler in fillers:
            filler.close()

    assert report.detailed_metrics.failures == {"connection_timeout": 4}


async def test_too_few_connections_are_told(sample: SampleServer) -> None:
    """What waits for a free connection waits in its response time, and is given up in the end."""
    sample.order(Faults(hang=True))
    report = await LoadTester().run_load_test(
        LoadTestConfig(
            base_url=sample.url, target_rps=50, duration=0.4, timeout=0.5, concurrent_users=2,
            arrivals="constant", test_scenarios=(HEALTH,),
        )
    )  # fmt: skip

    failures = report.detailed_metrics.failures
    assert failures["http_response_timeout"] >= 2
    assert failures["no_free_connection"] >= 10
    assert report.detailed_metrics.response_time.count == 20
    assert any("all 2 connections were busy" in warning for warning in report.warnings)


async def test_a_body_ended_by_close_is_complete() -> None:
    """Without Content-Length and chunked the end of the connection is the end of the answer."""
    async with scripted(b"HTTP/1.1 200 OK\r\n\r\nall of it", closes=True) as url:
        report = await LoadTester().run_load_test(
            LoadTestConfig(base_url=url, target_rps=20, duration=0.5, arrivals="constant")
        )

    assert report.summary.failed_requests == 0
    assert report.detailed_metrics.body_bytes == 10 * len(b"all of it")


async def test_interim_answers_are_no_answers() -> None:
    """100 and 103 come before the answer and are not counted."""
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
    answer += b"HTTP/1.1 204 No Content\r\n\r\n"
    async with scripted(*[answer] * 100) as url:
        report = await LoadTester().run_load_test(
            LoadTestConfig(base_url=url, target_rps=20, duration=0.5, arrivals="constant")
        )

    assert report.detailed_metrics.statuses == {204: 10}
    assert report.detailed_metrics.connections == 1


async def test_an_answer_to_head_has_no_body() -> None:
    """The Content-Length of an answer to HEAD is nobody's body: the connection is used again."""
    async with scripted(*[b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"] * 100) as url:
        report = await LoadTester().run_load_test(
            LoadTestConfig(
                base_url=url,
                target_rps=20,
                duration=0.5,
                arrivals="constant",
                test_scenarios=(TestScenario(method="HEAD"),),
            )
        )

    assert report.detailed_metrics.statuses == {200: 10}
    assert (report.detailed_metrics.connections, report.detailed_metrics.body_bytes) == (1, 0)


async def test_a_test_in_the_background_is_stopped_and_reports(sample: SampleServer) -> None:
    """Stopping early waits for what is in flight; the figures are of the time it ran."""
    sample.order(Faults(latency="100ms"))
    running = LoadTester().start(
        LoadTestConfig(base_url=sample.url, target_rps=100, duration=60, test_scenarios=(HEALTH,))
    )
    async with asyncio.timeout(5):
        while running.measurements.successful < 20:
            await asyncio.sleep(0.01)
    in_flight = running.measurements.in_flight
    report = await running.stop()

    assert in_flight > 0
    assert report.summary.failed_requests == 0
    assert report.summary.total_requests == report.summary.successful_requests >= 20 + in_flight - 1
    assert report.detailed_metrics.duration < 5
    assert report.timestamp.tzinfo is not None


async def test_a_cancelled_test_leaves_nothing(sample: SampleServer) -> None:
    """Cancelled, it drops its connections and its tasks."""
    sample.order(Faults(hang=True))
    running = LoadTester().start(
        LoadTestConfig(base_url=sample.url, target_rps=100, duration=60, test_scenarios=(HEALTH,))
    )
    async with asyncio.timeout(5):
        while sample.in_flight < 5:
            await asyncio.sleep(0.01)
    before = {task for task in asyncio.all_tasks() if task.get_name().startswith("load test")}
    await running.cancel()
    sample.order(Faults())
    async with asyncio.timeout(5):
        while sample.connections:
            await asyncio.sleep(0.01)

    assert before
    assert not {task for task in asyncio.all_tasks() if task.get_name().startswith("load test")}


async def test_a_tester_that_is_held_up_says_so(sample: SampleServer) -> None:
    """When the tester's own loop stands still, the report warns that the times are partly its own."""
    running = LoadTester().start(
        LoadTestConfig(
            base_url=sample.url, target_rps=200, duration=1, arrivals="constant", test_scenarios=(HEALTH,)
        )
    )
    await asyncio.sleep(0.3)
    time.sleep(0.3)
    report = await running.wait()

    assert report.summary.total_requests == 200
    assert report.detailed_metrics.lateness.max > 0.25
    assert "the load tester itself was late" in report.warnings[0]


async def test_a_name_nobody_has_is_an_error() -> None:
    """A host that cannot be resolved ends the test before it begins."""
    with pytest.raises(OSError, match=r".+"):
        await LoadTester().run_load_test(LoadTestConfig(base_url="http://nowhere.invalid", duration=1))


async def test_the_sample_survives_the_tester(sample: SampleServer) -> None:
    """After a test the service answers others."""
    await LoadTester().run_load_test(
        LoadTestConfig(base_url=sample.url, concurrent_users=8, duration=0.2, test_scenarios=(HEALTH,))
    )
    async with RawClient(sample.port) as client:
        assert (await client.ask("GET /api/v1/health/")).status == 200
