"""When a failed attempt is followed by another, and after how long."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.proxy.attempts import (
    CONNECT_FAILURE,
    PAUSE_STEPS,
    RESET_BEFORE_RESPONSE,
    STALE_CONNECTION,
    Circumstances,
    Denial,
    Failure,
    draw_pause,
    had_its_time,
    judge_retry,
    read_retry_after,
)

LISTED = (CONNECT_FAILURE, RESET_BEFORE_RESPONSE, 502, 503, 504)


def seen(**different: Any) -> Circumstances:
    """A GET whose backend reset the connection, for the first time."""
    usual: dict[str, Any] = {
        "cause": RESET_BEFORE_RESPONSE,
        "is_repeatable": True,
        "is_replayable": True,
        "retries": 0,
        "maximum": 2,
        "listed": LISTED,
        "pause": 0.025,
        "time_left": 30.0,
    }
    return Circumstances(**(usual | different))


class TestJudgeRetry:
    """The law of the module, row by row."""

    @pytest.mark.parametrize(
        ("different", "expected"),
        [
            # it may have been executed: only what may be executed twice
            ({}, None),
            ({"is_repeatable": False}, Denial.METHOD),
            ({"cause": 503}, None),
            ({"cause": 503, "is_repeatable": False}, Denial.METHOD),
            ({"cause": 504, "is_repeatable": False}, Denial.METHOD),
            # nothing was sent: whatever the method, but not more often than any other
            ({"cause": CONNECT_FAILURE, "is_repeatable": False}, None),
            ({"cause": CONNECT_FAILURE, "is_repeatable": False, "retries": 1}, None),
            ({"cause": CONNECT_FAILURE, "is_repeatable": False, "retries": 2}, Denial.ATTEMPTS),
            # only what is listed
            ({"cause": 500}, Denial.NOT_LISTED),
            ({"cause": 503, "listed": ()}, Denial.NOT_LISTED),
            ({"cause": CONNECT_FAILURE, "listed": (503,)}, Denial.NOT_LISTED),
            ({"listed": (CONNECT_FAILURE,)}, Denial.NOT_LISTED),
            # as often as configured
            ({"retries": 1}, None),
            ({"retries": 2}, Denial.ATTEMPTS),
            ({"maximum": 0}, Denial.ATTEMPTS),
            ({"cause": CONNECT_FAILURE, "maximum": 0}, Denial.ATTEMPTS),
            # only as a whole
            ({"is_replayable": False}, Denial.BODY),
            ({"cause": CONNECT_FAILURE, "is_replayable": False}, Denial.BODY),
            # only in time
            ({"pause": 0.025, "time_left": 0.025}, Denial.TIME),
            ({"pause": 0.025, "time_left": 0.026}, None),
            ({"pause": 5.1, "retry_after": 5.0, "time_left": 5.0}, Denial.RETRY_AFTER),
            ({"pause": 5.1, "retry_after": 5.0, "time_left": 5.05}, Denial.TIME),
            ({"pause": 5.1, "retry_after": 5.0, "time_left": 6.0}, None),
            # a connection that the backend closed just as it was reused
            ({"cause": STALE_CONNECTION}, None),
            ({"cause": STALE_CONNECTION, "retries": 2}, None),
            ({"cause": STALE_CONNECTION, "listed": ()}, None),
            ({"cause": STALE_CONNECTION, "pause": 1.0, "time_left": 0.5}, None),
            ({"cause": STALE_CONNECTION, "is_repeatable": False}, Denial.METHOD),
            ({"cause": STALE_CONNECTION, "is_replayable": False}, Denial.BODY),
            ({"cause": STALE_CONNECTION, "maximum": 0}, Denial.ATTEMPTS),
        ],
    )
    def test_rule(self, different: dict[str, Any], expected: Denial | None) -> None:
        """Each failure follows its own rule."""
        assert expected is judge_retry(seen(**different))

    def test_whole_table(self) -> None:
        """In every combination: no retry breaks a rule, and whatever breaks none is retried."""
        for cause, repeatable, replayable, retries, pause, after, left in product(
            (CONNECT_FAILURE, RESET_BEFORE_RESPONSE, 500, 502, 503, 504),
            (True, False),
            (True, False),
            (0, 1, 2),
            (0.01, 1.0),
            (0.0, 2.0),
            (0.005, 0.5, 2.5, 30.0),
        ):
            decided = judge_retry(
                seen(
                    cause=cause,
                    is_repeatable=repeatable,
                    is_replayable=replayable,
                    retries=retries,
                    pause=pause + after,
                    retry_after=after,
                    time_left=left,
                )
            )
            was_sent = cause != CONNECT_FAILURE
            is_harmless = repeatable or not was_sent
            fits = pause + after < left
            may = cause in LISTED and is_harmless and replayable and retries < 2 and fits
            assert may is (decided is None)

    @pytest.mark.parametrize("failure", list(Failure))
    def test_every_failure_has_a_cause(self, failure: Failure) -> None:
        """It can be listed in `retry.on`, or is a stale connection."""
        assert failure.cause in {*LISTED, STALE_CONNECTION}
        assert (failure.cause == failure.answer.status) is isinstance(failure.cause, int)


class TestHadItsTime:
    @pytest.mark.parametrize(
        ("waited", "response_head", "request_total", "expected"),
        [
            (10.0, 15.0, 10.0, True),
            (9.0, 15.0, 10.0, True),
            (5.0, 15.0, 10.0, False),
            (0.001, 15.0, 30.0, False),
            (14.9, 15.0, 30.0, False),
            (15.0, 15.0, 30.0, True),
            (14.9, 15.0, 15.0, True),
        ],
    )
    def test_time(self, waited: float, response_head: float, request_total: float, *, expected: bool) -> None:
        """As long as a response head may take, or nearly as long as everything may."""
        assert expected is had_its_time(waited, response_head, request_total)


class TestDrawPause:
    @given(st.floats(0.001, 1.0), st.floats(1.0, 10.0), st.integers(0, 40), st.integers(0, 2**32))
    def test_is_below_a_bound_that_doubles(self, base: float, most: float, retries: int, seed: int) -> None:
        """Above nothing, at most base × 2 ** retries, at most the maximum."""
        pause = draw_pause(base, most, retries, Random(seed))

        assert 0.0 < pause <= min(base * 2.0**retries, most)

    def test_is_spread_evenly(self) -> None:
        """Full jitter: every part of the bound is as likely as any other."""
        random = Random(1)
        drawn = [draw_pause(0.032, 1.0, 0, random) for _ in range(32_000)]
        steps = [sum(round(pause * 1000) == step for pause in drawn) for step in range(1, PAUSE_STEPS + 1)]

        assert 32_000 == sum(steps)
        assert all(850 < count < 1150 for count in steps)


class TestReadRetryAfter:
    @pytest.mark.parametrize(
        ("section", "expected"),
        [
            (b"Retry-After: 3\r\n", 3.0),
            (b"content-length: 0\r\nretry-after:  120 \r\nx: y\r\n", 120.0),
            (b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 7.0),
            (b"Retry-After: Sun, 06 Nov 1994 08:49:20 GMT\r\n", 0.0),
            (b"Content-Length: 0\r\n", 0.0),
            (b"Retry-After:\r\n", 0.0),
            (b"Retry-After: -1\r\n", 0.0),
            (b"Retry-After: 1.5\r\n", 0.0),
            (b"Retry-After: soon\r\n", 0.0),
            (b"Retry-After: \xb2\r\n", 0.0),
            (b"Retry-After: 99999999999999999999\r\n", 999999999.0),
            (b"Retry-After: Sun, 06 Nov 1994 08:49:37\r\n", 0.0),
            (b"Retry-After: Sun, 06 Nov 1994 08:49:31 GMT\r\n", 1.0),
            (b"Retry-After: Sun, 06 Nov 1994 08:49:37 +99999999999999\r\n", 0.0),
            (b"Retry-After: Sun, 06 Nov 99999999999999999999 08:49:37 GMT\r\n", 0.0),
        ],
    )
    def test_value(self, section: bytes, expected: float) -> None:
        """Seconds or a date (RFC 9110 section 10.2.3); what is neither asks for nothing."""
        assert expected == read_retry_after(section, 784111770.0)
        assert expected == read_retry_after(section, 784111770.0 + 0.4)

    @given(st.binary(max_size=60))
    def test_never_raises(self, value: bytes) -> None:
        """Whatever a backend sends."""
        assert read_retry_after(b"Retry-After: " + value.replace(b"\r\n", b"") + b"\r\n", 1e9) >= 0.0

    @given(
        st.builds(
            "{} Nov {} {}:49:37 {:+}".format,
            *[st.integers(0, 10**number) for number in (3, 20, 3)],
            st.integers(-(10**20), 10**20),
        )
    )
    def test_never_raises_for_what_looks_like_a_date(self, value: str) -> None:
        """Nor for a date of which some part is absurd."""
        assert read_retry_after(b"Retry-After: Sun, %b\r\n" % value.encode(), 1e9) >= 0.0
