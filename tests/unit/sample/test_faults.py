"""Faults to order: the decision, and what a client sees of each."""

import asyncio
import json
import time
from random import Random

import pytest

from pcs_gateway.sample import Database, Ending, Faults, SampleServer
from pcs_gateway.sample.faults import NO_FAULT, Delay, decide
from tests.fakes.raw_client import RawClient


def test_shares_are_kept_within_chance() -> None:
    """Of 10,000 requests a fifth fails and a tenth is slow, within four standard deviations."""
    faults = Faults(error_share=0.2, slow_share=0.1, slow_latency="50ms")
    random = Random(7)
    decisions = [decide(faults, "/", random) for _ in range(10_000)]

    assert abs(sum(one.ending is Ending.ANSWER for one in decisions) - 2000) < 160
    assert abs(sum(one.delay == 0.05 for one in decisions) - 1000) < 120


def test_paths_narrow_faults_and_the_control_is_free() -> None:
    """Only the prefixes named are concerned; the route that ends a fault never is."""
    faults = Faults(hang=True, paths=("/api/v1/prompts",))

    assert decide(faults, "/api/v1/prompts/", Random(1)).ending is Ending.HANG
    assert decide(faults, "/api/v1/health/", Random(1)) == NO_FAULT
    assert decide(Faults(hang=True), "/sample/faults", Random(1)) == NO_FAULT


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("20ms", 0.02, 0.02),
        ("uniform 5ms 40ms", 0.005, 0.04),
        ("exponential 20ms", 0.0, 1.0),
        ("lognormal 20ms 0.5", 0.001, 1.0),
    ],
)
def test_a_delay_is_drawn_from_its_distribution(text: str, low: float, high: float) -> None:
    """Every draw is within the distribution's range, and the middle is where it should be."""
    random = Random(3)
    delay = Delay.parse(text)
    drawn = sorted(delay.draw(random) for _ in range(2001))

    assert low <= drawn[0]
    assert drawn[-1] <= high
    assert 0.012 < drawn[1000] < 0.024


@pytest.mark.parametrize("text", ["", "20", "normal 5ms", "uniform 5ms", "lognormal 20ms x", "5ms 6ms"])
def test_a_wrong_delay_says_what_is_allowed(text: str) -> None:
    """The error names what was found."""
    with pytest.raises(ValueError, match="delay"):
        Delay.parse(text)


@pytest.mark.parametrize(
    ("ending", "raw"),
    [(Ending.CLOSE, b""), (Ending.GARBAGE, b"\x00\x01 this is no HTTP \xff\xfe\r\n\r\n")],
)
async def test_instead_of_an_answer_there_can_be_an_end(
    sample: SampleServer, ending: Ending, raw: bytes
) -> None:
    """The connection ends in order, with nothing or with no HTTP."""
    sample.order(Faults(error_share=1, error_ending=ending))
    async with RawClient(sample.port) as client:
        client.send("GET /api/v1/health/")

        assert await client.read_end() == raw


async def test_a_reset_is_a_reset(sample: SampleServer) -> None:
    """The client sees ECONNRESET, not an orderly end."""
    sample.order(Faults(error_share=1, error_ending=Ending.RESET))
    async with RawClient(sample.port) as client:
        client.send("GET /api/v1/health/")
        with pytest.raises(ConnectionResetError):
            await client.read_end()


async def test_a_truncated_answer_ends_in_its_body(sample: SampleServer) -> None:
    """The head promises more than comes."""
    sample.order(Faults(error_share=1, error_ending=Ending.TRUNCATE))
    async with RawClient(sample.port) as client:
        client.send("GET /api/v1/prompts/?size=20")
        with pytest.raises(asyncio.IncompleteReadError):
            await client.read_answer()


async def test_failures_are_answered_with_the_status_ordered(sample: SampleServer) -> None:
    """An ordered status comes in PCS's shape; an unhandled one closes."""
    sample.order(Faults(error_share=1, error_status=502))
    async with RawClient(sample.port) as client:
        answer = await client.ask("GET /api/v1/health/")
        sample.order(Faults(error_share=1, error_ending=Ending.UNHANDLED))
        unhandled = await client.ask("GET /api/v1/health/")

        assert await client.read_end() == b""
    assert (answer.status, json.loads(answer.body)["error"]) == (502, "HTTPError")
    assert (unhandled.status, "x-process-time" in unhandled.fields) == (500, False)


