"""`python -m pcs_gateway.sample`: one instance as a process of its own."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import msgspec
import uvloop

from pcs_gateway.sample.config import SampleConfig
from pcs_gateway.sample.faults import Database, Ending, Faults
from pcs_gateway.sample.server import SampleServer

DESCRIPTION = "A small stand-in for one instance of PCS, with faults to order."
EXAMPLES = """\
examples:
  python -m pcs_gateway.sample --port 8001 --instance one
  python -m pcs_gateway.sample --port 8002 --instance two --database pcs.db --latency 'lognormal 20ms 0.5'
  curl http://127.0.0.1:8001/api/v1/prompts/?size=3
  curl -X PATCH http://127.0.0.1:8001/sample/faults -d '{"error_share": 0.1, "slow_share": 0.05}'
  curl -X DELETE http://127.0.0.1:8001/sample/faults
"""


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pcs_gateway.sample",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, required=True, help="port; 0 takes a free one")
    add("--instance", default="one", help="its name, sent as X-PCS-Instance (default: %(default)s)")
    add("--database", default=":memory:", help="a file that instances share (default: in memory)")
    add("--keep-alive", type=float, default=5.0, help="seconds an idle connection is kept (default: 5)")
    add("--as-is", action="store_true", help="answer 500 where PCS as it is shipped does")
    add("--trusted-host", default="", help="serve only this Host, as PCS in production")
    add("--seed", type=int, help="of chance, to repeat a run")
    add(
        "--latency",
        default="0ms",
        help="such as '20ms' or 'lognormal 20ms 0.6'",
    )
    add("--slow-share", type=float, default=0.0, help="share of requests that take --slow-latency more")
    add("--slow-latency", default="1s", help="as --latency (default: %(default)s)")
    add("--work", default="0ms", help="CPU time each request burns while the instance waits")
    add("--error-share", type=float, default=0.0, help="share of requests that fail")
    add("--error-ending", default="answer", choices=[one.value for one in Ending], help="how they fail")
    add("--error-status", type=int, default=503, help="the status they are answered with")
    add("--hang", action="store_true", help="accept connections and answer nothing")
    add("--not-ready", action="store_true", help="answer readiness with 503")
    add(
        "--database-state",
        default="up",
        choices=[one.value for one in Database],
        help="as routes see it",
    )
    return parser


def parse(arguments: Sequence[str]) -> SampleConfig:
    """Read the command line; a wrong one exits with status 2 and says why."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        faults = msgspec.convert(
            {
                "latency": options.latency,
                "slow_share": options.slow_share,
                "slow_latency": options.slow_latency,
                "work": options.work,
                "error_share": options.error_share,
                "error_ending": options.error_ending,
                "error_status": options.error_status,
                "hang": options.hang,
                "not_ready": options.not_ready,
                "database": options.database_state,
            },
            type=Faults,
        )
    except msgspec.ValidationError as error:
        parser.error(str(error))
    return SampleConfig(
        host=options.host,
        port=options.port,
        instance=options.instance,
        database=options.database,
        keep_alive=options.keep_alive,
        as_is=options.as_is,
        trusted_host=options.trusted_host,
        faults=faults,
        seed=options.seed,
        may_die=True,
    )


async def serve(config: SampleConfig) -> None:
    """Serve until SIGTERM, which waits for what is in flight, or SIGINT, which does not."""
    ended: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()

    def end(timeout: float | None) -> None:
        if not ended.done():
            ended.set_result(timeout)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, end, None)
    loop.add_signal_handler(signal.SIGINT, end, 0.0)
    server = SampleServer(config)
    await server.start()
    sys.stdout.write(f"sample PCS {config.instance!r} on {server.url} (pid {os.getpid()})\n")
    sys.stdout.flush()
    await server.stop(await ended)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one instance; return the exit status."""
    config = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        uvloop.run(serve(config))
    except OSError as error:
        sys.stderr.write(
            f"sample PCS: cannot listen on {config.host}:{config.port}: {os.strerror(error.errno or 0)}\n"
        )
        return 1
    return 0
