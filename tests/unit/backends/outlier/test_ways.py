"""In which way attempts fail."""

from __future__ import annotations

import pytest

from pcs_gateway.backends.outlier.ways import NO_ANSWER, Way, way_of
from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.attempts import (
    CONNECT_FAILURE,
    GATEWAY_FAILURE_STATUSES,
    RESET_BEFORE_RESPONSE,
    Failure,
)

WAY_OF_CAUSE = {
    CONNECT_FAILURE: Way.CONNECT,
    RESET_BEFORE_RESPONSE: Way.RESET,
    502: Way.MALFORMED,
    504: Way.TIMEOUT,
}
"""What `retry.on` calls a failure before the response head, and the way that this is."""


@pytest.mark.parametrize("failure", [one for one in Failure if one.blames_backend])
def test_failure_before_the_response_has_the_way_of_its_cause(failure: Failure) -> None:
    """What is tried again as a failed connect is one as evidence too: nothing was sent."""
    assert WAY_OF_CAUSE[failure.cause] is way_of(failure.outcome)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *[(f"http_{status}", Way.STATUS) for status in GATEWAY_FAILURE_STATUSES],
        (Refusal.RESPONSE_INCOMPLETE.reason, Way.INCOMPLETE),
        (Refusal.STREAM_IDLE.reason, Way.INCOMPLETE),
        (NO_ANSWER, Way.TIMEOUT),
        ("of_another_version", Way.MALFORMED),
    ],
)
def test_other_failures(kind: str, expected: Way) -> None:
    """Those that responses tell of; what is not known counts as an answer that is none."""
    assert expected is way_of(kind)
