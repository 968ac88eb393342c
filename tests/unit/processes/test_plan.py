"""Plans: what is told is what is heard."""

import os
from pathlib import Path

import pytest

from pcs_gateway.processes.plan import (
    PROCESS_VARIABLE,
    ControlPlan,
    Listener,
    ListenPlan,
    Patience,
    SupervisorPlan,
    WorkerPlan,
    available_cores,
    same_addresses,
)

SHARED = {
    "row": 3,
    "incarnation": 9,
    "generation": 2,
    "scoreboard_fd": 5,
    "ticket_fds": (6, 7),
    "lifeline_fd": 8,
    "state_directory": "/var/lib/gateway",
    "drain_delay": 1.0,
    "drain_timeout": 30.0,
}
WORKER = WorkerPlan(listeners=(Listener("*:1", False, "0.0.0.0:1", 10),), **SHARED)  # type: ignore[arg-type]
CONTROL = ControlPlan(
    listeners=(Listener("*:1", False, "0.0.0.0:1", -1),),
    config="/etc/gateway.yaml",
    workers=4,
    workers_fixed=True,
    link_fd=11,
    admin="127.0.0.1:9901",
    admin_bound="127.0.0.1:9901",
    admin_fd=12,
    **SHARED,  # type: ignore[arg-type]
)


def test_supervisor_plan_survives_its_text() -> None:
    """A plan is equal after it went through the environment."""
    plan = SupervisorPlan(
        config="/etc/gateway.yaml",
        listen=(ListenPlan("[::]:443", True), ListenPlan("0.0.0.0:80")),
        admin="",
        workers=3,
        state_directory="/tmp/x",
        patience=Patience(settle=0.5),
    )

    assert SupervisorPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("plan", [WORKER, CONTROL])
def test_process_plan_survives_its_text(plan: WorkerPlan | ControlPlan) -> None:
    """A plan is equal after it went through the environment."""
    assert type(plan).from_json(plan.to_json()) == plan


def test_descriptors_are_those_to_inherit() -> None:
    """A worker inherits its listeners; the control process its link and admin socket, but no listener."""
    assert [5, 6, 7, 8, 10] == sorted(WORKER.descriptors())
    assert [5, 6, 7, 8, 11, 12] == sorted(CONTROL.descriptors())


def test_claimed_plan_is_not_passed_on() -> None:
    """What a process starts later inherits neither its plan nor its descriptors."""
    made = [os.memfd_create("any") for _ in range(6)]
    for fd in made:
        os.set_inheritable(fd, True)
    values = SHARED | {"scoreboard_fd": made[0], "lifeline_fd": made[1], "ticket_fds": tuple(made[2:5])}
    plan = WorkerPlan(listeners=(Listener("*:1", False, "0.0.0.0:1", made[5]),), **values)  # type: ignore[arg-type]
    environ = {PROCESS_VARIABLE: plan.to_json(), "HOME": "/"}

    claimed = WorkerPlan.claim(environ)

    assert claimed == plan
    assert {"HOME": "/"} == environ
    assert not any(os.get_inheritable(fd) for fd in made)
    for fd in made:
        os.close(fd)


def test_files_stand_in_the_state_directory() -> None:
    """Channel and snapshot are found in the state directory."""
    assert WORKER.channel_path == Path("/var/lib/gateway/channel.sock")
    assert WORKER.snapshot_path == Path("/var/lib/gateway/snapshot.bin")


def test_available_cores_are_those_this_process_may_use() -> None:
    """A process that is bound to one core has one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert 1 == available_cores()
    finally:
        os.sched_setaffinity(0, before)
    assert available_cores() == len(before)


def test_addresses_are_the_same_in_any_order() -> None:
    """The order of listen does not matter, TLS does."""
    one, two = ListenPlan("a:1"), ListenPlan("b:2", True)

    assert same_addresses([one, two], [two, one])
    assert not same_addresses([one, two], [one, ListenPlan("b:2")])
    assert not same_addresses([one], [one, two])
