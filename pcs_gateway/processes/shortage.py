"""
What a process is short of when the machine gives it no more: descriptors and memory.

Ports are none of it: they run out for one destination, and the same errno tells that an address is of a kind
which this machine does not speak.

The law of this file: a shortage of ours says nothing of a backend, so it is no evidence against one and no
failed check. And clients never take the descriptors that connections to backends may need: a client without a
backend gets nothing from its place.
"""

from __future__ import annotations

import errno
import resource
import sys
from collections.abc import Iterable
from typing import Final

from pcs_gateway.backends.config import PoolConfig

RESERVED: Final = 128
"""Descriptors for all but connections: about 80 of a worker without traffic, most of them the pools' tickets;
then the log files, and connections that are just being replaced."""

LEAST_CONNECTIONS: Final = 16
"""What clients may hold however low the limit is: with none at all nobody would be told anything."""

_OF_DESCRIPTORS: Final = frozenset((errno.EMFILE, errno.ENFILE))
_OURS: Final = _OF_DESCRIPTORS | {errno.ENOBUFS, errno.ENOMEM}


def is_of_descriptors(error: OSError) -> bool:
    """Tell whether closing a connection would have helped."""
    return error.errno in _OF_DESCRIPTORS


def is_ours(error: OSError) -> bool:
    """Tell whether it was a shortage of ours that kept us from a connection."""
    return error.errno in _OURS


def descriptor_limit() -> int:
    """Return how many descriptors this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def needed_for_backends(pools: Iterable[PoolConfig]) -> int:
    """
    Return the most connections to backends that one worker needs.

    `max_per_backend` bounds the attempts in flight of all workers together, and all of them may be one
    worker's; a connection is only opened for an attempt when none is idle.
    """
    return sum(len(pool.backends) * pool.connections.max_per_backend for pool in pools)


def connections_within(descriptors: int, wanted: int, for_backends: int) -> int:
    """
    Return how many connections of clients a worker may hold.

    It is never less than half of what is there, since a client needs no more than one connection to a
    backend at a time, however many the pools allow.

    Args:
        descriptors: That it may have open.
        wanted: As configured.
        for_backends: What its connections to backends may need.
    """
    free = descriptors - RESERVED
    return min(wanted, max(free - for_backends, free // 2, LEAST_CONNECTIONS))
