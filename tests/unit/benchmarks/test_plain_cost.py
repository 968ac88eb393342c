"""Verdicts and lines of the cost before and after."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import plain_cost
from benchmarks.measuring import Sample
from benchmarks.plain_cost import AFTER, AGAIN, BEFORE, CheckoutError
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import HERE


def _samples(after: float, pairs: int = 15, errors: int = 0) -> plain_cost.Samples:
    def rounds(cpu: float) -> list[Sample]:
        return [
            Sample(1000, 1000.0, 1e6, cpu * (1 + number / 1000), 0.1, 0.001, 0.002, 1, 1, errors)
            for number in range(pairs)
        ]

    return {BEFORE: rounds(20e-6), AGAIN: rounds(20.1e-6), AFTER: rounds(after)}


def _holds(samples: plain_cost.Samples) -> bool | None:
    return plain_cost.judge("T", samples)[0].holds


def test_interval_must_lie_below_five_per_cent() -> None:
    """Four per cent more is within, six is not."""
    assert _holds(_samples(20.8e-6)) is True
    assert _holds(_samples(21.2e-6)) is False


def test_the_end_of_the_interval_counts_not_its_middle() -> None:
    """A median of three per cent does not do when the interval goes beyond five."""
    samples = _samples(20.6e-6)
    wild = samples[AFTER]
    samples[AFTER] = [
        Sample(1000, 1000.0, 1e6, 20e-6 * (1.08 if number % 3 == 0 else 1.03), 0.1, 0.001, 0.002, 1, 1, 0)
        for number in range(len(wild))
    ]
    found = plain_cost.ratio(samples, AFTER)

    assert found.median < plain_cost.LIMIT < found.high
    assert _holds(samples) is False


def test_fewer_than_fifteen_pairs_say_nothing() -> None:
    """Whatever they show."""
    assert _holds(_samples(20e-6, pairs=14)) is None


def test_failed_requests_are_no_cheap_ones() -> None:
    """A gateway that refuses quickly has not become faster."""
    assert _holds(_samples(10e-6, errors=1)) is False


def test_measured_says_the_interval_and_the_noise() -> None:
    """Both as changes in per cent."""
    measured = plain_cost.judge("T", _samples(20.8e-6))[0].measured

    assert measured == "+4.0 % (+4.0 to +4.0, 15 pairs); A/A +0.5 % (+0.5 to +0.5, 15 pairs)"


def test_table_has_the_second_gateway_of_the_earlier_checkout() -> None:
    """A/A stands between before and after."""
    lines = plain_cost.lines(_samples(20.8e-6))

    assert [line[0] for line in lines] == [BEFORE, AGAIN, AFTER]
    assert [line[2] for line in lines] == [
        "1",
        "+0.5 % (+0.5 to +0.5, 15 pairs)",
        "+4.0 % (+4.0 to +4.0, 15 pairs)",
    ]
    assert {len(line) for line in lines} == {len(plain_cost.COLUMNS)}


def test_figure_is_the_end_of_the_interval() -> None:
    """So that the budget is the requirement's."""
    (figure,) = plain_cost.figures(SCENARIOS["get"], _samples(21.2e-6))

    assert not figure.is_within_budget


def test_command_runs_the_checkout_that_was_named() -> None:
    """The package comes from there, whatever is installed."""
    command = plain_cost.command_of(HERE.parent)
    asked = [part for part in command if part not in {"-m", "pcs_gateway", "serve", "--config", "{config}"}]
    done = subprocess.run(
        [*asked, "-c", "import pcs_gateway as p; print(p.__file__)"], cwd="/", capture_output=True, check=True
    )

    assert done.stdout.decode().strip() == str(HERE.parent / "pcs_gateway" / "__init__.py")


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    """Else one would measure the installed version twice."""
    with pytest.raises(CheckoutError, match="to be imported"):
        plain_cost.command_of(tmp_path)
