"""
What it costs to record one exchange, and to log it.

    python -m benchmarks.telemetry_record

Blocks with and without the measured call alternate, in an order that is turned round each time, and every
figure is the median of the paired differences with the interval of that median. The A/A row is the same
block against itself: what is smaller than that is noise. CPU time of all threads is counted, so the thread
that writes the access log is part of its cost. "Among other work" is the honest row: between two exchanges a
request is parsed, as in a worker, and that takes the caches from the measured code.
"""

import itertools
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httptools

from benchmarks import command_line
from benchmarks.comparison import median, median_interval_rank
from pcs_gateway.telemetry.access_log import AccessLog
from pcs_gateway.telemetry.line_writer import LineWriter
from pcs_gateway.telemetry.record import ExchangeRecord
from pcs_gateway.telemetry.recorder import Recorder

RECORDS = 2_000
PAIRS = 41
REQUEST = (
    b"GET /api/v1/prompts/42 HTTP/1.1\r\nHost: pcs.example.com\r\nUser-Agent: benchmark\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip, br\r\nAuthorization: Bearer 0123456789abcdef\r\n"
    b"X-Tenant: one\r\nX-Request-ID: 0123456789abcdef\r\nTraceparent: 00-01-02-03\r\n\r\n"
)

Block = Callable[[Sequence[ExchangeRecord]], object]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for one exchange: median of the paired differences, and the interval of that median."""

    title: str
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.title:40} {self.median * 1e6:7.3f} µs  ({self.low * 1e6:.3f} – {self.high * 1e6:.3f})"


def measure() -> dict[str, Cost]:
    """Measure everything; it takes some seconds."""
    records = make_records(RECORDS)
    record = Recorder().record
    with tempfile.TemporaryDirectory() as directory:
        writer = LineWriter(f"{directory}/access.log", time.monotonic)
        log = AccessLog(writer, 1.0, random.Random(1), Recorder().count)
        costs = {
            "noise": compare("noise (record against record)", records, calls(record), calls(record)),
            "record": compare("record", records, only_loop, calls(record)),
            "record-among-work": compare("record, among other work", records, works(), works(record)),
            "log": compare("access log, written to a file", records, only_loop, logs(log)),
            "log-among-work": compare(
                "access log, among other work", records, works(), logs(log, works(log.append))
            ),
        }
        log.close(5.0)
        assert writer.dropped == 0, "lines were dropped: their cost is missing"
        assert len(Path(directory, "access.log").read_bytes().splitlines()) == writer.written
    return costs


def compare(title: str, records: Sequence[ExchangeRecord], baseline: Block, candidate: Block) -> Cost:
    """Return what one exchange costs more in `candidate` than in `baseline`."""
    differences = []
    for turn in range(PAIRS + 1):
        order = (baseline, candidate) if turn % 2 else (candidate, baseline)
        spent = {}
        for side, block in zip(("baseline", "candidate")[:: 1 if turn % 2 else -1], order, strict=True):
            began = time.process_time_ns()
            block(records)
            spent[side] = time.process_time_ns() - began
        differences.append((spent["candidate"] - spent["baseline"]) / len(records) / 1e9)
    ordered = sorted(differences[1:])  # the first turn warms up
    rank, _ = median_interval_rank(len(ordered))
    return Cost(title, median(ordered), ordered[rank - 1], ordered[-rank])


def only_loop(records: Sequence[ExchangeRecord]) -> None:
    """Do nothing with each record."""
    for _record in records:
        pass


def calls(call: Callable[[ExchangeRecord], None]) -> Block:
    """Return a block that makes one call for each record."""

    def block(records: Sequence[ExchangeRecord]) -> None:
        for record in records:
            call(record)

    return block


def works(call: Callable[[ExchangeRecord], None] | None = None) -> Block:
    """Return a block that parses a request before each call, or without any call."""

    def block(records: Sequence[ExchangeRecord]) -> None:
        for record in records:
            httptools.HttpRequestParser(_Head()).feed_data(REQUEST)
            if call is not None:
                call(record)

    return block


def logs(log: AccessLog, block: Block | None = None) -> Block:
    """Return a block that logs each record and waits until the thread has written the lines."""
    append_all = block or calls(log.append)

    def flushed(records: Sequence[ExchangeRecord]) -> None:
        append_all(records)
        log.flush()
        while log.waiting_bytes:
            time.sleep(0.0005)

    return flushed


def make_records(count: int) -> list[ExchangeRecord]:
    """Return exchanges as a busy gateway has them: some routes, backends and statuses, all durations."""
    chance = random.Random(7)
    routes = itertools.cycle(("prompt", "prompt-list", "context", "generate", "everything-else"))
    return [_make_record(chance, next(routes), number) for number in range(count)]


def _make_record(chance: random.Random, route: str, number: int) -> ExchangeRecord:
    record = ExchangeRecord()
    record.route = route
    record.pool = "pcs"
    record.backend = chance.choice(("one", "two", "three"))
    record.method = bytes(
        bytearray(chance.choice((b"GET", b"GET", b"GET", b"POST")))
    )  # as parsed: no constant
    record.target = b"/api/v1/prompts/%d" % number
    record.status = int(chance.choice(("200", "200", "200", "200", "404")))
    record.started = 1_763_840_000.0 + number / 5_000
    record.upstream_time = chance.lognormvariate(-6.0, 0.7)
    record.gateway_time = chance.lognormvariate(-9.5, 0.3)
    record.duration = record.time_to_first_byte = record.upstream_time + record.gateway_time
    record.attempts = 1
    record.request_id = b"%032x" % chance.getrandbits(128)
    record.client = "192.0.2.17"
    record.response_bytes = 1024
    return record


class _Head:
    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


if __name__ == "__main__":
    command_line.parser("benchmarks.telemetry_record", __doc__).parse_args()
    for cost in measure().values():
        print(cost)
