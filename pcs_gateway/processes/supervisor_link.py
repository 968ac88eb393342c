"""The control process' end of the link to its supervisor."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from pcs_gateway.errors import GatewayError
from pcs_gateway.processes.link import receive_packet, send_packet
from pcs_gateway.processes.plan import ListenPlan


class GenerationError(GatewayError):
    """The supervisor could not start the new generation; its text says why. The old one serves on."""


class SupervisorLink:
    """
    Asks the supervisor, and hears from it.

    Args:
        fd: `link_fd` of the plan.
        on_drain: Called when the gateway was told to stop: readiness turns 503.
        on_reload: Called for SIGHUP.
    """

    def __init__(self, fd: int, on_drain: Callable[[], None], on_reload: Callable[[], None]) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._on_drain = on_drain
        self._on_reload = on_reload
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[int]] = {}

    def __repr__(self) -> str:
        return f"<SupervisorLink: {len(self._answers)} requests under way>"

    def start(self) -> None:
        """Listen, in the running loop."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Hang up; requests under way fail."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(GenerationError("the supervisor is gone"))

    async def new_generation(self, listen: Sequence[ListenPlan], workers: int) -> int:
        """
        Have these addresses served by so many new workers, and the old ones drained.

        Returns:
            The number of the new generation; all its workers accept.

        Raises:
            GenerationError: It did not come up (address in use, …) and the old one serves on.
        """
        number = next(self._numbers)
        request = {"request": number, "listen": [asdict(one) for one in listen], "workers": workers}
        if not send_packet(self._socket, {"new_generation": request}):
            raise GenerationError("the supervisor takes no request now")
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            generation: int = await answer
            return generation
        finally:
            del self._answers[number]

    def set_drain(self, delay: float, timeout: float) -> None:
        """Tell the supervisor the drain times (seconds) of a reloaded configuration."""
        send_packet(self._socket, {"drain": {"delay": delay, "timeout": timeout}})

    def _readable(self) -> None:
        try:
            message = receive_packet(self._socket)
        except (BlockingIOError, ValueError):
            return
        if message is None:
            self.close()
            return
        self._receive(message)

    def _receive(self, message: dict[str, Any]) -> None:
        if message.get("draining"):
            self._on_drain()
        if message.get("reload"):
            self._on_reload()
        answer = self._answers.get(message.get("request", 0))
        if answer is None or answer.done():
            return
        if "generation" in message:
            answer.set_result(message["generation"])
        else:
            answer.set_exception(GenerationError(message.get("error", "no reason given")))
