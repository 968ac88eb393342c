"""
A plain reverse proxy of an aiohttp server and an aiohttp client, as one would write it.

Written to be fair: uvloop, aiohttp's C parser, the low-level server without a router or
middlewares, one client session with keep-alive and no limit, raw header fields passed on, small
answers sent in one write and large ones streamed. Arguments: port, backend's port, workers, path
of the access log ("" for none).
"""

import asyncio
import json
import logging
import logging.handlers
import os
import queue
import signal
import socket
import sys
import time
import uuid

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
STREAM_FROM = 1 << 16
METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD"})


def forwarded(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the fields that go to the other side."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


class Proxy:
    """One worker: passes every request to the backend."""

    def __init__(self, session: aiohttp.ClientSession, backend: str, log: logging.Logger | None) -> None:
        self._session = session
        self._backend = backend
        self._log = log

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass one request on and its answer back."""
        started = time.time()
        headers = forwarded(request.headers)
        headers["X-Forwarded-For"] = request.remote or ""
        headers["X-Forwarded-Proto"] = "http"
        request_id = headers.setdefault("X-Request-ID", uuid.uuid4().hex)
        body = request.content if request.can_read_body else None
        async with self._session.request(
            request.method,
            self._backend + request.path_qs,
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            response = await self._answer(request, answer)
        if self._log:
            self._write_log(request, answer.status, started, request_id)
        return response

    async def _answer(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = forwarded(answer.headers)
        if (answer.content_length or STREAM_FROM) < STREAM_FROM:
            return web.Response(
                status=answer.status, reason=answer.reason, headers=headers, body=await answer.read()
            )
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await response.prepare(request)
        async for data in answer.content.iter_any():
            await response.write(data)
        await response.write_eof()
        return response

    def _write_log(self, request: web.BaseRequest, status: int, started: float, ident: str) -> None:
        assert self._log is not None
        record = {
            "time": started,
            "client": request.remote,
            "method": request.method,
            "target": request.path_qs,
            "status": status,
            "duration": time.time() - started,
            "backend": self._backend,
            "request_id": ident,
        }
        self._log.info(json.dumps(record))


def access_log(path: str) -> tuple[logging.Logger, logging.handlers.QueueListener] | None:
    """Return a logger that writes in a thread of its own, or None without a path."""
    if not path:
        return None
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger = logging.getLogger("access")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.handlers.QueueHandler(lines))
    listener = logging.handlers.QueueListener(lines, logging.FileHandler(path))
    listener.start()
    return logger, listener


async def serve(port: int, backend_port: int, log_path: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    log = access_log(log_path)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=60),
    ) as session:
        proxy = Proxy(session, f"http://127.0.0.1:{backend_port}", log[0] if log else None)
        server = web.Server(proxy.handle, access_log=None, keepalive_timeout=300)
        runner = web.ServerRunner(server)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", port), backlog=4096, reuse_port=True)
        await web.SockSite(runner, listener).start()
        await stop.wait()
        await runner.cleanup()
    if log:
        log[1].stop()


def main() -> None:
    """Start the workers; the first process is one of them and takes the others with it."""
    port, backend_port, workers, log_path = (*map(int, sys.argv[1:4]), sys.argv[4])
    children: list[int] = []
    for _ in range(workers - 1):
        pid = os.fork()
        if not pid:
            children = []
            break
        children.append(pid)
    uvloop.run(serve(port, backend_port, log_path))
    for pid in children:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
