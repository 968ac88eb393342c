"""The exception tree and the line that a problem is."""

import pytest

from pcs_gateway import errors
from pcs_gateway.errors import ConfigurationError, GatewayError, NoHealthyInstances, Problem


def test_a_problem_is_one_line_with_all_that_is_known() -> None:
    """File, line, path, message, found and allowed, in this order."""
    problem = Problem("gateway.yaml", 7, "pools.pcs.strategy", '"fast"', "round_robin", "no such strategy")

    expected = 'gateway.yaml:7: pools.pcs.strategy: no such strategy: found "fast"; allowed: round_robin'
    assert expected == str(problem)


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("f.yaml", 0, "", "", "", "cannot be read"), "f.yaml: cannot be read"),
        (Problem("", 0, "pools", "", "a mapping", "missing"), "pools: missing: allowed: a mapping"),
        (Problem("f.yaml", 3, "a", "2", "", "given twice"), "f.yaml:3: a: given twice: found 2"),
    ],
)
def test_what_is_not_known_is_left_out(problem: Problem, line: str) -> None:
    """No empty field leaves its punctuation behind."""
    assert line == str(problem)


def test_a_configuration_error_shows_every_problem() -> None:
    """Its text is one line for each."""
    problems = [Problem("f", 1, "a", "", "", "wrong"), Problem("f", 2, "b", "", "", "wrong")]
    error = ConfigurationError(problems)

    assert problems == error.problems
    assert "f:1: a: wrong\nf:2: b: wrong" == str(error)


def test_no_healthy_instances_says_the_words_of_the_specification() -> None:
    """The pool and what is known of its backends come along."""
    error = NoHealthyInstances("pcs", ["one: connection refused"])

    assert "No healthy instances available" == str(error)
    assert ("pcs", ("one: connection refused",)) == (error.pool, error.details)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Each exception of the module is drawn, and each one drawn is there."""
    drawn = {word for word in (errors.__doc__ or "").split() if word[:1].isupper() and hasattr(errors, word)}
    defined = {name for name, value in vars(errors).items() if _is_error(value)}

    assert defined == drawn


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, GatewayError)
