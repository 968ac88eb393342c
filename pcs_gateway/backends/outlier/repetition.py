"""
How long an ejection takes: longer each time in a row, and as at first for who was healthy for long enough.

The n-th ejection in a row takes n × `base_ejection`, at most `maximum_ejection`. Each `base_ejection` of
being ready takes one from the row. A backend that fails as soon as it is back is therefore asked less and
less, and one that had a bad day is not reproached for it for ever.
"""

from __future__ import annotations

from math import floor

import msgspec

from pcs_gateway.backends.config import OutlierDetectionConfig


class Repetition(msgspec.Struct, frozen=True):
    """
    How often in a row a backend was ejected.

    Attributes:
        times: At `since`.
        since: Monotonic seconds from which on being ready counts for it: the end of the last ejection.
    """

    times: int = 0
    since: float = 0.0

    def at(self, now: float, base: float) -> int:
        """Give how often in a row it is at `now`."""
        return max(self.times - floor(max(now - self.since, 0.0) / base), 0)

    def again(self, now: float, config: OutlierDetectionConfig) -> Repetition:
        """Eject at `now`: the result's `since` is the end of that ejection."""
        times = self.at(now, config.base_ejection) + 1
        seconds = min(times * config.base_ejection, config.maximum_ejection)
        return Repetition(times, now + seconds)

    def postponed(self, seconds: float, now: float) -> Repetition:
        """Let the last `seconds` before `now`, in which the backend was not ready, not count for it."""
        return Repetition(self.times, self.since + min(seconds, max(now - self.since, 0.0)))


NEVER_EJECTED = Repetition()
