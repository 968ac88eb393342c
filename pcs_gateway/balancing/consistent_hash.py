"""
The same key to the same backend, for as long as that one is ready and not overloaded.

The law of this file:

- a key is hashed to one of `SLOTS` slots, and each slot ranks all backends by weighted rendezvous hashing
  (Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998): each backend draws a number for
  the slot, and the greatest wins. The draws depend on the slot and the backend's URL alone, so all workers,
  and the gateway after a restart, agree. When a backend leaves, only its keys move, and they spread over all
  others; when one comes, or gets another weight, keys move only to or from it;
- a backend takes an attempt only while it has less in flight than `hash_balance_factor` times its share by
  weight of what the pool has in flight, this attempt included (Mirrokni, Thorup and Zadimoghaddam,
  "Consistent Hashing with Bounded Loads", SODA 2018); beyond that the next in the slot's ranking is asked.
  Somebody always is below, since the factor is at least 1;
- a backend in slow start takes a part of its keys that grows with its ramp; none of them moves twice;
- a request without the key goes to the least loaded.

Draws are by simple tabulation: two tables of 256 random words for each backend, xored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import shake_128
from math import log
from operator import truediv
from struct import unpack
from zlib import crc32

from pcs_gateway.backends.member import Instances, Member
from pcs_gateway.balancing.strategy import LoadBalancingStrategy, PCSRequest, StrategyContext
from pcs_gateway.http.lookup import cookie_value, field_value
from pcs_gateway.http.targets import read_target

SLOTS = 1 << 16
FEW = 8
"""Places of a ranking that are remembered, for keys whose first backend is overloaded."""
REMEMBERED = 1 << 14
"""Slots for which they are."""

_HALF = 256
_WORD = 1 << 32


def draws_of(url: str) -> tuple[int, ...]:
    """Give the random words of a backend: 256 for the low byte of a slot, and 256 for the high one."""
    return unpack(f"<{2 * _HALF}I", shake_128(url.encode()).digest(8 * _HALF))


def key_reader(hash_on: str) -> Callable[[PCSRequest], bytes]:
    """Give the function that reads the key of `header:NAME`, `cookie:NAME`, `path` or `client_address`."""
    kind, _, name = hash_on.partition(":")
    wanted = name.encode("latin-1")
    lowered = wanted.lower()
    readers: dict[str, Callable[[PCSRequest], bytes]] = {
        "header": lambda request: field_value(request.fields.section, lowered),
        "cookie": lambda request: cookie_value(request.fields.section, wanted),
        "path": _path,
        "client_address": lambda request: request.client.encode(),
    }
    return readers[kind]


def _path(request: PCSRequest) -> bytes:
    """Give the path without its query, in normal form when it is not obvious that it is."""
    target = request.target
    if target[:1] != b"/" or b"%" in target:
        return read_target(request.method, target).path
    return target.partition(b"?")[0]


class Places:
    """
    Who comes first, second and so on in each slot, for one set of backends; found out when it is asked for.

    Attributes:
        firsts: By slot; None where nobody asked yet.
        weight: Of all together.
    """

    __slots__ = ("_members", "_scales", "_starts", "_tables", "firsts", "weight")

    def __init__(self, instances: Instances) -> None:
        self._members = instances.members
        self._tables = [draws_of(member.backend.url) for member in instances.members]
        is_weighted = len(set(instances.weights)) > 1
        self._scales = [1.0 / weight for weight in instances.weights] if is_weighted else None
        self._starts: dict[int, tuple[Member, ...]] = {}
        self.firsts: list[Member | None] = [None] * SLOTS
        self.weight = float(sum(instances.weights))

    def find(self, slot: int) -> Member:
        """Give who comes first in a slot, and remember it."""
        scores = self._scores(slot)
        first = self.firsts[slot] = self._members[scores.index(max(scores))]
        return first

    def start(self, slot: int) -> tuple[Member, ...]:
        """Give the first few of a slot's ranking, and remember them."""
        known = self._starts.get(slot)
        if known is None:
            if len(self._starts) >= REMEMBERED:
                self._starts = {}
            known = self._starts[slot] = self.ranking(slot)[:FEW]
        return known

    def ranking(self, slot: int) -> tuple[Member, ...]:
        """Give all backends in the order of a slot."""
        scores, members = self._scores(slot), self._members
        order = sorted(range(len(members)), key=scores.__getitem__, reverse=True)
        return tuple([members[position] for position in order])

    def _scores(self, slot: int) -> list[float]:
        low, high = slot % _HALF, slot // _HALF + _HALF
        words: list[float] = [table[low] ^ table[high] for table in self._tables]
        if self._scales is None:
            return words
        return [log((word + 0.5) / _WORD) * scale for word, scale in zip(words, self._scales, strict=True)]


