"""
A stand-in for the control process: its admin API tells what it knows and passes requests on.

    GET /readyz        200, or 503 as soon as the gateway was told to stop
    GET /plan          what the supervisor told it, its pid and how often it was told to reload
    POST /generation   {"listen": [{"address", "tls"}], "workers"}: asks for a new generation
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from dataclasses import asdict
from typing import Any

from pcs_gateway.clock import SystemClock
from pcs_gateway.processes.liveness import Heartbeat, heed, watch_lifeline
from pcs_gateway.processes.plan import ControlPlan, ListenPlan
from pcs_gateway.processes.scoreboard import Scoreboard
from pcs_gateway.processes.supervisor_link import GenerationError, SupervisorLink


class Control:
    """One stand-in."""

    def __init__(self, plan: ControlPlan) -> None:
        self.plan = plan
        self.scoreboard = Scoreboard.attach(plan.scoreboard_fd)
        self.stopping = asyncio.Event()
        self.ready = not self.scoreboard.draining
        self.reloads = 0
        self.link = SupervisorLink(plan.link_fd, self.drain, self.reload)

    def drain(self) -> None:
        """Be ready no more."""
        self.ready = False

    def reload(self) -> None:
        """Count it."""
        self.reloads += 1

    async def run(self) -> None:
        """Serve until told to stop."""
        Heartbeat(self.scoreboard.row(self.plan.row), SystemClock()).start()
        watch_lifeline(self.plan.lifeline_fd, self.stopping.set, 5)
        heed({signal.SIGTERM: self.stopping.set})
        self.link.start()
        server = await asyncio.start_server(self.serve, sock=socket.socket(fileno=self.plan.admin_fd))
        await self.stopping.wait()
        server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0
        )
        status, answer = await self.answer(head.split(b" ")[1].decode(), await reader.readexactly(length))
        body = json.dumps(answer).encode()
        writer.write(b"HTTP/1.0 %d .\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()

    async def answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Do what the path says."""
        if path == "/readyz":
            return (200 if self.ready else 503), {}
        if path == "/plan":
            return 200, {**asdict(self.plan), "pid": os.getpid(), "reloads": self.reloads}
        request = json.loads(body)
        listen = [ListenPlan(**one) for one in request["listen"]]
        try:
            return 200, {"generation": await self.link.new_generation(listen, request["workers"])}
        except GenerationError as error:
            return 409, {"error": str(error)}


async def main() -> None:
    """Run as a control process."""
    await Control(ControlPlan.claim(os.environ)).run()


if __name__ == "__main__":
    asyncio.run(main())
