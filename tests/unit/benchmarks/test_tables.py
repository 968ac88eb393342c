"""Results as Markdown and as a file."""

from pathlib import Path

from benchmarks import tables
from benchmarks.measuring import Sample
from benchmarks.results import Figure, Results, Row, load, save


def _sample(cpu: float, errors: int = 0) -> Sample:
    return Sample(1000, 1000.0, 1e6, cpu, 0.1, 0.001, 0.002, 20 << 20, 10 << 20, errors)


def _results(gateway: float = 15e-6, rounds: int = 15) -> Results:
    row = Row("get", "GET", 1)
    row.samples = {
        "nginx": [_sample(10e-6)] * rounds,
        "nginx-again": [_sample(10e-6)] * rounds,
        "gateway": [_sample(gateway, errors=2)] * rounds,
    }
    row.missing = {"haproxy": "haproxy is not installed"}
    found = Results(
        "2026-01-02", {"processor": "P", "cores": "2", "memory": "4 GiB", "kernel": "Linux"}, {}, 1, "wrk"
    )
    found.versions = {"nginx": "1", "haproxy": "not installed", "aiohttp": "3"}
    found.rows = [row]
    return found


def test_a_missing_peer_has_a_row_that_says_why() -> None:
    """HAProxy is not left out in silence."""
    assert "| GET | haproxy | haproxy is not installed |" in tables.main_table(_results().rows)


def test_errors_stand_beside_the_name() -> None:
    """A fast proxy that fails requests must not look good."""
    assert "gateway (30 errors)" in tables.main_table(_results().rows)


def test_small_difference_is_claimed_from_fifteen_pairs_only() -> None:
    """Three per cent over five pairs is not distinguishable; over fifteen it is a ratio."""
    few = tables.main_table(_results(gateway=10.3e-6, rounds=5).rows)
    enough = tables.main_table(_results(gateway=10.3e-6).rows)

    assert "not distinguishable (1.03–1.03, 5 pairs)" in few
    assert "1.03× (1.03–1.03, 15 pairs)" in enough


def test_two_pairs_claim_nothing() -> None:
    """A run that is shorter than any claim says so."""
    assert "1.50× (2 pairs: no claim)" in tables.main_table(_results(rounds=2).rows)


def test_budgets_say_whether_they_are_met() -> None:
    """1.5 times nginx is within 1.8; 2.0 times is not; what was not measured is neither."""
    met, missed = tables.budget_table(_results()), tables.budget_table(_results(gateway=20e-6))

    assert "| ≤ 1.8× | 1× | 1.5× (1.5–1.5) | met |" in met
    assert "| ≤ 1.8× | 1× | 2× (2–2) | **missed** |" in missed
    assert "not measured" in met


def test_figures_over_their_budget_are_named_missed() -> None:
    """Single figures have budgets too."""
    found = _results()
    found.figures = [Figure("idle", "idle connection", "gateway", 5.0, "KiB", budget=4.0)]

    assert "| idle connection | ≤ 4 KiB | | 5 KiB | **missed** |" in tables.budget_table(found)


def test_short_table_has_a_column_per_proxy() -> None:
    """README shows CPU per request and the ratio; a missing peer says why."""
    text = tables.readme(_results())

    assert "| GET | 15 µs (1.50×) | 10 µs | haproxy is not installed |  |" in text


def test_short_table_claims_nothing_that_noise_explains() -> None:
    """What five pairs cannot tell apart has no ratio in README either."""
    assert "| GET | 10.3 µs (not distinguishable) |" in tables.readme(_results(gateway=10.3e-6, rounds=5))


def test_results_survive_their_file(tmp_path: Path) -> None:
    """What was saved is read back; the page can be made of it again."""
    found = _results()
    save(found, tmp_path / "latest.json")
    again = load(tmp_path / "latest.json")

    assert again == found
    assert tables.page(again) == tables.page(found)


def test_budget_inside_the_interval_is_kept_by_the_median_only() -> None:
    """A ratio whose interval reaches over the budget does not simply read as met."""
    found = _results()
    found.rows[0].samples["gateway"] = [_sample((15.5 + number % 5) * 1e-6) for number in range(15)]

    assert "met by the median, the interval goes beyond" in tables.budget_table(found)
