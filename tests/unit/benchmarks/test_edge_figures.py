"""The short rows of the whole comparison."""

import argparse

from benchmarks import black_hole, do_no_harm, edge_figures, run, slow_minority


def _plan(**options: object) -> run.Plan:
    values = {"all": False, "only": "", "rounds": 0, "seconds": 1.0, "gateway_command": "gateway"}
    return run.make_plan(argparse.Namespace(**(values | options)))


def test_they_belong_to_the_long_comparison_only() -> None:
    """`make benchmark` stays within its five minutes."""
    assert set(edge_figures.PARTS) <= set(_plan(all=True).parts)
    assert not set(edge_figures.PARTS) & set(_plan().parts)


def test_they_can_be_asked_for_by_name() -> None:
    """Without any load beside them."""
    plan = _plan(only="slow-minority,restart")

    assert (plan.rounds, plan.parts) == ({}, ("slow-minority", "restart"))


def test_their_rows_exist() -> None:
    """A row that was renamed would be left out in silence."""
    assert set(edge_figures.MINORITY_ROWS) <= {row.name for row in slow_minority.ROWS}
    assert set(edge_figures.HOLE_ROWS) <= {row.name for row in black_hole.ROWS}
    assert do_no_harm.OURS in {row.name for row in do_no_harm.ROWS}
