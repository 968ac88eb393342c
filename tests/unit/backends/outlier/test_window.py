"""Windows: exact at their boundaries, whatever the order."""

from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.backends.outlier.window import OutcomeWindow


def test_outcome_counts_for_as_long_as_the_window() -> None:
    """An outcome of second 100 is in a window of 10 s until 110, and not after 110.1."""
    window = OutcomeWindow(10.0)
    window.add(100.0, bad=1)

    assert (0, 1) == window.counts(100.0)
    assert (0, 1) == window.counts(109.99)
    assert (0, 1) == window.counts(110.0)
    assert (0, 0) == window.counts(110.11)


@given(
    st.lists(st.tuples(st.floats(1e3, 1e3 + 30), st.integers(0, 5), st.integers(0, 5)), max_size=50),
    st.floats(0.5, 20),
    st.randoms(use_true_random=False),
)
def test_sums_do_not_depend_on_the_order(outcomes, seconds, random) -> None:  # type: ignore[no-untyped-def]
    """Everything younger than the window counts, nothing older than 1 % beyond it, in any order."""
    now = 1e3 + 30
    one, other = OutcomeWindow(seconds), OutcomeWindow(seconds)
    for outcome in outcomes:
        one.add(*outcome)
    random.shuffle(outcomes)
    for outcome in outcomes:
        other.add(*outcome)
    good, bad = one.counts(now)

    assert (good, bad) == other.counts(now)
    young = [outcome for outcome in outcomes if now - outcome[0] < seconds * 0.999999]
    old = [outcome for outcome in outcomes if now - outcome[0] <= seconds * 1.010001]
    assert sum(outcome[1] for outcome in young) <= good <= sum(outcome[1] for outcome in old)
    assert sum(outcome[2] for outcome in young) <= bad <= sum(outcome[2] for outcome in old)


def test_memory_is_bounded() -> None:
    """A million outcomes over a day take no more than two windows of cells."""
    window = OutcomeWindow(10.0)
    for number in range(20_000):
        window.add(number * 0.7, bad=1)

    assert len(window._cells) <= 201


def test_repr_tells_the_sums() -> None:
    """The window explains itself; when cleared it is empty."""
    window = OutcomeWindow(10.0)
    window.add(1.0, 2, 3)

    assert "<OutcomeWindow of 10 s: 2 good, 3 bad>" == repr(window)
    window.clear()
    assert (0, 0) == window.counts(1.0)
