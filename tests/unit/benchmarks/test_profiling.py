"""Summing folded stacks."""

import pytest

from benchmarks.profiling import shares


def test_shares_count_a_recursive_function_once_per_stack() -> None:
    """A function that calls itself is not in more samples than there are."""
    found = {share.name: share for share in shares(["a.f:1;a.f:2;b.g:9 3", "a.f:1 1"])}

    assert found["a.f"].cumulative == pytest.approx(1.0)
    assert found["a.f"].itself == pytest.approx(0.25)
    assert found["b.g"].itself == pytest.approx(0.75)


def test_busiest_function_comes_first() -> None:
    """Order is by the function's own share."""
    assert [share.name for share in shares(["a.f:1 1", "a.f:1;b.g:2 5"])] == ["b.g", "a.f"]
