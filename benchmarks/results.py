"""What a run of the benchmarks found, and its file."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.comparison import Ratio, Summary, paired_ratio, summarise
from benchmarks.measuring import Sample

DIRECTORY = Path(__file__).resolve().parent / "results"


@dataclass(slots=True)
class Row:
    """One scenario: the samples of each proxy, round by round, or why a proxy has none."""

    scenario: str
    title: str
    workers: int
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def summary(self, target: str, member: str) -> Summary | None:
        """Return median and spread of one member of a proxy's samples."""
        rounds = self.samples.get(target)
        return summarise([getattr(sample, member) for sample in rounds]) if rounds else None

    def ratio(self, candidate: str, baseline: str, member: str = "cpu_per_request") -> Ratio | None:
        """Return the paired ratio of two proxies over the rounds that both took part in."""
        pairs = list(zip(self.samples.get(candidate, ()), self.samples.get(baseline, ()), strict=False))
        if not pairs:
            return None
        return paired_ratio(
            [getattr(first, member) for first, _ in pairs], [getattr(second, member) for _, second in pairs]
        )

    def errors(self, target: str) -> int:
        """Return how many requests of a proxy failed over all rounds."""
        return sum(sample.errors for sample in self.samples.get(target, ()))


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is not a row of load: what it is, whose, and what it may be at most."""

    name: str
    title: str
    target: str
    value: float
    unit: str
    budget: float | None = None
    """The largest value allowed."""
    note: str = ""

    @property
    def is_within_budget(self) -> bool:
        """Whether there is no budget or the value keeps it."""
        return self.budget is None or self.value <= self.budget


@dataclass(slots=True)
class Results:
    """Everything that one run found."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    seconds: float
    generator: str
    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Parts of the run that could not be made, with the reason."""

    def row(self, scenario: str) -> Row | None:
        """Return the row of a scenario."""
        return next((row for row in self.rows if row.scenario == scenario), None)


def save(results: Results, path: Path) -> None:
    """Write the results as JSON, numbers to six digits."""
    plain = rounded(msgspec.to_builtins(results))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n")


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def rounded(value: object) -> object:
    """Return plain values with numbers to six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value
