"""When a failed attempt is followed by another."""

from __future__ import annotations

import pytest

from pcs_gateway.proxy.attempts import Failure, may_try_again

SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class TestMayTryAgain:
    """The law of the module, row by row."""

    @pytest.mark.parametrize(
        ("failure", "method", "failures", "maximum", "expected"),
        [
            # nothing was sent: once more for any method, however few retries are configured
            (Failure.CONNECT_FAILED, b"POST", 1, 1, True),
            (Failure.CONNECT_FAILED, b"POST", 1, 0, True),
            (Failure.CONNECT_TIMEOUT, b"POST", 2, 5, False),
            (Failure.UNRESOLVED, b"PATCH", 1, 1, True),
            (Failure.CONNECT_FAILED, b"GET", 2, 2, True),
            (Failure.CONNECT_FAILED, b"GET", 3, 2, False),
            # it may have been executed: only methods that may be sent twice, as often as configured
            (Failure.RESET, b"GET", 1, 1, True),
            (Failure.RESET, b"GET", 2, 1, False),
            (Failure.RESET, b"GET", 1, 0, False),
            (Failure.RESET, b"POST", 1, 5, False),
            # a reused connection that the backend just closed does not count as a failure
            (Failure.STALE_CONNECTION, b"GET", 0, 1, True),
            (Failure.STALE_CONNECTION, b"GET", 1, 1, True),
            (Failure.STALE_CONNECTION, b"GET", 0, 0, False),
            (Failure.STALE_CONNECTION, b"POST", 0, 5, False),
            # the backend took the request and answered wrongly, or not in time
            (Failure.MALFORMED, b"GET", 1, 5, False),
            (Failure.HEAD_TOO_LARGE, b"GET", 1, 5, False),
            (Failure.UNASKED_UPGRADE, b"GET", 1, 5, False),
            (Failure.RESPONSE_TIMEOUT, b"GET", 1, 5, False),
        ],
    )
    def test_rule(
        self, failure: Failure, method: bytes, failures: int, maximum: int, *, expected: bool
    ) -> None:
        """Each kind of failure follows its own rule."""
        decided = may_try_again(failure, method, SAFE, failures, maximum, is_replayable=True)

        assert expected == decided

    @pytest.mark.parametrize("failure", list(Failure))
    def test_what_cannot_be_sent_again_is_not_tried_again(self, failure: Failure) -> None:
        """Once part of a body is gone there is no second attempt, whatever failed."""
        assert not may_try_again(failure, b"GET", SAFE, 0, 5, is_replayable=False)
