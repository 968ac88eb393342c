"""What is known of one exchange."""

import pytest

from pcs_gateway.telemetry.record import error_type
from tests.fakes.exchanges import make_record


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (200, "", ""),
        (404, "", ""),
        (500, "", "http_500"),
        (502, "connect_failed", "connect_failed"),
        (503, "queue_full", "queue_full"),
        (413, "body_too_large", ""),
        (200, "upstream_reset", "upstream_reset"),
        (0, "upstream_reset", "upstream_reset"),
        (0, "client_left", ""),
        (200, "client_left", ""),
        (101, "", ""),
        (101, "tunnel_idle", ""),
    ],
)
def test_error_is_what_the_service_is_to_blame_for(status: int, reason: str, expected: str) -> None:
    """5xx and broken responses are errors; client's faults and clients that left are none."""
    assert expected == error_type(status, reason)


def test_repr_tells_the_exchange() -> None:
    """A record in a log says which exchange it is."""
    expected = "<ExchangeRecord GET route='prompt' status=200 12.000 ms, 1 attempts, reason=''>"

    assert expected == repr(make_record())
