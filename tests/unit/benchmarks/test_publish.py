"""Putting the table into README.md."""

import pytest

from benchmarks.publish import BEGIN, END, insert


def test_only_the_text_between_the_markers_changes() -> None:
    """What stands before and after stays, and a second time changes nothing more."""
    document = f"# Title\n{BEGIN}\nold\n{END}\nrest\n"
    once = insert(document, "| new |")

    assert once == f"# Title\n{BEGIN}\n| new |\n{END}\nrest\n"
    assert insert(once, "| new |") == once


@pytest.mark.parametrize("document", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_missing_or_swapped_markers_are_an_error(document: str) -> None:
    """Nothing is written into a document that has no place for it."""
    with pytest.raises(ValueError, match="benchmark:begin"):
        insert(document, "| new |")
