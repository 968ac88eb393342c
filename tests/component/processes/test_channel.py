"""The channel with real sockets: what is published arrives, what is measured is added once, nobody waits."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from pcs_gateway.backends import PoolSnapshot
from pcs_gateway.clock import SystemClock
from pcs_gateway.processes.channel_server import MAX_UNREAD_BYTES, ChannelServer
from pcs_gateway.processes.event_log import EventLog
from pcs_gateway.processes.frames import frame
from pcs_gateway.processes.messages import (
    PROTOCOL,
    Acknowledged,
    Evidence,
    EvidenceEntry,
    HedgeDelays,
    Hello,
    PoolUpdate,
    Snapshot,
    Verdict,
)
from pcs_gateway.processes.scoreboard import Role, Scoreboard
from pcs_gateway.processes.snapshot_file import load_snapshot, store_snapshot
from pcs_gateway.processes.worker_channel import WorkerChannel
from pcs_gateway.telemetry.delta import Delta

FIRST = Snapshot(1, {"workers": 2}, (PoolSnapshot("pcs", 0, ()), PoolSnapshot("other", 1, ())))
UPDATE = PoolUpdate(2, PoolSnapshot("pcs", 7, ()))
FAILURE = EvidenceEntry("pcs", "one", 1, kind="connection_refused")


class HastyClock(SystemClock):
    """A clock by which a second of sleeping takes 20 ms."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for a fiftieth."""
        await asyncio.sleep(seconds / 50)


class Control:
    """A control process' end, and what reached it."""

    def __init__(self, directory: Path, scoreboard: Scoreboard) -> None:
        self.added = 0
        self.evidence: list[EvidenceEntry] = []
        self.messages = 0
        log = EventLog("control", SystemClock())
        path = directory / "channel.sock"
        self.server = ChannelServer(path, directory / "snapshot.bin", scoreboard, self, log)

    def on_measurements(self, worker: Hello, delta: Delta) -> None:
        """Add it."""
        self.added += delta.reasons["refused"]

    def on_evidence(self, worker: Hello, entries: tuple[EvidenceEntry, ...]) -> None:
        """Keep it."""
        self.messages += 1
        self.evidence += entries


