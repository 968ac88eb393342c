"""
A stand-in for the worker process: answers every request with who it is, and drains as a worker must.

    GET /                who answers, as JSON
    GET /slow/SECONDS    the same, later
    GET /count/COLUMN    the same, and leaves one attempt in flight on that column for ever

It ends at once, before it accepts, when a file `fail-generation-N` with its generation's number lies in the
state directory.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

from pcs_gateway.clock import SystemClock
from pcs_gateway.processes.liveness import Heartbeat, heed, watch_lifeline
from pcs_gateway.processes.plan import WorkerPlan
from pcs_gateway.processes.scoreboard import Scoreboard


class Worker:
    """One stand-in."""

    def __init__(self, plan: WorkerPlan) -> None:
        self.plan = plan
        self.row = Scoreboard.attach(plan.scoreboard_fd).row(plan.row)
        self.listeners = [socket.socket(fileno=one.fd) for one in plan.listeners]
        self.connections: set[asyncio.Task[None]] = set()
        self.draining = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to drain, and drain."""
        loop = asyncio.get_running_loop()
        Heartbeat(self.row, SystemClock()).start()
        watch_lifeline(self.plan.lifeline_fd, self.draining.set, self.plan.drain_timeout + 5)
        heed({signal.SIGTERM: self.draining.set})
        for listener in self.listeners:
            loop.add_reader(listener.fileno(), self.accept, listener)
        self.row.accepting = 1
        await self.draining.wait()
        self.row.accepting = 0
        for listener in self.listeners:
            loop.remove_reader(listener.fileno())
            while self.accept(listener):
                pass
            listener.close()
        if self.connections:
            await asyncio.wait(self.connections, timeout=self.plan.drain_timeout)

    def accept(self, listener: socket.socket) -> bool:
        """Accept one connection, if there is one."""
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return False
        client.setblocking(False)
        task = asyncio.get_running_loop().create_task(self.serve(client))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)
        return True

    async def serve(self, client: socket.socket) -> None:
        """Answer one request after another; none after the drain began."""
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            while await self.answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether another may come."""
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 0.5 if self.draining.is_set() else None)
        what, number = (head.split(b" ")[1].decode() + "/").split("/")[1:3]
        if what == "slow":
            await asyncio.sleep(float(number))
        if what == "count":
            self.row.in_flight[int(number)] += 1
        plan = self.plan
        body = json.dumps({"pid": os.getpid(), "row": plan.row, "generation": plan.generation}).encode()
        close = self.draining.is_set() or b"Connection: close" in head
        connection = b"Connection: close\r\n" if close else b""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), connection, body))
        await writer.drain()
        return not close


def main() -> None:
    """Run as a worker."""
    plan = WorkerPlan.claim(os.environ)
    if Path(plan.state_directory, f"fail-generation-{plan.generation}").exists():
        raise SystemExit(3)
    asyncio.run(Worker(plan).run())


if __name__ == "__main__":
    main()
