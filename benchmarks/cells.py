"""One cell of a table about a fleet: a proxy under a load, block by block. Pure values."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.comparison import Ratio, Summary, paired_ratio, percentiles, summarise

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}


@dataclass(frozen=True, slots=True)
class Block:
    """
    One proxy in one block.

    Attributes:
        times: Seconds of every measured request that was answered as it should be.
        failed: Measured requests that were not.
        attempts: What reached the backends while measuring.
        first_attempts: Distinct requests among them.
        slow_attempts: Attempts at the backends that are slow.
        cpu_seconds: Of all processes of the proxy, warm-up included.
        sent: Requests of that time, warm-up included.
        generator_cpu: Share of a core that the load generator used.
        generator_late: p99 of how late the generator itself was, seconds.
    """

    times: Sequence[float]
    failed: int
    attempts: int
    first_attempts: int
    slow_attempts: int = 0
    cpu_seconds: float = 0.0
    sent: int = 0
    generator_cpu: float = 0.0
    generator_late: float = 0.0

    def percentile(self, name: str) -> float:
        """Return one exact percentile of this block."""
        return percentiles(self.times, (SHARES[name],))[0]


@dataclass(frozen=True, slots=True)
class Cell:
    """A proxy over all its blocks."""

    name: str
    blocks: tuple[Block, ...]

    @property
    def requests(self) -> int:
        return sum(len(block.times) + block.failed for block in self.blocks)

    @property
    def error_ratio(self) -> float:
        return sum(block.failed for block in self.blocks) / self.requests

    @property
    def extra_load(self) -> float:
        """Attempts beyond the first, as a share of the requests."""
        first = sum(block.first_attempts for block in self.blocks)
        return (sum(block.attempts for block in self.blocks) - first) / first

    @property
    def slow_share(self) -> float:
        """Share of the attempts that went to slow backends."""
        return sum(block.slow_attempts for block in self.blocks) / sum(b.attempts for b in self.blocks)

    @property
    def cpu_per_request(self) -> float:
        """Seconds."""
        return sum(block.cpu_seconds for block in self.blocks) / sum(block.sent for block in self.blocks)

    def percentile(self, name: str) -> float:
        """Return an exact percentile over the requests of all blocks."""
        pooled = [seconds for block in self.blocks for seconds in block.times]
        return percentiles(pooled, (SHARES[name],))[0]

    def spread(self, name: str) -> Summary:
        """Return the median of the blocks' percentiles, with the smallest and the largest."""
        return summarise([block.percentile(name) for block in self.blocks])

    def ratio(self, other: "Cell", name: str) -> Ratio:
        """Return percentile over percentile of another proxy, block by block."""
        return paired_ratio(
            [block.percentile(name) for block in self.blocks],
            [block.percentile(name) for block in other.blocks],
        )

    def plain(self) -> dict[str, object]:
        """Return the figures without the single times."""
        return {
            "name": self.name,
            "requests": self.requests,
            "error_ratio": self.error_ratio,
            "extra_load": self.extra_load,
            "slow_share": self.slow_share,
            "cpu_per_request": self.cpu_per_request,
            "pooled": {name: self.percentile(name) for name in SHARES},
            "blocks": [
                {
                    "requests": len(block.times) + block.failed,
                    "failed": block.failed,
                    "attempts": block.attempts,
                    "slow_attempts": block.slow_attempts,
                    "generator_cpu": block.generator_cpu,
                    "generator_late": block.generator_late,
                    **{name: block.percentile(name) for name in SHARES},
                }
                for block in self.blocks
            ],
        }
