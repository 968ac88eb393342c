"""Whoever asks a benchmark for help gets it, and nothing runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import figures, run
from benchmarks.scenarios import SCENARIOS

ROOT = Path(__file__).parents[3]
COMMANDS = (
    *("black_hole", "do_no_harm", "generator_check", "overload", "picking", "plain_cost", "profiling"),
    *(
        "publish",
        "quick",
        "resilience",
        "rolling_restart",
        "run",
        "shedding",
        "slow_clients",
        "slow_minority",
    ),
    "telemetry_record",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_the_docstring_as_it_stands(name: str) -> None:
    """With its lines, and at once."""
    asked = subprocess.run(
        (sys.executable, "-m", f"benchmarks.{name}", "--help"),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    command = "benchmarks" if name == "run" else f"benchmarks.{name}"

    assert asked.stdout.startswith(f"usage: python -m {command} [-h]")
    assert f"\n    python -m {command}" in asked.stdout


def test_loads_and_figures_have_different_names() -> None:
    """`--only` takes both."""
    assert not set(SCENARIOS) & set(figures.PARTS)
    assert set(figures.STANDARD_PARTS) <= set(figures.PARTS)


def test_a_name_that_is_neither_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing would be measured, which takes no time and says nothing."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "get,download"])
    with pytest.raises(SystemExit):
        run.main()

    assert "--only: there is no download" in capsys.readouterr().err