class ConsistentHashStrategy(LoadBalancingStrategy):
    """Each key at its own backend, with bounded load."""

    def __init__(self, context: StrategyContext) -> None:
        super().__init__(context)
        self._key = key_reader(context.hash_on or "path")
        self._factor = context.hash_balance_factor

    def weigh(self, member: Member) -> None:
        """Let loads be plain counts, so that their sum is what the pool has in flight."""
        member.weigh(1.0, 0.0)

    def select_instance(self, instances: Instances, request: PCSRequest | None) -> Member:
        """Give the first in the key's ranking that is not overloaded."""
        key = self._key(request) if request is not None else b""
        if not key:
            return self._least_loaded(instances)
        mark = crc32(key)
        places: Places = instances.prepared or self._prepare(instances)
        first = places.firsts[mark % SLOTS] or places.find(mark % SLOTS)
        in_flight = first.in_flight + first.others
        if first.ramp < 1.0 or (in_flight and in_flight >= self._most(instances) * first.weight):
            return self._next(instances, places, mark)
        return first

    def order(self, instances: Instances, request: PCSRequest | None, first: Member) -> Iterator[Member]:
        """Give the others in the order of the key's ranking; without a key the least loaded come first."""
        key = self._key(request) if request is not None else b""
        if key:
            places: Places = instances.prepared or self._prepare(instances)
            ranking = places.ranking(crc32(key) % SLOTS)
        else:
            ranked = sorted(zip(_loads(instances), range(len(instances)), instances.members, strict=True))
            ranking = tuple([member for _, _, member in ranked])
        return (member for member in ranking if member is not first)

    def draw(self, request: PCSRequest | None) -> float:
        """Keep a key at its level, too."""
        key = self._key(request) if request is not None else b""
        return _spread(crc32(key)) if key else super().draw(request)

    def heeds_ramp(self, request: PCSRequest | None) -> bool:
        """Tell whether the request has a key: its ranking then heeds the ramp."""
        return request is not None and bool(self._key(request))

    def _prepare(self, instances: Instances) -> Places:
        instances.prepared = places = Places(instances)
        return places

    def _most(self, instances: Instances) -> float:
        """What a backend may have in flight per weight before this attempt is one too many."""
        return self._factor * (sum(instances.loads) + 1.0) / instances.weight

    def _next(self, instances: Instances, places: Places, mark: int) -> Member:
        most, slot = self._most(instances), mark % SLOTS
        # a tenth of its weight is a little more than a tenth of its keys: the sum of all is smaller, too
        point = _spread(mark) * instances.weight / places.weight
        for member in places.start(slot):
            if point < member.ramp and _has_room(member, most):
                return member
        ranking = places.ranking(slot)
        has_room = [member for member in ranking if _has_room(member, most)] or ranking
        return next((member for member in has_room if point < member.ramp), has_room[0])

    def _least_loaded(self, instances: Instances) -> Member:
        loads = _loads(instances)
        least = min(loads)
        start = int(self.context.random.random() * len(loads))
        try:
            return instances.members[loads.index(least, start)]
        except ValueError:
            return instances.members[loads.index(least)]


def _has_room(member: Member, most: float) -> bool:
    return member.in_flight + member.others < most * member.weight * member.ramp


def _spread(mark: int) -> float:
    """Give a number from 0 to 1 out of the part of a hash that does not choose the slot."""
    return ((mark >> 16) * 40503 & 0xFFFF) / 0x10000


def _loads(instances: Instances) -> list[float]:
    """Give attempts in flight per weight."""
    return list(map(truediv, instances.loads, [member.weight for member in instances.members]))
