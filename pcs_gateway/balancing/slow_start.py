"""
Slow start: a backend that became ready grows into its share.

The law of this file:

- the ramp of a backend goes in a straight line from `FIRST_SHARE` to 1 in the `slow_start` after it became
  ready. What counts is its ramp against the furthest of its level: where all begin, nobody is spared;
- whatever a strategy proposes, a backend takes of its level's attempts at most the share that its weight ×
  ramp has in the sum of all. So the ramp means the same under every strategy: one that looks for the idlest
  or the untested would otherwise send most of the traffic to the coldest;
- at most the same part of `max_per_backend` is in flight on it, however full the others are.

A worker counts by itself; its share of the whole is the same as that of all.
"""

from __future__ import annotations

from math import ceil

from pcs_gateway.backends.member import Instances, Member

FIRST_SHARE = 0.1
"""Of its weight, with which a backend begins."""

MOST_CREDIT = 2.0
"""Attempts that may be saved up: a proposal may come a little after its credit."""


def ramp(now: float, since: float, window: float) -> float:
    """Give the part of its weight that a backend has; `now` and `since` are monotonic seconds."""
    if not since or now >= since + window:
        return 1.0
    return FIRST_SHARE + (1.0 - FIRST_SHARE) * max(0.0, now - since) / window


class Pacing:
    """What the backends in slow start of one level may take; made anew as their ramps grow."""

    __slots__ = ("_warming",)

    def __init__(self, instances: Instances) -> None:
        self._warming = [
            (member, member.weight * member.ramp / instances.weight)
            for member in instances.members
            if member.ramp < 1.0
        ]

    def turn(self) -> None:
        """An attempt is to be given away: each gains its share of it."""
        for member, share in self._warming:
            credit = member.credit + share
            member.credit = min(MOST_CREDIT, credit)

    def admits(self, member: Member) -> bool:
        """Tell whether it may take this attempt."""
        return member.ramp >= 1.0 or member.credit >= 1.0

    def limit(self, member: Member, maximum: int) -> int:
        """Give how many attempts it may have in flight."""
        return ceil(member.ramp * maximum)

    def took(self, member: Member) -> None:
        """It took an attempt."""
        if member.ramp < 1.0:
            member.credit = max(0.0, member.credit - 1.0)


def set_ramps(instances: Instances, now: float, window: float) -> Pacing | None:
    """Bring the ramps of a level's members up to date; None when all have their full share."""
    members = instances.members
    if not window:
        ramps = [1.0] * len(members)
    else:
        ramps = [ramp(now, max(member.backend.ready_since, member.returned), window) for member in members]
    furthest = max(ramps, default=1.0)
    for member, share in zip(members, ramps, strict=True):
        member.ramp = share / furthest
    instances.weight = sum([member.weight * member.ramp for member in members])
    return Pacing(instances) if min(ramps, default=1.0) < furthest else None
