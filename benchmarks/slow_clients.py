"""
Slow clients beside normal ones: 200 that drip a POST and 200 that read a byte a second must harm nobody.

    python -m benchmarks.slow_clients                  # 15 rounds, within eight minutes
    python -m benchmarks.slow_clients --rounds 3 --seconds 3

Each round has a block of normal load without slow clients, one with them, and another one without, in another
order each round; the pair of blocks without shows the noise of the run. Writes results/slow_clients.json and
.md; exit status 1 when something that must hold was missed.
"""

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import command_line, open_loop, results, servers
from benchmarks.comparison import CLAIM_PAIRS, Ratio, paired_ratio, percentiles
from benchmarks.dripping import READY
from benchmarks.fleet_blocks import say
from benchmarks.fleet_servers import split_command
from benchmarks.measuring import rotated
from benchmarks.open_loop import Loaded, Plan
from benchmarks.report import Report, Requirement, Table, milliseconds
from benchmarks.results import Figure

DRIPPING = 200
READING = 200
RATE = 300.0
WARM_SECONDS = 1.0
LEAD_SECONDS = 6.0
"""In which slow clients come before the load, one after another: so they are cut off while it is measured."""

LIMIT = 1.10
DELAY_SECONDS = 0.02
"""What a request takes at the backend: about as long as a read of PCS."""

WITHOUT, WITH, AGAIN = "without", "with slow clients", "without, again"
BLOCKS = (WITHOUT, WITH, AGAIN)
ABOUT = (
    f"One worker before one backend; {RATE:g} requests/s, open loop, GET, 1 KB. "
    f"Slow clients: {DRIPPING} send a POST of 60,000 bytes, a byte a second; {READING} ask for 1 MiB and "
    "read a byte a second. Those that the gateway cuts off for their slowness come again at once."
)


@dataclass(frozen=True, slots=True)
class Block:
    """
    Normal load in one block.

    Attributes:
        times: Seconds of every measured request that was answered with 200.
        failed: Those that were not.
        again: Slow clients that had to connect anew.
    """

    times: list[float]
    failed: int
    again: int = 0

    def percentile(self, share: float) -> float:
        """Return one exact percentile."""
        return percentiles(self.times, (share,))[0]


Samples = dict[str, list[Block]]


@contextlib.contextmanager
def slow_clients(
    port: int, dripping: int, reading: int, seconds: float = LEAD_SECONDS
) -> Iterator[list[int]]:
    """Hold slow clients while the block runs; at the end the list holds how many came again."""
    numbers = map(str, (port, dripping, reading, seconds))
    command = [sys.executable, "-m", "benchmarks.dripping", *numbers]
    process = subprocess.Popen(
        command, cwd=servers.HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    again: list[int] = []
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != READY:
            raise servers.StartError("the slow clients could not connect")
        yield again
        again.append(int(process.communicate("\n", timeout=30)[0]))
    finally:
        process.kill()
        process.communicate()


def measure(rounds: int, seconds: float, delay: float, command: tuple[str, ...]) -> Report:
    """Run all rounds, before a backend that answers after `delay` seconds."""
    samples: Samples = {name: [] for name in BLOCKS}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.delaying_backends(directory, (1,), delay, is_constant=True))
        setup = servers.Setup(directory, backend.port, gateway_command=command)
        server = stack.enter_context(servers.gateway(setup))
        for number in range(rounds):
            for name in rotated(BLOCKS, number):
                samples[name].append(_block(server, name, Plan(RATE, WARM_SECONDS, seconds, block=number)))
            told = ", ".join(f"{name} {milliseconds(b[-1].percentile(0.99))}" for name, b in samples.items())
            say(f"round {number + 1}: p99 {told}")
    return report(samples, delay)


def _block(server: servers.Server, name: str, plan: Plan) -> Block:
    if name != WITH:
        return _judged(_load(server, plan))
    with slow_clients(server.port, DRIPPING, READING) as again:
        loaded = _load(server, plan)
    return _judged(loaded, again[0])


def _load(server: servers.Server, plan: Plan) -> Loaded:
    with open_loop.background(plan, server.url) as running:
        return running.result()


def _judged(loaded: Loaded, again: int = 0) -> Block:
    return Block(loaded.times, loaded.failed, again)


def ratio(samples: Samples, name: str, share: float = 0.99) -> Ratio:
    """Return the paired ratio of a percentile to that of the blocks without slow clients."""
    return paired_ratio(
        [block.percentile(share) for block in samples[name]],
        [block.percentile(share) for block in samples[WITHOUT]],
    )


def judge(samples: Samples) -> list[Requirement]:
    """Say what held; with too few rounds a few per cent cannot be told."""
    found, noise = ratio(samples, WITH), ratio(samples, AGAIN)
    failed = sum(block.failed for blocks in samples.values() for block in blocks)
    measured = f"{_words(found)}; without, again: {_words(noise)}"
    holds = found.median <= LIMIT if found.pairs >= CLAIM_PAIRS else None
    return [
        Requirement(f"p99 of normal requests at most {LIMIT - 1:.0%} higher, by the median", measured, holds),
        Requirement("every normal request is answered", f"{failed} failed", failed == 0),
    ]


def report(samples: Samples, delay: float = DELAY_SECONDS) -> Report:
    """Put it together."""
    lines = tuple(
        (
            name,
            f"{sum(len(block.times) for block in blocks):,}",
            str(sum(block.failed for block in blocks)),
            *(
                milliseconds(percentiles([t for block in blocks for t in block.times], (share,))[0])
                for share in (0.5, 0.9, 0.99, 0.999)
            ),
            "1" if name == WITHOUT else _words(ratio(samples, name)),
            str(sum(block.again for block in blocks)),
        )
        for name, blocks in samples.items()
    )
    columns = (
        "blocks",
        "requests",
        "failed",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99, ratio by rounds",
        "came again",
    )
    found = ratio(samples, WITH)
    return Report(
        "slow_clients",
        "Slow clients beside normal ones",
        f"{ABOUT} The backend answers after {milliseconds(delay)}.",
        [Table("Normal requests", columns, lines)],
        judge(samples),
        ["Percentiles are of all rounds together; the ratio is the median over rounds, with its interval."],
        [
            Figure(
                "slow-clients-p99",
                f"p99 of normal requests with {DRIPPING + READING} slow clients, against without",
                "gateway",
                found.median,
                "×",
                LIMIT,
                _words(found),
            )
        ],
        {
            "blocks": {
                name: [
                    {
                        "requests": len(b.times),
                        "failed": b.failed,
                        "p50": b.percentile(0.5),
                        "p99": b.percentile(0.99),
                    }
                    for b in blocks
                ]
                for name, blocks in samples.items()
            }
        },
    )


def _words(found: Ratio) -> str:
    return f"{found.median:.3f}× ({found.low:.3f}–{found.high:.3f}, {found.pairs} pairs)"


def main() -> int:
    """Measure, print and write; 1 when something was missed."""
    options = _options()
    found = measure(options.rounds, options.seconds, options.delay, options.gateway_command)
    print(found.save(options.output))
    return 0 if found.all_hold else 1


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.slow_clients", __doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=6.0, help="measured in each block")
    parser.add_argument("--delay", type=float, default=DELAY_SECONDS, help="of the backend, in seconds")
    parser.add_argument("--gateway-command", type=split_command, default=servers.GATEWAY_COMMAND)
    parser.add_argument("--output", type=Path, default=results.DIRECTORY)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
