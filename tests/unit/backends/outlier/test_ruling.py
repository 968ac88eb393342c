"""Who is ejected, and who is spared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.outlier.ruling import (
    Accusation,
    Cause,
    Objection,
    PoolStanding,
    Ruling,
    objection_to_ejecting,
    rule,
)
from pcs_gateway.backends.outlier.ways import Way

ACCUSATION = Accusation(Cause.CONSECUTIVE_FAILURES, "5 in a row", Way.STATUS, 100.0)


@pytest.mark.parametrize(
    ("active", "ejected", "max_ejected", "objects"),
    [
        (10, 4, 0.5, False),
        (10, 5, 0.5, True),
        (3, 0, 0.5, False),
        (3, 1, 0.5, True),
        (3, 1, 0.9, False),
        (2, 0, 0.1, False),
        (2, 1, 0.1, True),
        (10, 0, 0.0, True),
    ],
)
def test_at_most_max_ejected_are_ejected(
    active: int, ejected: int, max_ejected: float, objects: bool
) -> None:
    """The share is rounded down, but one backend always may be ejected unless it is 0."""
    pool = PoolStanding(active, ejected, ready_others=max(active - ejected - 1, 1))

    assert objects == (objection_to_ejecting(pool, max_ejected) is Objection.MAX_EJECTED)


@pytest.mark.parametrize(
    ("pool", "objection", "why"),
    [
        (PoolStanding(1, 0, 0), Objection.LAST_READY, "no other backend of the pool is ready"),
        (PoolStanding(4, 2, 1), Objection.MAX_EJECTED, "2 of 4 are ejected already (max_ejected 0.5)"),
        (
            PoolStanding(4, 0, 3, is_shared=True),
            Objection.SHARED_DEPENDENCY,
            "all backends of the pool fail alike",
        ),
    ],
)
def test_spared_and_why(pool: PoolStanding, objection: Objection, why: str) -> None:
    """The ruling repeats what was seen, and says why nobody is ejected for it."""
    assert Ruling(f"5 in a row; spared: {why}", objection) == rule(ACCUSATION, pool, 0.5)


def test_contradicted() -> None:
    """What other workers contradict ejects nobody."""
    accusation = Accusation(Cause.CONSECUTIVE_FAILURES, "5 in a row", Way.STATUS, 100.0, agreed=False)
    ruling = rule(accusation, PoolStanding(4, 0, 3), 0.5)

    assert Ruling("5 in a row; spared: other workers saw it succeed", Objection.CONTRADICTED) == ruling
    assert not ruling.ejected


@given(
    st.integers(1, 20),
    st.floats(0, 1),
    st.lists(st.tuples(st.booleans(), st.integers(0, 19)), max_size=80),
)
def test_never_more_than_max_ejected_nor_the_last_ready(
    active: int, max_ejected: float, events: list[tuple[bool, int]]
) -> None:
    """Whatever happens in whatever order: the law of the file holds after each ruling."""
    ejected: set[int] = set()
    for is_accused, number in events:
        backend = number % active
        if not is_accused:
            ejected.discard(backend)
            continue
        if backend in ejected:
            continue
        ready_others = active - len(ejected) - 1
        if rule(ACCUSATION, PoolStanding(active, len(ejected), ready_others), max_ejected).ejected:
            ejected.add(backend)
        assert len(ejected) < active
        assert len(ejected) <= max(1, int(max_ejected * active))
        assert max_ejected > 0 or not ejected
