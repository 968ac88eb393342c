"""The reference of all keys cannot drift from the models."""

from pathlib import Path

import pytest

from pcs_gateway.config.documentation import FILE, reference, updated
from pcs_gateway.config.model import GatewayConfig

ROOT = Path(__file__).parents[3]


def test_the_documentation_is_up_to_date() -> None:
    """Write it anew with `python -m pcs_gateway.config.documentation`."""
    text = (ROOT / FILE).read_text("utf-8")

    assert updated(text) == text


def test_every_key_has_a_row_with_meaning_default_and_what_is_allowed() -> None:
    """No cell is empty, and no section is left out."""
    lines = reference().splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    headings = [line for line in lines if line.startswith("## `")]

    assert len(rows) > 150
    assert len(headings) > 40
    for row in rows:
        assert 4 == len([cell for cell in row.replace("\\|", "").strip("| ").split(" | ") if cell.strip()]), (
            row
        )
    assert {f"| `{name}` " for name in GatewayConfig.model_fields} <= {
        row[: row.index("`", 3) + 2] for row in rows
    }


def test_a_file_without_marker_is_left_alone() -> None:
    """Prose is never overwritten by mistake."""
    with pytest.raises(ValueError, match="the marker is missing"):
        updated("# Configuration\n")
