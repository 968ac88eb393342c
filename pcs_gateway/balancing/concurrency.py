"""
The adaptive limit on attempts in flight to a pool: a gradient with a floor, and a proof. Pure decisions.

Beyond what its backends can do at once, a pool's durations grow in proportion to what is in flight, and no
more is done (Little's law). So once a second the limit moves to

    limit × gradient + √limit        gradient = baseline / duration × TOLERANCE, from ½ to TOLERANCE

where `baseline` is the duration of an unloaded pool; √limit is the room in which growth is tried. It moves
only while the limit matters (at least half of it is in flight), and never on too few measurements.

What gradients are known for is that they strangle a pool that became slower for another reason, such as a
database: durations stay above the baseline, so the limit falls to its minimum. Here **a reduction must prove
itself**: had it been too much in flight, the durations fall in proportion; if they do not, the reduction is
taken back and what was measured is the new baseline. The other way round, a baseline that was measured under
load is found too high by a probe: now and then the limit is lowered for a moment, and if everything gets
faster, that is the baseline. A probe costs less than one in two hundred attempts, and only while the pool is
busy. No pinning, no burst of refusals.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

WINDOW_SECONDS: Final = 1.0
"""How long a window is."""

FEWEST: Final = 100
"""Measurements below which a window says nothing: the last value holds."""

TOLERANCE: Final = 1.25
"""How much longer than unloaded attempts may take before the limit falls."""

STEEPEST: Final = 0.5
"""The most that one step lowers the limit."""

STEADY: Final = 1.25
"""Durations that rose by more than this since the last window still rise: a reduction waits for their end."""

PROOF_SHARE: Final = 0.85
"""A reduction is judged once it has brought what is in flight below this share."""

PROBE_SHARE: Final = 0.6
"""A probe lowers the limit to this share, for as long as it takes to measure."""

NEWS_SHARE: Final = 0.95
"""A probe has found something when it proves a baseline below this share of the one before."""

REST_SHARE: Final = 0.05
"""A step smaller than this share: the limit is at rest, which is when it may be wrong and not notice."""

PROBE_EVERY: Final = 60
"""Busy windows at rest between two probes."""

PROBE_SOON: Final = 5
"""The same after a probe that found something, and after the start."""

DRIFT: Final = 0.2
"""Share of what was measured while the limit did not matter in the baseline."""


class Window(NamedTuple):
    """
    What was measured in a second or so.

    Attributes:
        answered: Attempts that were answered.
        duration: Their median, in seconds.
        in_flight: Mean of what was in flight.
    """

    answered: int
    duration: float
    in_flight: float


class Limit(NamedTuple):
    """
    The limit of one pool with what its next step depends on.

    Attributes:
        value: Attempts that may be in flight; `limit` is the same as a whole number.
        baseline: Median duration of the unloaded pool, in seconds; 0.0 before the first measurement.
        before: What was measured before a reduction that has not proved itself; None when there is none.
        restored: The limit to go back to if it does not.
        settling: So many windows still measure what began before the last change.
        is_probing: The reduction is a probe.
        until_probe: Busy windows at rest until the next one.
        last: Duration of the busy window before; 0.0 when that was not busy.
    """

    value: float
    baseline: float = 0.0
    before: Window | None = None
    restored: float = 0.0
    settling: int = 0
    is_probing: bool = False
    until_probe: int = PROBE_SOON
    last: float = 0.0

    @property
    def limit(self) -> int:
        """The limit to apply."""
        return int(self.value)


def adapt(current: Limit, window: Window, minimum: int, maximum: int) -> Limit:
    """Decide on the next limit."""
    if window.answered < FEWEST:
        return current
    if current.settling:
        return current._replace(settling=current.settling - 1)
    if not current.baseline:
        current = current._replace(baseline=window.duration)
    if current.is_probing:
        return _judged_probe(current, window)
    if window.in_flight < current.value / 2:
        drifted = current.baseline + (window.duration - current.baseline) * DRIFT
        return current._replace(baseline=drifted, before=None, last=0.0)
    return _moved(current, window, minimum, maximum)


def _moved(current: Limit, window: Window, minimum: int, maximum: int) -> Limit:
    """Move a limit that matters, unless a reduction before has not proved itself or a probe is due."""
    before = current.before
    if before is not None and window.in_flight <= before.in_flight * PROOF_SHARE:
        if not _got_faster(before, window):
            return current._replace(
                value=current.restored, baseline=window.duration, before=None, until_probe=PROBE_SOON
            )
        current = current._replace(before=window, restored=current.value)
    is_steady = window.duration <= current.last * STEADY
    current = current._replace(baseline=min(current.baseline, _proven(window)), last=window.duration)
    after = _stepped(current, window, minimum, maximum)
    if abs(after.value - current.value) < current.value * REST_SHARE:
        current, after = [one._replace(until_probe=one.until_probe - 1) for one in (current, after)]
        if after.until_probe <= 0 and current.before is None and current.value * PROBE_SHARE >= minimum:
            return _probing(current, window)
    return current if after.value < current.value and not is_steady else after


def _stepped(current: Limit, window: Window, minimum: int, maximum: int) -> Limit:
    """Move along the gradient."""
    gradient = min(max(current.baseline / window.duration * TOLERANCE, STEEPEST), TOLERANCE)
    value = current.value * gradient + sqrt(current.value)
    value = min(max(value, float(minimum)), float(maximum))
    if value >= current.value:
        return current._replace(value=value, before=None, settling=_lag(window))
    if current.before is None:
        current = current._replace(before=window, restored=current.value)
    return current._replace(value=value, settling=1 + _lag(window))


def _probing(current: Limit, window: Window) -> Limit:
    return current._replace(
        value=current.value * PROBE_SHARE,
        before=window,
        restored=current.value,
        settling=1 + _lag(window),
        is_probing=True,
    )


def _judged_probe(current: Limit, window: Window) -> Limit:
    """End a probe: back to the limit before it, wiser if everything got faster with less in flight."""
    before = current.before
    is_lower = before is not None and window.in_flight <= before.in_flight * PROOF_SHARE
    is_news = _proven(window) < current.baseline * NEWS_SHARE
    has_found = is_lower and is_news and before is not None and _got_faster(before, window)
    return current._replace(
        value=current.restored,
        baseline=_proven(window) if has_found else current.baseline,
        before=None,
        is_probing=False,
        until_probe=PROBE_SOON if has_found else PROBE_EVERY,
    )


def _lag(window: Window) -> int:
    """How many windows a change takes to show: twice what those that are in flight now may still take."""
    return int(2 * window.duration / WINDOW_SECONDS)


def _proven(window: Window) -> float:
    """The duration that a window proves at most: few measurements are low by chance."""
    return window.duration * (1.0 + 2.0 / sqrt(window.answered))


def _got_faster(before: Window, after: Window) -> bool:
    """Whether durations fell with what is in flight, or at least rather that than stayed."""
    share = after.in_flight / before.in_flight
    return after.duration / before.duration <= (1.0 + share) / 2
