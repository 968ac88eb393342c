"""What an operator orders of a backend, read from a request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from pcs_gateway.control.admin.problems import BadRequestError
from pcs_gateway.units import DURATION_ALLOWED, parse_duration

BODY_SECONDS = 10.0
LONGEST_WAIT = 3600.0
"""Seconds that a request waits at most for a backend to be empty."""

HIGHEST_WEIGHT = 1000

PARAMETERS: Mapping[str, frozenset[str]] = {
    "drain": frozenset({"timeout"}),
    "disable": frozenset(),
    "enable": frozenset(),
    "weight": frozenset({"weight"}),
}
"""What each action takes beside `action`."""


class Order(msgspec.Struct, frozen=True):
    """
    One order.

    Attributes:
        action: What to do.
        weight: For "weight": the new one; None to return to the configured one.
        timeout: For "drain": seconds to wait until it is empty; None for the gateway's `drain_timeout`.
    """

    action: str
    weight: int | None = None
    timeout: float | None = None


async def read_order(request: web.Request) -> Order:
    """
    Read an order from the path, the query and a JSON body.

    Raises:
        BadRequestError: It is none; the text says what is allowed.
    """
    given = await _body(request) | dict(request.query)
    action = request.match_info.get("action") or given.pop("action", None)
    if action is None and "weight" in given:
        action = "weight"
    if not isinstance(action, str) or action not in PARAMETERS:
        raise BadRequestError(f"action is {action!r}, allowed: {', '.join(PARAMETERS)}")
    for name in given.keys() - PARAMETERS[action]:
        raise BadRequestError(f"{action} takes no {name!r}")
    if action == "weight" and "weight" not in given:
        raise BadRequestError(f"weight is missing: a whole number from 1 to {HIGHEST_WEIGHT}, or null")
    return Order(action, _weight(given.get("weight")), _timeout(given.get("timeout")))


async def _body(request: web.Request) -> dict[str, Any]:
    """Read a JSON object; an empty body is an empty one."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            content = await request.read()
    except TimeoutError:
        raise BadRequestError(f"the body did not come within {BODY_SECONDS:g} s") from None
    if not content.strip():
        return {}
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadRequestError("the body must be a JSON object")
    return value


def _weight(value: Any) -> int | None:
    """Read a weight; null ends the override."""
    if value is None or value == "null":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= HIGHEST_WEIGHT:
        raise BadRequestError(
            f"weight is {value!r}, allowed: a whole number from 1 to {HIGHEST_WEIGHT}, or null"
        )
    return value


def _timeout(value: Any) -> float | None:
    """Read a duration; plain numbers are seconds."""
    if value is None:
        return None
    try:
        seconds = parse_duration(value) if isinstance(value, str) else float(value)
    except (ValueError, TypeError):
        raise BadRequestError(f"timeout is {value!r}, allowed: {DURATION_ALLOWED}") from None
    if not 0 <= seconds <= LONGEST_WAIT:
        raise BadRequestError(f"timeout is {value!r}, allowed: from 0s to {LONGEST_WAIT:g}s")
    return seconds
