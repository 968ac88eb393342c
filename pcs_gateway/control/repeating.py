"""The loops of the control plane: a step and a pause, for ever, whatever one step runs into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from pcs_gateway.clock import Clock

PAUSE_AFTER_DEFECT = 5.0
"""Seconds until the next step when one raised what it should not."""

_log = structlog.get_logger()


async def repeat(step: Callable[[], Awaitable[float]], clock: Clock, what: str) -> None:
    """Run `step` again and again; it returns the seconds to pause. A defect in it is logged with `what`."""
    while True:
        try:
            pause = await step()
        except Exception:  # noqa: BLE001 - one defect must not end what watches over every backend
            _log.exception("loop_met_a_defect", loop=what)
            pause = PAUSE_AFTER_DEFECT
        await clock.sleep(pause)
