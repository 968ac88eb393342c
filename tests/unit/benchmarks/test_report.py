"""What must hold beside what was seen, as a page and as a file."""

import json
from pathlib import Path

import pytest

from benchmarks.report import Report, Requirement, Table, milliseconds, requirement_table, share

MET = Requirement("p99 below 100 ms", "71 ms", True)
MISSED = Requirement("no ejection", "1 ejection", False)
UNKNOWN = Requirement("below nginx", "nginx is not installed", None)


def test_requirements_say_how_they_stand() -> None:
    """Missed is loud, and what could not be measured is neither met nor missed."""
    text = requirement_table([MET, MISSED, UNKNOWN])

    assert "| p99 below 100 ms | 71 ms | met |" in text
    assert "| no ejection | 1 ejection | **missed** |" in text
    assert "| below nginx | nginx is not installed | not measured |" in text


def test_only_a_miss_fails_a_run() -> None:
    """A peer that is not installed does not."""
    assert Report("x", "X", "", requirements=[MET, UNKNOWN]).all_hold
    assert not Report("x", "X", "", requirements=[MET, MISSED]).all_hold


def test_page_and_file_are_written(tmp_path: Path) -> None:
    """Markdown for people, JSON for machines, with the requirements in both."""
    report = Report("it", "It", "What was done.", requirements=[MISSED], data={"cells": {"a": 1.23456789}})
    report.tables.append(Table("Table", ("row", "p50"), (("ours", "1 ms"),)))
    report.notes.append("a note")
    page = report.save(tmp_path)
    found = json.loads((tmp_path / "it.json").read_text())

    assert (tmp_path / "it.md").read_text() == page
    assert "| row | p50 |\n|---|--:|\n| ours | 1 ms |" in page
    assert "- a note" in page
    assert found["requirements"] == [{"text": "no ejection", "measured": "1 ejection", "holds": False}]
    assert found["cells"] == {"a": 1.23457}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0712, "71.2 ms"), (0.5, "500 ms"), (15.46, "15,460 ms"), (0.0005, "0.5 ms")],
)
def test_milliseconds_have_three_digits(seconds: float, text: str) -> None:
    """No more than was measured."""
    assert milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.125, "12.5 %"), (0.0128, "1.28 %"), (0.001, "0.10 %"), (0.0004, "0.040 %"), (0.0, "0.00 %")],
)
def test_small_shares_keep_their_digits(ratio: float, text: str) -> None:
    """Under 0.1 % must not read as 0.0 %."""
    assert share(ratio) == text
