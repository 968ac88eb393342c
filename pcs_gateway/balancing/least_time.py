"""
The least expected time: latency average × (1 + in flight) / weight.

The average is a plain moving one, not a peak: per-request stragglers would make a peak average jump on
backends that are not slow. A failed attempt counts as a slow one, else a backend that fails fast would
look like the fastest and draw all traffic. A backend without a measurement costs nothing, so it is tried.
"""

from __future__ import annotations

from pcs_gateway.balancing.least_connections import LeastConnectionsStrategy


class LeastTimeStrategy(LeastConnectionsStrategy):
    """The backend that is expected to answer first; ties take turns."""

    uses_latency = True
