"""What an answer to a health check must look like: a pure judgement."""

from __future__ import annotations

from typing import Any

import msgspec

from pcs_gateway.backends.config import HealthCheckConfig
from pcs_gateway.backends.health import CheckResult

SHOWN_CHARACTERS = 80
"""How much of a value found in an answer is repeated in a line for operators."""


def judge_answer(status: int, body: bytes, check: HealthCheckConfig) -> CheckResult:
    """Compare an answer with `expect_status` and `expect_json`."""
    if status not in check.expect_status:
        allowed = " or ".join(str(expected) for expected in check.expect_status)
        return CheckResult(passed=False, detail=f"status {status}, expected {allowed}")
    for complaint in _json_complaints(body, check.expect_json or {}):
        return CheckResult(passed=False, detail=complaint)
    return CheckResult(passed=True, detail=f"status {status}")


def _json_complaints(body: bytes, expected: dict[str, Any]) -> list[str]:
    """Say which members are missing or differ."""
    if not expected:
        return []
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ["the body is not JSON, expected an object"]
    if not isinstance(document, dict):
        return [f"the body is {_shown(document)}, expected an object"]
    complaints = []
    for name, value in expected.items():
        if name not in document:
            complaints.append(f"no member {name!r} in the body, expected {_shown(value)}")
        elif document[name] != value or isinstance(document[name], bool) != isinstance(value, bool):
            complaints.append(f"{name!r} is {_shown(document[name])}, expected {_shown(value)}")
    return complaints


def _shown(value: object) -> str:
    """Return a value as JSON, shortened."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
