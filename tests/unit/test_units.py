"""Quantities: what a file may write, and that nothing is lost on the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pcs_gateway.units import (
    LARGEST_SIZE,
    LONGEST_DURATION,
    UNITS_REQUIRED,
    ByteRate,
    Duration,
    Rate,
    Ratio,
    Size,
    format_byte_rate,
    format_duration,
    format_rate,
    format_size,
    parse_byte_rate,
    parse_duration,
    parse_rate,
    parse_size,
)


class Quantities(BaseModel):
    duration: Duration = 0.25
    size: Size = 65536
    rate: Rate = 20.0
    byte_rate: ByteRate = 1024.0
    ratio: Ratio = 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25), ("5s", 5.0), ("10m", 600.0), ("1h", 3600.0), ("1d", 86400.0),
        ("50us", 0.00005), ("1.5s", 1.5), ("0", 0.0), ("0s", 0.0),
    ],
)  # fmt: skip
def test_durations_read_as_people_write_them(text: str, seconds: float) -> None:
    """Each unit means what it says, to the last bit."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "-5s", "1e3s", "5S", "5sec", "\u0665s", "1h30m", "9999999d", ".5s"]
)
def test_other_durations_are_refused_with_what_is_allowed(text: str) -> None:
    """The error says how a duration is written, and does not repeat the text."""
    with pytest.raises(ValueError, match="a duration with its unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (90.0, "90s"), (600.0, "10m"), (86400.0, "1d"), (1e-6, "1us")],
)
def test_durations_are_written_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    """A whole number of some unit is written as such."""
    assert text == format_duration(seconds)


@given(st.floats(0.0, LONGEST_DURATION))
def test_a_duration_survives_being_written_and_read(seconds: float) -> None:
    """Formatting loses nothing, whatever the number."""
    assert seconds == parse_duration(format_duration(seconds))


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("1.5KiB", 1536), ("1B", 1), ("2GiB", 2**31), ("0", 0), ("1TiB", 2**40)],
)
def test_sizes_read_as_people_write_them(text: str, size: int) -> None:
    """Units are powers of 1024, and a fraction is fine where whole bytes come out."""
    assert size == parse_size(text)


@pytest.mark.parametrize(
    "text", ["", "64", "64KB", "64kib", "-1B", "0.3B", "1.0001KiB", "9999999TiB", "1 KiB"]
)
def test_other_sizes_are_refused(text: str) -> None:
    """Decimal units are not guessed at, and there are no parts of bytes."""
    with pytest.raises(ValueError, match="a size with its unit"):
        parse_size(text)


@given(st.integers(0, LARGEST_SIZE))
def test_a_size_survives_being_written_and_read(size: int) -> None:
    """Formatting loses nothing."""
    assert size == parse_size(format_size(size))


def test_rates_are_per_second_whatever_the_period() -> None:
    """s, m and h are accepted."""
    assert [20.0, 10.0, 0.5, 1024.0, 2.0] == [
        parse_rate("20/s"),
        parse_rate("600/m"),
        parse_rate("1800/h"),
        parse_byte_rate("1KiB/s"),
        parse_byte_rate("120B/m"),
    ]


@pytest.mark.parametrize("text", ["20", "20/d", "/s", "20 / s", "-1/s", "1KiB", "1/KiB"])
def test_other_rates_are_refused(text: str) -> None:
    """A rate needs its period; a rate of bytes needs its size as well."""
    with pytest.raises(ValueError, match="per s, m or h"):
        parse_rate(text)
    with pytest.raises(ValueError, match="per s, m or h"):
        parse_byte_rate(text)


@given(st.floats(0.0, 2**60))
def test_a_rate_survives_being_written_and_read(rate: float) -> None:
    """Formatting loses nothing."""
    assert rate == parse_rate(format_rate(rate))


@given(st.floats(0.0, 2**60))
def test_a_byte_rate_survives_being_written_and_read(rate: float) -> None:
    """Formatting loses nothing."""
    assert rate == parse_byte_rate(format_byte_rate(rate))


def test_a_model_dumps_units_and_takes_them_back() -> None:
    """In JSON mode the units are written; in Python they are plain numbers."""
    model = Quantities()

    dumped = model.model_dump(mode="json")

    expected = {"duration": "250ms", "size": "64KiB", "rate": "20/s", "byte_rate": "1KiB/s", "ratio": 0.5}
    assert expected == dumped
    assert model == Quantities.model_validate(dumped)
    assert 0.25 == model.model_dump()["duration"]


@given(
    st.builds(
        Quantities,
        duration=st.floats(0, 1e6),
        size=st.integers(0, 2**50),
        rate=st.floats(0, 1e9),
        byte_rate=st.floats(0, 1e12),
        ratio=st.floats(0, 1),
    )
)
def test_any_model_survives_a_dump(model: Quantities) -> None:
    """What workers get is what the control process read."""
    assert model == Quantities.model_validate(model.model_dump(mode="json"))


@pytest.mark.parametrize("field", ["duration", "size", "rate", "byte_rate"])
def test_a_file_must_write_the_unit_and_python_need_not(field: str) -> None:
    """A bare number is refused where units are required, except for zero."""
    assert 5 == getattr(Quantities.model_validate({field: 5}), field)
    assert 0 == getattr(Quantities.model_validate({field: 0}, context={UNITS_REQUIRED: True}), field)

    with pytest.raises(ValidationError):
        Quantities.model_validate({field: 5}, context={UNITS_REQUIRED: True})


@pytest.mark.parametrize("value", [True, None, [], {}, float("nan"), float("inf"), -1, object()])
@pytest.mark.parametrize("field", ["duration", "size", "rate", "byte_rate", "ratio"])
def test_what_is_no_quantity_is_refused(field: str, value: object) -> None:
    """Booleans are no numbers, and nothing is negative, infinite or undefined."""
    with pytest.raises(ValidationError):
        Quantities.model_validate({field: value})