async def test_a_hanging_instance_accepts_and_answers_late(sample: SampleServer) -> None:
    """Nothing comes while it hangs; ended over HTTP, what hung is answered."""
    sample.order(Faults(hang=True))
    async with RawClient(sample.port) as client, RawClient(sample.port) as operator:
        client.send("GET /api/v1/health/")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.reader.read(1)
        ended = await operator.ask("DELETE /sample/faults")
        answer = await client.read_answer()

    assert (ended.status, answer.status) == (200, 200)
    assert json.loads(ended.body)["hang"] is False


async def test_latency_delays_and_work_blocks(sample: SampleServer) -> None:
    """Two delayed requests wait side by side, two that burn CPU one after the other."""
    async with RawClient(sample.port) as first, RawClient(sample.port) as second:
        durations = []
        for faults in (Faults(latency="100ms"), Faults(work="100ms")):
            sample.order(faults)
            started = time.monotonic()
            await asyncio.gather(first.ask("GET /api/v1/health/"), second.ask("GET /api/v1/health/"))
            durations.append(time.monotonic() - started)

    assert 0.1 <= durations[0] < 0.2
    assert durations[1] >= 0.2


async def test_readiness_and_liveness_differ(sample: SampleServer) -> None:
    """Ordered not to be ready, readiness is 503 with an object as message, liveness 200."""
    sample.order(Faults(not_ready=True))
    async with RawClient(sample.port) as client:
        ready = await client.ask("GET /api/v1/health/readiness")
        alive = await client.ask("GET /api/v1/health/liveness")

    assert (ready.status, alive.status) == (503, 200)
    assert json.loads(ready.body)["message"]["status"] == "not_ready"


async def test_a_database_that_is_down_fails_data_routes_with_500(sample: SampleServer) -> None:
    """Readiness 503, data 500 and never 503, generate and liveness 200."""
    sample.order(Faults(database=Database.DOWN))
    async with RawClient(sample.port) as client:
        statuses = [
            (await client.ask(f"GET /api/v1/{path}")).status
            for path in ("health/readiness", "prompts/", "contexts/", "health/liveness")
        ]
        generated = await client.ask("POST /api/v1/prompts/generate", body=b"{}")

    assert statuses == [503, 500, 500, 200]
    assert generated.status == 200


async def test_a_frozen_database_hangs_readiness_and_data(sample: SampleServer) -> None:
    """Liveness answers, readiness does not, until the database is back."""
    sample.order(Faults(database=Database.FROZEN))
    async with RawClient(sample.port) as client, RawClient(sample.port) as other:
        client.send("GET /api/v1/health/readiness")
        alive = await other.ask("GET /api/v1/health/liveness")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.reader.read(1)
        sample.order(Faults())

        assert (await client.read_answer()).status == 200
    assert alive.status == 200


async def test_faults_are_ordered_over_http(sample: SampleServer) -> None:
    """PUT replaces, PATCH changes, DELETE ends; what is wrong is told and changes nothing."""
    async with RawClient(sample.port) as client:
        put = await client.ask("PUT /sample/faults", body=b'{"error_share": 0.5}')
        patched = await client.ask("PATCH /sample/faults", body=b'{"latency": "5ms"}')
        unknown = await client.ask("PATCH /sample/faults", body=b'{"eror_share": 1}')
        wrong = await client.ask("PUT /sample/faults", body=b'{"latency": "soon"}')
        shown = await client.ask("GET /sample/faults")
        ended = await client.ask("DELETE /sample/faults")

    assert json.loads(put.body)["error_share"] == 0.5
    assert (json.loads(patched.body)["error_share"], json.loads(patched.body)["latency"]) == (0.5, "5ms")
    assert (unknown.status, wrong.status) == (422, 422)
    assert b"eror_share" in unknown.body
    assert shown.body == patched.body
    assert json.loads(ended.body)["error_share"] == 0


async def test_resources_can_be_made_up(sample: SampleServer) -> None:
    """An ordered CPU use is told instead of the truth."""
    sample.order(Faults(cpu_usage=0.97))
    async with RawClient(sample.port) as client:
        answer = await client.ask("GET /api/v1/health/resources")

    assert json.loads(answer.body)["cpu_usage"] == 0.97


async def test_an_instance_inside_another_program_refuses_to_die(sample: SampleServer) -> None:
    """Only a process of its own can be ordered to end."""
    async with RawClient(sample.port) as client:
        assert (await client.ask("POST /sample/death")).status == 403
        assert (await client.ask("POST /sample/death?signal=HUP")).status == 422
