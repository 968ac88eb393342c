"""A process that the demo starts and ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from pcs_gateway.clock import Clock
from pcs_gateway.errors import CommandError

POLL = 0.05
LOG_TAIL_LINES = 5


class Child:
    """
    One process, whose output goes to a file.

    It has a session of its own, so that Ctrl-C reaches the demo alone, which ends its children in order.

    Args:
        name: For messages.
        command: Program and arguments.
        log: Where its output is appended.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"<Child {self.name}: pid {self.pid}, {'running' if self.is_running else 'ended'}>"

    @property
    def pid(self) -> int:
        """The process's number; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def ending(self) -> str:
        """How it ended, for people."""
        status = self._process.returncode if self._process else None
        if status is None:
            return "has not ended"
        return (
            f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        )

    async def start(self) -> None:
        """Start it, for the first time or again."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )

    async def wait(self) -> None:
        """Wait until it has ended."""
        if self._process is not None:
            await self._process.wait()

    async def end(self, patience: float) -> None:
        """Ask it to end; kill it, and all it started, when it has not within `patience` seconds."""
        if self._process is None or not self.is_running:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), patience)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it and all it started at once."""
        if self.is_running:
            os.killpg(self.pid, signal.SIGKILL)

    async def listens(self, host: str, port: int, clock: Clock, patience: float) -> None:
        """
        Wait until it takes connections.

        Raises:
            CommandError: It ended instead, or did not in time.
        """
        deadline = clock.monotonic() + patience
        while clock.monotonic() < deadline:
            self.check()
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await clock.sleep(POLL)
            else:
                writer.close()
                return
        raise CommandError(
            f"{self.name} does not listen on {host}:{port} after {patience:g} s{self.last_words()}"
        )

    def check(self) -> None:
        """
        Raises:
            CommandError: It has ended.
        """
        if not self.is_running:
            raise CommandError(f"{self.name} {self.ending}{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of its log, as the end of a message."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return f"; its last words: {' | '.join(lines)}" if lines else ""

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass  # it ended by itself just now
