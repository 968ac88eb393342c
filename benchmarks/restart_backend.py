"""
A backend that can be restarted under load: quick answers, streams and WebSockets that last, an orderly end.

    python -m benchmarks.restart_backend NAME PORT

    GET /item               after 20 ms
    GET /stream/SECONDS     a line each 50 ms for so long, chunked, then a last line `end`
    GET /socket/SECONDS     WebSocket: a text message each 50 ms for so long, then `end` and an orderly close

Prints its port when it listens. SIGTERM ends it as a well-behaved server ends: what is under way is finished.
"""

import asyncio
import signal
import sys

import uvloop
from aiohttp import web

SERVICE_SECONDS = 0.02
STEP_SECONDS = 0.05
END = "end"


async def item(_request: web.Request) -> web.Response:
    """Answer a little later."""
    await asyncio.sleep(SERVICE_SECONDS)
    return web.json_response({"name": "summary"})


async def stream(request: web.Request) -> web.StreamResponse:
    """Send a line each step, and a last one."""
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(steps(request)):
        await response.write(f"{number}\n".encode())
        await asyncio.sleep(STEP_SECONDS)
    await response.write(f"{END}\n".encode())
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    """Send a message each step, a last one, and close."""
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    for number in range(steps(request)):
        await connection.send_str(str(number))
        await asyncio.sleep(STEP_SECONDS)
    await connection.send_str(END)
    await connection.close()
    return connection


def steps(request: web.Request) -> int:
    """Return how many steps the path asks for."""
    return round(float(request.match_info["seconds"]) / STEP_SECONDS)


async def healthy(_request: web.Request) -> web.Response:
    """Pass the check."""
    return web.Response(text="ok")


async def serve(name: str, port: int) -> None:
    """Serve until SIGTERM, then finish what is under way."""

    async def sign(_request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers["X-PCS-Instance"] = name

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    application = web.Application()
    application.on_response_prepare.append(sign)
    application.add_routes(
        [
            web.get("/health", healthy),
            web.get("/item", item),
            web.get("/stream/{seconds}", stream),
            web.get("/socket/{seconds}", socket),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=30)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096, reuse_address=True).start()
    print(runner.addresses[0][1], flush=True)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    """Read the command line and serve."""
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