class Worker:
    """A worker's end, and what reached it."""

    def __init__(self, path: Path, row: int, incarnation: int) -> None:
        self.known: dict[str, int] = {}
        self.version = 0
        self.verdicts: list[Verdict] = []
        self.delays: list[HedgeDelays] = []
        self.measured = self.pending = 0
        self.unusable = 0
        log = EventLog(f"worker-{row}", SystemClock())
        hello = Hello(row, 1000 + row, incarnation)
        self.channel = WorkerChannel(path, hello, self, self.take, log, HastyClock(), Random(row))

    def measure(self, count: int) -> None:
        """Count something."""
        self.measured += count
        self.pending += count

    def take(self) -> Delta:
        """What was counted since the last time."""
        taken, self.pending = self.pending, 0
        return Delta(reasons={"refused": taken}) if taken else Delta()

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Apply it, unless it is the one that cannot be used."""
        if snapshot.version == self.unusable:
            raise ValueError("no such strategy")
        self.version = snapshot.version
        self.known = {pool.name: pool.slot for pool in snapshot.pools}

    def on_pool_update(self, update: PoolUpdate) -> None:
        """Apply it."""
        self.version = update.version
        self.known[update.pool.name] = update.pool.slot

    def on_verdict(self, verdict: Verdict) -> None:
        """Keep it."""
        self.verdicts.append(verdict)

    def on_hedge_delays(self, delays: HedgeDelays) -> None:
        """Keep it."""
        self.delays.append(delays)


class Gateway:
    """A control process' and two workers' ends in one loop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.scoreboard = Scoreboard.create()
        for row in (1, 2):
            self.scoreboard.occupy(row, Role.WORKER, 1, 100 + row)
        self.control = Control(directory, self.scoreboard)
        self.workers: list[Worker] = []
        self.relay: Relay | None = None

    @property
    def path(self) -> Path:
        """The channel's socket."""
        return self.directory / "channel.sock"

    def worker(self, row: int = 1, incarnation: int = 0, path: Path | None = None) -> Worker:
        """Start a worker's end."""
        worker = Worker(path or self.path, row, incarnation or 100 + row)
        worker.channel.start()
        self.workers.append(worker)
        return worker

    async def dial(self, *messages: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of something that is no worker of ours."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        for message in messages:
            writer.write(message)
        return reader, writer


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose control process serves the channel and has published nothing."""
    made = Gateway(tmp_path)
    await made.control.server.start()
    yield made
    for worker in made.workers:
        await worker.channel.close(patience=0)
    if made.relay is not None:
        await made.relay.close()
    await made.control.server.close()


async def until(is_so: Callable[[], object], within: float = 10.0) -> None:
    """Return when it is so; fail when it never is."""
    async with asyncio.timeout(within):
        while not is_so():
            await asyncio.sleep(0.002)


class TestPublishing:
    async def test_snapshot_reaches_who_dials_before_and_after(self, gateway: Gateway) -> None:
        """A worker that waits and one that comes later both get the snapshot, and acknowledge it."""
        early = gateway.worker(1)
        await asyncio.sleep(0.02)
        gateway.control.server.publish(FIRST)
        await early.channel.first_snapshot(gateway.directory / "none")
        late = gateway.worker(2)
        await late.channel.first_snapshot(gateway.directory / "none")

        await until(lambda: gateway.control.server.acknowledged() == {1: 1, 2: 1})
        assert ({"pcs": 0, "other": 1}, {"pcs": 0, "other": 1}) == (early.known, late.known)
        assert 1 == gateway.control.server.acknowledged_by_all()

    async def test_update_reaches_the_connected_and_who_comes_later(self, gateway: Gateway) -> None:
        """After an update a connected worker and a new one know the same."""
        early = gateway.worker(1)
        gateway.control.server.publish(FIRST)
        await until(lambda: early.version == 1)
        gateway.control.server.update(UPDATE)
        late = gateway.worker(2)

        await until(lambda: gateway.control.server.acknowledged_by_all() == 2)
        assert early.known == late.known == {"pcs": 7, "other": 1}

    async def test_everything_published_is_stored(self, gateway: Gateway) -> None:
        """The file always holds the last snapshot, with its updates."""
        gateway.control.server.publish(FIRST)
        gateway.control.server.update(UPDATE)

        stored = load_snapshot(gateway.directory / "snapshot.bin")

        assert stored == Snapshot(2, FIRST.configuration, (UPDATE.pool, FIRST.pools[1]))

    async def test_verdict_reaches_every_worker(self, gateway: Gateway) -> None:
        """What became of evidence is told to all who are connected."""
        workers = [gateway.worker(1), gateway.worker(2)]
        gateway.control.server.publish(FIRST)
        await until(lambda: gateway.control.server.acknowledged_by_all() == 1)

        gateway.control.server.tell(Verdict("pcs", "one", True))

        await until(lambda: all(worker.verdicts == [Verdict("pcs", "one", True)] for worker in workers))

    async def test_hedge_delays_reach_the_connected_and_who_comes_later(self, gateway: Gateway) -> None:
        """Who dials later gets the last ones, after the snapshot that they belong to."""
        gateway.control.server.publish(FIRST)
        early = gateway.worker(1)
        await until(lambda: early.version == 1)
        told = [HedgeDelays({"prompt": 0.05}), HedgeDelays({"prompt": 0.06, "list": 0.2})]
        for delays in told:
            gateway.control.server.keep_telling(delays)
        late = gateway.worker(2)
        await until(lambda: len(early.delays) == 2 and late.delays)

        assert (told, told[1:]) == (early.delays, late.delays)
        assert late.version == 1

    async def test_dead_worker_holds_no_version_back(self, gateway: Gateway) -> None:
        """A worker that is gone from the scoreboard need not acknowledge; one that never came must."""
        worker = gateway.worker(1)
        gateway.control.server.publish(FIRST)
        await until(lambda: gateway.control.server.acknowledged() == {1: 1, 2: 0})
        before = gateway.control.server.acknowledged_by_all()

        gateway.scoreboard.free(2)

        assert (0, 1) == (before, gateway.control.server.acknowledged_by_all())
        assert 1 == worker.version

    async def test_unusable_snapshot_is_not_acknowledged(self, gateway: Gateway) -> None:
        """A worker that cannot apply a snapshot keeps the old one, says so by silence, and takes the next."""
        worker = gateway.worker(1)
        worker.unusable = 2
        gateway.control.server.publish(FIRST)
        await until(lambda: worker.version == 1)
        gateway.control.server.publish(Snapshot(2, {}, ()))
        gateway.control.server.tell(Verdict("pcs", "one", False))
        await until(lambda: worker.verdicts)
        kept = (worker.version, gateway.control.server.acknowledged()[1])

        gateway.control.server.publish(Snapshot(3, {}, ()))

        await until(lambda: gateway.control.server.acknowledged()[1] == 3)
        assert (1, 1) == kept


class TestStart:
    async def test_stored_snapshot_serves_while_control_is_away(self, tmp_path: Path) -> None:
        """A worker that reaches nobody starts from the file, and takes the next snapshot that comes."""
        gateway = Gateway(tmp_path)
        store_snapshot(tmp_path / "snapshot.bin", FIRST)
        worker = gateway.worker(1)
        began = asyncio.get_running_loop().time()
        await worker.channel.first_snapshot(tmp_path / "snapshot.bin")
        took = asyncio.get_running_loop().time() - began
        version = worker.version

        await gateway.control.server.start()
        gateway.control.server.publish(Snapshot(9, {}, ()))
        await until(lambda: worker.version == 9)

        assert 1 == version
        assert 0.15 < took < 2.0
        await worker.channel.close(patience=0)
        await gateway.control.server.close()

    async def test_without_any_snapshot_it_waits(self, gateway: Gateway) -> None:
        """A worker that finds neither control process nor file waits for the first snapshot."""
        worker = gateway.worker(1)
        starting = asyncio.ensure_future(
            worker.channel.first_snapshot(gateway.directory / "snapshot.bin", 0.01)
        )
        await asyncio.sleep(0.05)
        waited = not starting.done()

        gateway.control.server.publish(FIRST)
        await asyncio.wait_for(starting, 5)

        assert waited
        assert 1 == worker.version


class TestMeasurements:
    async def test_each_delta_is_added_once_over_a_breaking_connection(self, gateway: Gateway) -> None:
        """While connections are cut at any byte, in either direction, nothing is lost and nothing doubled."""
        gateway.control.server.publish(FIRST)
        relay = gateway.relay = Relay(gateway.path, gateway.directory / "relay.sock", Random(7))
        await relay.start()
        worker = gateway.worker(1, path=relay.path)

        for count in range(1, 200):
            worker.measure(count)
            await asyncio.sleep(0.005)
        relay.is_cutting = False
        await until(lambda: gateway.control.added == worker.measured)
        await asyncio.sleep(0.1)

        assert relay.cuts > 20
        assert gateway.control.added == worker.measured == 199 * 100

    async def test_next_control_process_gets_what_the_old_one_did_not(self, gateway: Gateway) -> None:
        """What was measured while the control process was away reaches the next one, as one sum."""
        gateway.control.server.publish(FIRST)
        worker = gateway.worker(1)
        worker.measure(1)
        await until(lambda: gateway.control.added == 1)
        await gateway.control.server.close()
        for _ in range(5):
            worker.measure(10)
            await asyncio.sleep(0.02)

        successor = Control(gateway.directory, gateway.scoreboard)
        await successor.server.start()
        successor.server.publish(Snapshot(5, {}, ()))

        await until(lambda: successor.added == 50 and worker.version == 5)
        assert 1 == gateway.control.added
        await successor.server.close()

    async def test_last_delta_is_handed_over_at_the_end(self, gateway: Gateway) -> None:
        """A worker that ends gives its last measurements before it hangs up."""
        gateway.control.server.publish(FIRST)
        worker = gateway.worker(1)
        await until(lambda: worker.version == 1)
        worker.measure(3)

        await worker.channel.close(patience=5)

        assert 3 == gateway.control.added


class TestEvidence:
    async def test_goes_at_once_and_together(self, gateway: Gateway) -> None:
        """Evidence of one moment is one message, and it is there within a few hundredths of a second."""
        gateway.control.server.publish(FIRST)
        worker = gateway.worker(1)
        await until(lambda: worker.version == 1)

        for _ in range(5):
            worker.channel.report(FAILURE)
        await until(lambda: len(gateway.control.evidence) == 5, within=1.0)

        assert 1 == gateway.control.messages

    async def test_waits_for_the_next_connection(self, gateway: Gateway) -> None:
        """Evidence found while the channel is down is sent when it is up, the newest 1,024 entries of it."""
        await gateway.control.server.close()
        worker = gateway.worker(1)
        for number in range(2000):
            worker.channel.report(EvidenceEntry("pcs", "one", number))

        successor = Control(gateway.directory, gateway.scoreboard)
        await successor.server.start()
        successor.server.publish(FIRST)

        await until(lambda: successor.evidence)
        assert [entry.failures for entry in successor.evidence] == list(range(976, 2000))
        await successor.server.close()


class TestStrangers:
    """What one connection brings can end that connection only."""

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\n\r\n",
            struct.pack(">I", 2**31),
            struct.pack(">I", 4) + b"\xc1\xc1\xc1\xc1",
            frame(Acknowledged(1)),
            frame(Hello(1, 1, 101, protocol=99)),
            frame(Hello(1, 1, 555)),
            frame(Hello(0, 1, 0)),
            frame(Hello(64, 1, 0)),
            frame(Hello(2, 1, 102)) * 2,
            frame(Hello(2, 1, 102)) + b"\x00\x00\x00\x01\xc1",
        ],
        ids=[
            "http",
            "huge frame",
            "no messagepack",
            "no hello",
            "other protocol",
            "another gateway's worker",
            "control row",
            "no such row",
            "two hellos",
            "garbage after hello",
        ],
    )
    async def test_are_cut_off_alone(self, gateway: Gateway, data: bytes) -> None:
        """The connection is closed, a worker's beside it lives on."""
        gateway.control.server.publish(FIRST)
        worker = gateway.worker(1)
        await until(lambda: worker.version == 1)

        reader, writer = await gateway.dial(data)
        async with asyncio.timeout(5):
            try:
                await reader.read()
            except ConnectionResetError:
                pass
        gateway.control.server.update(UPDATE)

        await until(lambda: worker.version == 2)
        writer.close()

    async def test_other_protocol_is_told_why(self, gateway: Gateway) -> None:
        """A worker of other code learns why nobody talks to it."""
        gateway.control.server.publish(FIRST)

        reader, writer = await gateway.dial(frame(Hello(1, 77, 101, protocol=99)))
        answer = await asyncio.wait_for(reader.read(), 5)

        expected = (
            f"the worker (pid 77) speaks protocol 99, the control process {PROTOCOL}: restart the gateway"
        )
        assert expected.encode() in answer
        writer.close()

    async def test_refused_worker_goes_on_with_what_it_knows(self, gateway: Gateway) -> None:
        """A worker that is refused keeps its snapshot and keeps dialling."""
        gateway.control.server.publish(FIRST)
        worker = gateway.worker(1, incarnation=999)
        store_snapshot(gateway.directory / "stored.bin", Snapshot(4, {}, ()))
        await worker.channel.first_snapshot(gateway.directory / "stored.bin")
        version = worker.version

        gateway.scoreboard.occupy(1, Role.WORKER, 1, 999)

        await until(lambda: worker.version == 1)
        assert 4 == version

    async def test_garbage_from_the_control_process_ends_no_worker(self, tmp_path: Path) -> None:
        """A worker that cannot understand the control process dials again until it finds one it can."""
        gateway = Gateway(tmp_path)
        dialled = 0

        def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal dialled
            dialled += 1
            writer.write(b"\x00\x00\x00\x03foo")
            writer.close()

        babbler = await asyncio.start_unix_server(babble, gateway.path)
        worker = gateway.worker(1)
        await until(lambda: dialled >= 3)
        babbler.close()

        await gateway.control.server.start()
        gateway.control.server.publish(FIRST)

        await until(lambda: worker.version == 1)
        await worker.channel.close(patience=0)
        await gateway.control.server.close()

    async def test_worker_that_does_not_read_is_dropped(self, gateway: Gateway) -> None:
        """Publishing never waits for a stuck worker; it is cut off, and the others get everything."""
        gateway.control.server.publish(FIRST)
        worker = gateway.worker(1)
        with socket.socket(socket.AF_UNIX) as stuck:
            stuck.connect(str(gateway.path))
            stuck.sendall(frame(Hello(2, 1, 102)))
            await until(lambda: repr(gateway.control.server).startswith("<ChannelServer: 2 workers"))

            megabyte = {"padding": "x" * 1024 * 1024}
            rounds = MAX_UNREAD_BYTES // (1024 * 1024) + 4
            for version in range(2, rounds):
                gateway.control.server.publish(Snapshot(version, megabyte, ()))
                await until(lambda at=version: worker.version == at)  # type: ignore[misc]

            await until(lambda: repr(gateway.control.server).startswith("<ChannelServer: 1 workers"))

    async def test_newer_connection_of_a_worker_wins(self, gateway: Gateway) -> None:
        """A worker that dials again before its old connection is seen to be gone gets everything once."""
        gateway.control.server.publish(FIRST)
        old_reader, old_writer = await gateway.dial(frame(Hello(2, 1, 102)))
        await old_reader.readexactly(4)
        new_reader, new_writer = await gateway.dial(frame(Hello(2, 1, 102)))

        await asyncio.wait_for(old_reader.read(), 5)
        gateway.control.server.tell(Verdict("pcs", "one", True))
        received = b""
        async with asyncio.timeout(5):
            while b"verdict" not in received:
                received += await new_reader.read(4096)
        new_writer.write(frame(Evidence((FAILURE,))))

        await until(lambda: gateway.control.evidence == [FAILURE])
        old_writer.close()
        new_writer.close()


class Relay:
    """
    Passes bytes between a worker and the control process, and cuts every connection after some of them.

    Attributes:
        path: Where the worker dials.
        cuts: How many connections were cut.
        is_cutting: Connections are cut, not only passed.
    """

    def __init__(self, target: Path, path: Path, random: Random) -> None:
        self.path = path
        self.cuts = 0
        self.is_cutting = True
        self._target = target
        self._random = random
        self._open = 0
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Begin."""
        self._server = await asyncio.start_unix_server(self._relay, self.path)

    async def close(self) -> None:
        """End, when the last connection has."""
        if self._server is not None:
            self._server.close()
        await until(lambda: self._open == 0)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass both ways until a random number of bytes went through, or one side ends; then end both."""
        self._open += 1
        there, back = await asyncio.open_unix_connection(self._target)
        left = self._random.randint(0, 600)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal left
            while data := await source.read(64):
                if self.is_cutting and len(data) > left:
                    self.cuts += 1
                    sink.write(data[:left])
                    return
                left -= len(data)
                sink.write(data)

        ways = [asyncio.ensure_future(carry(reader, back)), asyncio.ensure_future(carry(there, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()
        back.close()
        self._open -= 1
