"""The access log."""

import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pcs_gateway.telemetry.access_log import BATCH, AccessLog, destination_of, encode_lines
from pcs_gateway.telemetry.delta import Event
from pcs_gateway.telemetry.line_writer import LineWriter
from pcs_gateway.telemetry.record import ExchangeRecord
from pcs_gateway.telemetry.recorder import Recorder
from tests.fakes.exchanges import make_record, make_refusal


def line_of(record: ExchangeRecord) -> dict[str, Any]:
    """Return the line of one exchange."""
    line: dict[str, Any] = json.loads(encode_lines([record]))
    return line


class LoggedLines:
    """An access log to a file, its recorder, and the lines that came out."""

    def __init__(self, directory: Path, sample: float = 1.0) -> None:
        self.path = directory / "access.log"
        self.recorder = Recorder()
        writer = LineWriter(str(self.path), time.monotonic)
        self.log = AccessLog(writer, sample, Random(4), self.recorder.count)

    def close(self) -> list[dict[str, Any]]:
        """End the log and return its lines."""
        assert self.log.close(10.0)
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    @property
    def events(self) -> dict[str, int]:
        """What was counted."""
        return self.recorder.take_delta().events


class TestLine:
    def test_plain_exchange(self) -> None:
        """All facts are there, times in seconds with microseconds."""
        assert line_of(make_record(duration=0.0123456789)) == {
            "time": "2023-11-14T22:13:20.250Z",
            "request_id": "5f0c",
            "client": "192.0.2.1",
            "method": "GET",
            "target": "/api/v1/prompts/1",
            "route": "prompt",
            "status": 200,
            "duration": 0.012345,
            "time_to_first_byte": 0.011,
            "upstream_time": 0.01,
            "gateway_time": 0.0002,
            "attempts": 1,
            "pool": "pcs",
            "backend": "one",
            "request_bytes": 0,
            "response_bytes": 1024,
        }

    def test_refusal_has_its_reason(self) -> None:
        """What the gateway answered itself says why."""
        line = line_of(make_refusal(503, "queue_full"))

        assert ("queue_full", 503, "") == (line["reason"], line["status"], line["backend"])

    def test_several_attempts_are_told(self) -> None:
        """Where more than one attempt was made, each stands there with its outcome."""
        outcomes = (("two", "connect_failure"), ("one", "success"))

        assert [list(pair) for pair in outcomes] == line_of(make_record(attempts=2, outcomes=outcomes))[
            "outcomes"
        ]

    def test_secrets_in_the_query_are_masked(self) -> None:
        """The path and the rest of the query are as received."""
        line = line_of(make_record(target=b"/a%20b?page=2&api_key=s3cret"))

        assert line["target"] == "/a%20b?page=2&api_key=***"

    @pytest.mark.parametrize("nasty", [b'/"\\', b"/\x80\xff", b"/\xe2\x80\xa8", b"/\x7f"])
    def test_any_bytes_make_one_line(self, nasty: bytes) -> None:
        """Whatever a client sends, a line is a line and is JSON."""
        lines = encode_lines([make_record(target=nasty, request_id=nasty, method=nasty)])

        assert lines.count(b"\n") == 1
        assert json.loads(lines)["target"] == nasty.decode("latin-1")

    def test_longest_line_fits_into_a_piece_of_a_pipe(self) -> None:
        """A target of the allowed 32 KiB is cut, so that lines of several workers do not mix."""
        record = make_record(target=b"/" + b"x" * 32_768, route="r" * 64, pool="p" * 64, backend="b" * 64)

        assert len(encode_lines([record])) < 4096

    @pytest.mark.parametrize("octet", [b"x", b'"', b"\xe9", b"\x01"])
    @pytest.mark.parametrize("attempts", [0, 13])
    def test_longest_line_of_all(self, octet: bytes, attempts: int) -> None:
        """Everything as long as it can be, and escaped where a client can bring that about."""
        outcomes = (("b" * 128, "http_response_header_section_size"),) * attempts
        numbers = ("duration", "time_to_first_byte", "upstream_time", "gateway_time")
        record = make_record(
            request_id=b'"' * 128,
            client="f" * 64,
            method=b"M" * 32,
            target=b"/" + octet * 32_768,
            route="r" * 64,
            pool="p" * 64,
            backend="b" * 128,
            attempts=attempts,
            request_bytes=1 << 50,
            response_bytes=1 << 50,
            reason="tls_client_certificate_missing",
            outcomes=outcomes,
            **dict.fromkeys(numbers, 123456.123456),
        )

        assert 2500 < len(encode_lines([record])) < 4096

    def test_times_of_one_batch_are_each_their_own(self) -> None:
        """Neither the second nor the millisecond of another record is shown, in whatever order they come."""
        starts = [1_700_000_000.0, 1_700_000_000.9999, 1_700_000_001.0, 1_699_999_999.5, 1_700_000_000.0015]
        lines = encode_lines([make_record(started=start) for start in starts]).splitlines()

        assert [json.loads(line)["time"] for line in lines] == [
            "2023-11-14T22:13:20.000Z",
            "2023-11-14T22:13:20.999Z",
            "2023-11-14T22:13:21.000Z",
            "2023-11-14T22:13:19.500Z",
            "2023-11-14T22:13:20.001Z",
        ]


