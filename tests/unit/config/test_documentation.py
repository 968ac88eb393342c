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


@pytest.mark.parametrize(
    "section", ["cache.l2", "routes[].cache.query", "alerts.rules[]", "scaling.NAME.targets"]
)
def test_a_section_within_one_without_effect_says_so(section: str) -> None:
    """Who comes to it by a search does not see the row of the outer one."""
    text = reference().partition(f"## `{section}`\n")[2].partition("\n##")[0]
    prose, _, rows = text.partition("\n| key |")

    assert prose.strip().endswith("*Has no effect yet.*")
    assert "no effect" not in rows


def test_a_section_with_effect_says_nothing() -> None:
    """Be it that some of its keys have none."""
    text = reference().partition("## `routes[]`\n")[2].partition("\n| key |")[0]

    assert "no effect" not in text


def test_a_file_without_marker_is_left_alone() -> None:
    """Prose is never overwritten by mistake."""
    with pytest.raises(ValueError, match="the marker is missing"):
        updated("# Configuration\n")
