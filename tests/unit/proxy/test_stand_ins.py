"""
What stands in for an exchange takes all that a backend's connection has to say, or leaves it on purpose.

A stand-in is an exchange by its class, so an entry point that it forgets does what an exchange does: it
answers a client, and counts for a backend.
"""

from __future__ import annotations

import ast
import inspect

import pytest

from pcs_gateway.proxy import upstream, upstream_pool
from pcs_gateway.proxy.exchange import Exchange
from pcs_gateway.proxy.hedge import Hedge
from pcs_gateway.proxy.leftover import HeldRest, Leftover, LostAttempt

INDIRECT = {"takes_failure", "refuse", "successor"}
"""Entry points that a connection reaches through `failing` and `endings`, or that are no call."""

NEVER_CONNECTS = {"send", "wants_connection"}
"""Its request was sent before it was there, so it waits for no connection."""

INHERITED: dict[type[Exchange], set[str]] = {
    # from a good response head on its connection is the owner's, with a bad one it ends
    Hedge: {"respond_more"},
    # without a client an exchange passes on nothing and ends instead of answering
    Leftover: {"pass_interim", "refuse", "successor"} | NEVER_CONNECTS,
    LostAttempt: {"pass_interim", "successor"} | NEVER_CONNECTS,
    HeldRest: {"pass_interim", "refuse", "successor"} | NEVER_CONNECTS,
}
"""What each stand-in leaves as it is for an exchange, and why."""


def entry_points() -> set[str]:
    """Find what connections, and the pool that opens them, call on their exchanges."""
    found = set(INDIRECT)
    for module in (upstream, upstream_pool):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                subject = node.func.value
                name = subject.id if isinstance(subject, ast.Name) else getattr(subject, "attr", "")
                if name == "exchange":
                    found.add(node.func.attr)
    return found


def stand_ins(of: type[Exchange] = Exchange) -> set[type[Exchange]]:
    """Find every class that stands in for an exchange."""
    direct = set(of.__subclasses__())
    return direct.union(*map(stand_ins, direct))


def test_entry_points_are_found() -> None:
    """The search finds what is known to be there."""
    assert {"respond_whole", "respond", "respond_more", "pass_interim", "send"} <= entry_points()


def test_all_stand_ins_are_judged() -> None:
    """A new one joins the table."""
    assert stand_ins() == set(INHERITED)


@pytest.mark.parametrize("stand_in", INHERITED)
def test_every_entry_point_is_its_own_or_inherited_on_purpose(stand_in: type[Exchange]) -> None:
    """Nothing is left as it is for an exchange by mistake."""
    own = {name for one in stand_in.__mro__[: stand_in.__mro__.index(Exchange)] for name in vars(one)}

    assert entry_points() - own == INHERITED[stand_in]
