"""Priority classes, as a header names them and as a route gives them."""

import pytest

from pcs_gateway.balancing.priority import PRIORITY_WORDS, Priority, judge_priority, read_priority


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"high", Priority.HIGH),
        (b" Normal\t", Priority.NORMAL),
        (b"LOW", Priority.LOW),
        (b"u=0", Priority.HIGH),
        (b"u=2, i", Priority.HIGH),
        (b"i, u=3", Priority.NORMAL),
        (b"u=4", Priority.LOW),
        (b"u=7;x=1", Priority.LOW),
        (b"u=1, u=6", Priority.LOW),
        (b"i", None),
        (b"u=8", None),
        (b"u=12", None),
        (b"su=1", None),
        (b"u=1.5", None),
        (b"urgent", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_value_of_the_header(value: bytes, expected: Priority | None) -> None:
    """A word, or an urgency of RFC 9218; whatever else it is says nothing."""
    assert expected == read_priority(value)


@pytest.mark.parametrize(
    ("route", "said", "is_trusted", "expected"),
    [
        (Priority.NORMAL, b"high", True, Priority.HIGH),
        (Priority.NORMAL, b"high", False, Priority.NORMAL),
        (Priority.NORMAL, b"low", True, Priority.LOW),
        (Priority.NORMAL, b"low", False, Priority.LOW),
        (Priority.LOW, b"high", False, Priority.LOW),
        (Priority.LOW, b"normal", True, Priority.NORMAL),
        (Priority.HIGH, b"", True, Priority.HIGH),
        (Priority.HIGH, b"nonsense", False, Priority.HIGH),
    ],
)
def test_who_may_say_it(route: Priority, said: bytes, *, is_trusted: bool, expected: Priority) -> None:
    """A trusted peer may raise the route's class; everybody may lower it."""
    assert expected == judge_priority(route, said, is_trusted=is_trusted)


def test_words_are_those_of_the_configuration() -> None:
    """The first is served first."""
    assert ("high", "normal", "low") == PRIORITY_WORDS
