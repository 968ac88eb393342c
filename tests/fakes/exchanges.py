"""Records of exchanges as the data path would fill them in."""

from __future__ import annotations

from typing import Any

from pcs_gateway.telemetry.record import ExchangeRecord


def make_record(**fields: Any) -> ExchangeRecord:
    """Return the record of a plain GET that backend `one` of pool `pcs` answered, but for `fields`."""
    plain: dict[str, Any] = {
        "route": "prompt",
        "pool": "pcs",
        "backend": "one",
        "method": b"GET",
        "target": b"/api/v1/prompts/1",
        "status": 200,
        "started": 1_700_000_000.25,
        "duration": 0.012,
        "time_to_first_byte": 0.011,
        "upstream_time": 0.010,
        "gateway_time": 0.0002,
        "attempts": 1,
        "request_id": b"5f0c",
        "client": "192.0.2.1",
        "response_bytes": 1024,
    }
    record = ExchangeRecord()
    for name, value in (plain | fields).items():
        setattr(record, name, value)
    return record


def make_refusal(status: int, reason: str, **fields: Any) -> ExchangeRecord:
    """Return the record of an exchange that the gateway answered itself, with no attempt."""
    nothing = {"backend": "", "upstream_time": 0.0, "attempts": 0, "response_bytes": 0}
    return make_record(status=status, reason=reason, **(nothing | fields))
