"""Connections of the sample: how long they are kept, and how an instance ends."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator

import pytest

from pcs_gateway.sample import Faults, SampleConfig, SampleServer
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until


async def test_an_idle_connection_is_closed_after_its_time_and_a_fresh_one_is_kept() -> None:
    """The timer begins with an answer: a connection that sent nothing, or half a head, stays."""
    async with (
        SampleServer(SampleConfig(keep_alive=0.3)) as server,
        RawClient(server.port) as used,
        RawClient(server.port) as fresh,
        RawClient(server.port) as half,
    ):
        half.writer.write(b"GET / HTT")
        answer = await used.ask("GET /api/v1/health/")
        started = time.monotonic()
        assert await used.read_end() == b""
        waited = time.monotonic() - started
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await fresh.reader.read(1)
        half.writer.write(b"P/1.1\r\nHost: x\r\n\r\n")

        assert 0.25 < waited < 0.6
        assert "keep-alive" not in answer.fields
        assert (await half.read_answer()).status == 200


async def test_stopping_lets_requests_finish_and_closes_the_rest(sample: SampleServer) -> None:
    """The listener and idle connections end at once; what is in flight is answered, then closed silently."""
    sample.order(Faults(latency="300ms"))
    async with RawClient(sample.port) as busy, RawClient(sample.port) as idle:
        busy.send("GET /api/v1/health/")
        async with asyncio.timeout(5):
            while sample.in_flight < 1:
                await asyncio.sleep(0.01)
        port = sample.port
        stopping = asyncio.create_task(sample.stop())

        assert await idle.read_end() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        answer = await busy.read_answer()
        assert (answer.status, "connection" in answer.fields) == (200, False)
        assert await busy.read_end() == b""
        await asyncio.wait_for(stopping, 5)


async def test_a_client_that_leaves_is_no_fault(
    sample: SampleServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The request is worked on to its end, as PCS does, and nothing is logged."""
    sample.order(Faults(latency="200ms"))
    async with RawClient(sample.port) as client:
        client.send("GET /api/v1/health/")
        await until(lambda: sample.in_flight == 1)
    still_in_flight = sample.in_flight
    await until(lambda: sample.in_flight == 0)

    assert still_in_flight == 1
    assert caplog.records == []


class TestProcess:
    """An instance as a process of its own."""

    @pytest.fixture
    async def process(self) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
        """A started instance and its port."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pcs_gateway.sample", "--port", "0", "--instance", "nine",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        yield process, int(line.decode().split(" (pid")[0].rpartition(":")[2])
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def test_sigterm_ends_it_in_order(self, process: tuple[asyncio.subprocess.Process, int]) -> None:
        """After SIGTERM the exit status is 0."""
        process[0].send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process[0].wait(), 10) == 0

    async def test_ordered_death_is_sudden(self, process: tuple[asyncio.subprocess.Process, int]) -> None:
        """Told to die it is gone without an answer."""
        async with RawClient(process[1]) as client:
            client.send("POST /sample/death")
            try:
                assert await client.read_end() == b""
            except ConnectionResetError:
                pass

        assert await asyncio.wait_for(process[0].wait(), 10) == -signal.SIGKILL

    async def test_stopped_it_accepts_and_says_nothing(
        self, process: tuple[asyncio.subprocess.Process, int]
    ) -> None:
        """After SIGSTOP the kernel accepts, nothing is answered, and after SIGCONT the answer comes late."""
        process[0].send_signal(signal.SIGSTOP)
        async with RawClient(process[1]) as client:
            client.send("GET /api/v1/health/")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.reader.read(1)
            process[0].send_signal(signal.SIGCONT)

            assert (await client.read_answer()).fields["x-pcs-instance"] == "nine"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "0", "--latency", "soon"], "a duration with its unit"),
        (["--port", "0", "--latency", "often 5ms"], "allowed: '20ms'"),
        (["--port", "0", "--error-share", "2"], "$.error_share"),
        ([], "--port"),
    ],
)
async def test_a_wrong_command_line_is_refused(arguments: list[str], expected: str) -> None:
    """Exit status 2 and a line that says what is wrong."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcs_gateway.sample", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 10)

    assert process.returncode == 2
    assert expected in errors.decode()


async def test_a_taken_port_is_one_line() -> None:
    """The address is named and there is no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pcs_gateway.sample", "--port", str(taken.getsockname()[1]),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await asyncio.wait_for(process.communicate(), 10)

    assert process.returncode == 1
    assert errors.decode().startswith("sample PCS: cannot listen on 127.0.0.1:")
    assert errors.decode().count("\n") == 1