class TestAccessLog:
    def test_every_exchange_is_one_line(self, tmp_path: Path) -> None:
        """Several batches come out complete and in order."""
        logged = LoggedLines(tmp_path)
        for number in range(10 * BATCH + 7):
            logged.log.append(make_record(response_bytes=number))
        lines = logged.close()

        assert list(range(10 * BATCH + 7)) == [line["response_bytes"] for line in lines]
        assert logged.events == {Event.ACCESS_LOG_WRITTEN: 10 * BATCH + 7}

    def test_sample_leaves_out_plain_exchanges_only(self, tmp_path: Path) -> None:
        """A quarter of the plain ones, all refusals, errors and retries; what is left out is counted."""
        logged = LoggedLines(tmp_path, sample=0.25)
        for _ in range(1000):
            logged.log.append(make_record())
            logged.log.append(make_record(status=500))
            logged.log.append(make_refusal(404, "no_route"))
            logged.log.append(make_record(attempts=2))
        lines = logged.close()
        plain = [line for line in lines if line["status"] == 200 and line["attempts"] == 1]

        assert len(lines) - len(plain) == 3000
        assert 200 <= len(plain) <= 300
        assert logged.events[Event.ACCESS_LOG_UNSAMPLED] == 1000 - len(plain)

    def test_nothing_of_the_sample_logs_exceptions_only(self, tmp_path: Path) -> None:
        """With a sample of 0 the log holds what went wrong."""
        logged = LoggedLines(tmp_path, sample=0.0)
        logged.log.append(make_record())
        logged.log.append(make_record(status=502, reason="upstream_reset"))

        assert [502] == [line["status"] for line in logged.close()]

    def test_lost_lines_are_counted(self, tmp_path: Path) -> None:
        """A directory that is not there costs lines and nothing else; the reason can be asked for."""
        logged = LoggedLines(tmp_path / "missing")
        for _ in range(3):
            logged.log.append(make_record())
        logged.log.close(10.0)

        assert logged.events == {Event.ACCESS_LOG_DROPPED: 3}
        assert "No such file" in logged.log.error

    def test_reopen_follows_a_rotation(self, tmp_path: Path) -> None:
        """Lines after a rotation are in the new file."""
        logged = LoggedLines(tmp_path)
        logged.log.append(make_record(status=200))
        logged.log.flush()
        deadline = time.monotonic() + 10
        while logged.log.waiting_bytes and time.monotonic() < deadline:
            time.sleep(0.001)
        logged.path.rename(tmp_path / "access.log.1")
        logged.log.reopen()
        logged.log.append(make_record(status=404))

        assert [404] == [line["status"] for line in logged.close()]


@pytest.mark.parametrize(("file", "destination"), [("-", 1), ("var/access.log", "var/access.log")])
def test_dash_is_standard_output(file: str, destination: str | int) -> None:
    """Everything else is a path."""
    assert destination == destination_of(file)
