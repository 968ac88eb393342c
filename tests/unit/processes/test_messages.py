"""Messages: each survives the wire as what it was."""

import msgspec
import pytest

from pcs_gateway.backends import Backend, PoolSnapshot
from pcs_gateway.backends.outlier.ways import Bearing
from pcs_gateway.processes.messages import (
    Acknowledged,
    ControlMessage,
    Evidence,
    EvidenceEntry,
    Hello,
    Measurements,
    MeasurementsAdded,
    PoolUpdate,
    Refused,
    Snapshot,
    Verdict,
    WorkerMessage,
    replace_pool,
)
from pcs_gateway.telemetry.delta import Delta

BACKEND = Backend("pcs", "one", "http://one:80", "http", "one", 80, ("192.0.2.1",), 1, 0, 1)
POOL = PoolSnapshot("pcs", 0, (BACKEND,))
SNAPSHOT = Snapshot(4, {"workers": "auto"}, (POOL, PoolSnapshot("other", 1, ())))


@pytest.mark.parametrize(
    "message",
    [
        Hello(1, 2, 3),
        Acknowledged(4),
        Measurements(5, Delta(reasons={"refused": 6})),
        Evidence((EvidenceEntry("pcs", "one", 5, 2, "connection_refused", 7.5, Bearing.LATE, accuses=True),)),
    ],
)
def test_worker_message_survives(message: WorkerMessage) -> None:
    """What a worker sends is what the control process reads."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=WorkerMessage) == message


@pytest.mark.parametrize(
    "message",
    [SNAPSHOT, PoolUpdate(5, POOL), Verdict("pcs", "one", True), MeasurementsAdded(6), Refused("no")],
)
def test_control_message_survives(message: ControlMessage) -> None:
    """What the control process sends is what a worker reads."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=ControlMessage) == message


def test_update_replaces_one_pool() -> None:
    """After an update one pool and the version differ, all else is as it was."""
    after = replace_pool(SNAPSHOT, PoolUpdate(5, PoolSnapshot("pcs", 0, ())))

    assert after == Snapshot(5, {"workers": "auto"}, (PoolSnapshot("pcs", 0, ()), SNAPSHOT.pools[1]))


def test_update_of_an_unknown_pool_adds_none() -> None:
    """An update of a pool that was removed meanwhile brings it not back."""
    after = replace_pool(SNAPSHOT, PoolUpdate(5, PoolSnapshot("gone", 7, ())))

    assert after == Snapshot(5, SNAPSHOT.configuration, SNAPSHOT.pools)
