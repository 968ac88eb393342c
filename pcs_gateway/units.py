"""
Quantities as people write them: durations, sizes, rates and ratios.

A configuration file writes the unit ("250ms", "64KiB", "20/s"); the program computes with floats
of seconds and integers of bytes. Parsing is exact decimal arithmetic with one rounding at the end,
and formatting returns a text that parses to the very same value.

The error of a parser is a `ValueError` whose text says what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

from pcs_gateway.section import FromEnvironment

DURATION_UNITS: Mapping[str, Decimal] = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "us": Decimal("0.000001"),
}
SIZE_UNITS: Mapping[str, int] = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
PERIODS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600}

LONGEST_DURATION = 10 * 365 * 86400.0
LARGEST_SIZE = 2**60
"""Of sizes, and of rates per second."""

DURATION_ALLOWED = 'a duration with its unit (us, ms, s, m, h, d), such as "250ms", "5s" or "10m"'
SIZE_ALLOWED = 'a size with its unit (B, KiB, MiB, GiB, TiB), such as "64KiB" or "256MiB"'
RATE_ALLOWED = 'a number per s, m or h, such as "20/s" or "600/m"'
BYTE_RATE_ALLOWED = 'a size per s, m or h, such as "1KiB/s"'
RATIO_ALLOWED = "a ratio from 0 to 1"

UNITS_REQUIRED = "units_required"
"""Key of the validation context: numbers without unit are refused, as in a file; 0 needs none."""

_NUMBER = r"(\d{1,19}(?:\.\d{1,340})?)"
# 340 decimals write the smallest float there is
_DURATION = re.compile(rf"{_NUMBER}(us|ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(rf"{_NUMBER}(B|KiB|MiB|GiB|TiB)", re.ASCII)
_RATE = re.compile(rf"{_NUMBER}/(s|m|h)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that `text` means. Raises ValueError."""
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(DURATION_ALLOWED)
    seconds = float(Decimal(match[1]) * DURATION_UNITS[match[2]])
    return _duration(seconds)


def format_duration(seconds: float) -> str:
    """Return the shortest text with a whole number that means exactly `seconds`, or plain seconds."""
    if seconds == 0:
        return "0s"
    for unit, factor in DURATION_UNITS.items():
        count = round(Decimal(seconds) / factor)
        if count and float(count * factor) == seconds:
            return f"{count}{unit}"
    return f"{_plain(seconds)}s"


def parse_size(text: str) -> int:
    """Return the bytes that `text` means. Raises ValueError."""
    if text == "0":
        return 0
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(SIZE_ALLOWED)
    size = Decimal(match[1]) * SIZE_UNITS[match[2]]
    if size != int(size):
        raise ValueError(f"{SIZE_ALLOWED}, a whole number of bytes")
    return _size(int(size))


def format_size(size: int) -> str:
    """Return `size` bytes in the largest unit that divides it."""
    if size == 0:
        return "0B"
    unit = next(unit for unit, factor in SIZE_UNITS.items() if size % factor == 0)
    return f"{size // SIZE_UNITS[unit]}{unit}"


def parse_rate(text: str) -> float:
    """Return the number per second that `text` means. Raises ValueError."""
    if text == "0":
        return 0.0
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(RATE_ALLOWED)
    return _rate(float(Decimal(match[1]) / PERIODS[match[2]]))


def format_rate(rate: float) -> str:
    """Return a rate per second."""
    return f"{_plain(rate)}/s"


def parse_byte_rate(text: str) -> float:
    """Return the bytes per second that `text` means. Raises ValueError."""
    if text == "0":
        return 0.0
    size, slash, period = text.partition("/")
    match = _SIZE.fullmatch(size)
    if match is None or not slash or period not in PERIODS:
        raise ValueError(BYTE_RATE_ALLOWED)
    return _rate(float(Decimal(match[1]) * SIZE_UNITS[match[2]] / PERIODS[period]))


def format_byte_rate(rate: float) -> str:
    """Return a rate of bytes per second, in the largest unit that divides it."""
    if rate == int(rate):
        return f"{format_size(int(rate))}/s"
    return f"{_plain(rate)}B/s"


def _plain(value: float) -> str:
    """Return the shortest decimal text of a float, without exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _duration(seconds: float) -> float:
    if not 0 <= seconds <= LONGEST_DURATION:
        raise ValueError(f"{DURATION_ALLOWED}, at most 3650d")
    return seconds


def _size(size: float) -> int:
    if size != int(size) or not 0 <= size <= LARGEST_SIZE:
        raise ValueError(f"{SIZE_ALLOWED}, at most {format_size(LARGEST_SIZE)}")
    return int(size)


def _rate(rate: float) -> float:
    if not 0 <= rate <= LARGEST_SIZE:
        raise ValueError(RATE_ALLOWED)
    return rate


def _quantity(
    parse: Callable[[str], float], check: Callable[[float], float], allowed: str
) -> Callable[[Any, ValidationInfo], float]:
    """Return a validator for text with a unit and, from Python, for plain numbers."""

    def validate(value: Any, info: ValidationInfo) -> float:
        if isinstance(value, str):
            return parse(value)
        is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        if isinstance(value, bool) or not is_number:
            raise ValueError(allowed)
        if value != 0 and info.context and info.context.get(UNITS_REQUIRED):
            raise ValueError(allowed)
        return check(value)

    return validate


def _ratio(value: Any) -> float:
    try:
        ratio = float(value) if isinstance(value, int | float | FromEnvironment) else math.nan
    except (ValueError, OverflowError):
        ratio = math.nan
    if isinstance(value, bool) or not 0 <= ratio <= 1:
        raise ValueError(RATIO_ALLOWED)
    return ratio


Duration = Annotated[
    float,
    BeforeValidator(_quantity(parse_duration, _duration, DURATION_ALLOWED)),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
"""Seconds; written "250ms", "5s", "10m"."""

Size = Annotated[
    int,
    BeforeValidator(_quantity(parse_size, _size, SIZE_ALLOWED)),
    PlainSerializer(format_size, return_type=str, when_used="json"),
]
"""Bytes; written "64KiB", "256MiB"."""

Rate = Annotated[
    float,
    BeforeValidator(_quantity(parse_rate, _rate, RATE_ALLOWED)),
    PlainSerializer(format_rate, return_type=str, when_used="json"),
]
"""Events per second; written "20/s"."""

ByteRate = Annotated[
    float,
    BeforeValidator(_quantity(parse_byte_rate, _rate, BYTE_RATE_ALLOWED)),
    PlainSerializer(format_byte_rate, return_type=str, when_used="json"),
]
"""Bytes per second; written "1KiB/s"."""

Ratio = Annotated[float, BeforeValidator(_ratio)]
"""A share from 0 to 1."""
