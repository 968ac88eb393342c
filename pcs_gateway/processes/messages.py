"""
Messages of the channel between the control process and the workers.

Typed and tagged MessagePack. A connection begins with the worker's `Hello`; the control process answers
with a full `Snapshot`, or with `Refused` when it cannot talk to this worker. From then on both sides send
what they have; what each message means when the connection breaks is said at the message.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pcs_gateway.backends import PoolSnapshot
from pcs_gateway.backends.outlier.ways import Bearing
from pcs_gateway.telemetry.delta import Delta

PROTOCOL: Final = 3
"""Raised with each change after which old and new processes would misunderstand each other."""


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """
    The first message of a worker. It never changes its shape, so that any two versions can say they differ.

    Attributes:
        row: The worker's row of the scoreboard.
        incarnation: As in that row; a worker of another gateway cannot have it.
        protocol: `PROTOCOL` of the worker's code.
    """

    row: int
    pid: int
    incarnation: int
    protocol: int = PROTOCOL


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """The worker applies this version (a snapshot's or an update's) and none before it."""

    version: int


class Measurements(msgspec.Struct, frozen=True, tag="measurements"):
    """
    What a worker measured since its last delta.

    Sent again, unchanged, on the next connection until it is acknowledged; added once per sequence number.

    Attributes:
        sequence: 1, 2, 3 … within one incarnation.
    """

    sequence: int
    delta: Delta


EVIDENCE_DELAY = 0.01
"""Seconds that evidence waits at a worker for more of it."""


class EvidenceEntry(msgspec.Struct, frozen=True):
    """
    What traffic of one worker says about one backend.

    Attributes:
        failures: Gateway failures in a row, in order, since the last entry about this backend.
        successes: Attempts that succeeded after them.
        kind: Of the last failure, for the log (`connection_refused` …); empty when there was none.
        at: Monotonic seconds, the same in all processes: when the last of them ended.
        bearing: Whom the failures speak against.
        accuses: The worker has seen enough: it skips the backend until it gets a verdict.
    """

    pool: str
    backend: str
    failures: int
    successes: int = 0
    kind: str = ""
    at: float = 0.0
    bearing: Bearing = Bearing.BACKEND
    accuses: bool = False


class Evidence(msgspec.Struct, frozen=True, tag="evidence"):
    """Outlier evidence, oldest first. Sent at once; what is under way when a connection breaks is lost."""

    entries: tuple[EvidenceEntry, ...]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The control process cannot talk to this worker and closes; the worker keeps what it knows."""

    reason: str


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """
    Everything a worker needs to know.

    Attributes:
        version: Greater than that of everything published before, also by an earlier control process.
        configuration: `GatewayConfig.model_dump(mode="json")`.
        pools: Every pool, with the readiness of its backends.
        files: Certificates and keys that the configuration names, by path: what every worker uses was read
            and judged once, and does not depend on what lies on the disk when a worker starts.
    """

    version: int
    configuration: dict[str, Any]
    pools: tuple[PoolSnapshot, ...]
    files: dict[str, bytes] = {}


class PoolUpdate(msgspec.Struct, frozen=True, tag="pool_update"):
    """One pool replaced in the snapshot before: readiness, weights, addresses. Its version succeeds it."""

    version: int
    pool: PoolSnapshot


class Verdict(msgspec.Struct, frozen=True, tag="verdict"):
    """What the control process made of evidence: confirmed (ejected) or denied. To those connected now."""

    pool: str
    backend: str
    ejected: bool


class HedgeDelays(msgspec.Struct, frozen=True, tag="hedge_delays"):
    """
    After how many seconds the requests of a route are hedged; a route that is not named keeps its last value.

    Told when it changes, and to each worker that dials.
    """

    routes: dict[str, float]


class MeasurementsAdded(msgspec.Struct, frozen=True, tag="measurements_added"):
    """The delta with this sequence number was added; the worker may forget it."""

    sequence: int


WorkerMessage = Hello | Acknowledged | Measurements | Evidence
"""What a worker may send."""

ControlMessage = Snapshot | PoolUpdate | Verdict | HedgeDelays | MeasurementsAdded | Refused
"""What the control process may send."""


def replace_pool(snapshot: Snapshot, update: PoolUpdate) -> Snapshot:
    """The snapshot as it is after `update`; a pool that it does not know changes its version only."""
    pools = tuple(update.pool if pool.name == update.pool.name else pool for pool in snapshot.pools)
    return msgspec.structs.replace(snapshot, version=update.version, pools=pools)
