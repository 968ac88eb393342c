"""Results as Markdown: pure functions from values to text."""

from benchmarks.budgets import BUDGETS, Budget
from benchmarks.comparison import LARGE_PAIRS, Ratio, Verdict, judge
from benchmarks.results import Figure, Results, Row

BASELINE = "nginx"
AGAIN = "nginx-again"
ORDER = ("gateway", "nginx", AGAIN, "haproxy", "aiohttp")
_HEADER = (
    "| load | proxy | CPU per request | against nginx | requests/s | p50 | p99 | memory |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|"
)


def page(results: Results) -> str:
    """Return the whole report."""
    parts = [
        "# Benchmarks",
        _about(results),
        main_table(results.rows),
        _reading(results),
        "## Budgets",
        budget_table(results),
    ]
    if results.figures:
        parts += ["## Other figures", figure_table(results.figures)]
    if results.missing:
        parts += ["## Not measured", "\n".join(f"- {name}: {why}" for name, why in results.missing.items())]
    return "\n\n".join(parts) + "\n"


def main_table(rows: list[Row]) -> str:
    """Return one line per load and proxy."""
    noise = _noise(rows)
    lines = [_HEADER]
    for row in rows:
        lines += [
            _line(row, target, noise) if target in row.samples else _missing_line(row, target)
            for target in _targets(row)
        ]
    return "\n".join(lines)


def readme(results: Results) -> str:
    """Return the short table: CPU per request, and its ratio to that of nginx."""
    noise = _noise(results.rows)
    proxies = [name for name in ORDER if name != AGAIN]
    lines = [f"| CPU per request | {' | '.join(proxies)} |", "|---|" + "--:|" * len(proxies)]
    lines += [
        f"| {row.title} | {' | '.join(_short_cell(row, target, noise) for target in proxies)} |"
        for row in results.rows
    ]
    machine, versions = results.machine, results.versions
    about = (
        f"{results.date}, {machine['processor']}, {machine['cores']} cores shared with load generator and "
        f"backend; nginx {versions['nginx']}, HAProxy {versions['haproxy']}, aiohttp {versions['aiohttp']}; "
        "in brackets the median ratio to nginx, round by round, "
        "where it stands out from the noise. "
        "All of it, with spreads: [benchmarks/results/latest.md](benchmarks/results/latest.md)."
    )
    lines += ["", about]
    return "\n".join(lines)


def budget_table(results: Results) -> str:
    """Return what the architecture allows beside what was measured."""
    lines = ["| work | budget | aim | measured | |", "|---|--:|--:|--:|---|"]
    lines += [_budget_line(budget, results) for budget in BUDGETS]
    lines += [
        f"| {figure.title} | ≤ {_number(figure.budget)} {figure.unit} | | {_number(figure.value)} "
        f"{figure.unit} | {'met' if figure.is_within_budget else '**missed**'} |"
        for figure in results.figures
        if figure.budget is not None
    ]
    return "\n".join(lines)


def figure_table(figures: list[Figure]) -> str:
    """Return the single figures."""
    lines = ["| figure | of | value | |", "|---|---|--:|---|"]
    lines += [
        f"| {figure.title} | {figure.target} | {_number(figure.value)} {figure.unit} | {figure.note} |"
        for figure in figures
    ]
    return "\n".join(lines)


def format_ratio(ratio: Ratio, noise: Ratio | None) -> str:
    """Return the ratio with its interval, or that it is not distinguishable."""
    if ratio.pairs < LARGE_PAIRS:
        return f"{ratio.median:.2f}× ({ratio.pairs} pairs: no claim)"
    interval = f"{ratio.low:.2f}–{ratio.high:.2f}, {ratio.pairs} pairs"
    if judge(ratio, noise) is Verdict.NOT_DISTINGUISHABLE:
        return f"not distinguishable ({interval})"
    return f"{ratio.median:.2f}× ({interval})"


def _about(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"{results.date}. {machine['processor']}, {machine['cores']} cores, {machine['memory']}, "
        f"{machine['kernel']}; load generator ({results.generator}), proxy and backend share the cores, "
        f"so ratios are what counts. {versions}. Each proxy in turn for {results.seconds:g} s per round, "
        "in another order each round."
    )


def _reading(results: Results) -> str:
    again = _noise(results.rows)
    noise = f" It was {again.median:.3f} ({again.low:.3f}–{again.high:.3f}) in this run." if again else ""
    return (
        "CPU is user and system time of all processes of a proxy. Each value is the median of the rounds "
        "with the smallest and the largest; a ratio is the median of the ratios round by round, with its "
        "95 % interval (below six pairs: with all of them). nginx-again is a second nginx with the same "
        f"configuration: what it shows against the first is noise.{noise} A difference of a few per cent is "
        "claimed from 15 pairs on, and beyond that noise; otherwise it reads “not distinguishable”. "
        "The peers' configurations: `benchmarks/peers/`."
    )


def _noise(rows: list[Row]) -> Ratio | None:
    ratios = (row.ratio(AGAIN, BASELINE) for row in rows)
    return next((ratio for ratio in ratios if ratio), None)


def _targets(row: Row) -> list[str]:
    return [name for name in ORDER if name in row.samples or name in row.missing]


def _missing_line(row: Row, target: str) -> str:
    return f"| {row.title} | {target} | {row.missing[target]} | | | | | |"


def _short_cell(row: Row, target: str, noise: Ratio | None) -> str:
    summary = row.summary(target, "cpu_per_request")
    if summary is None:
        return row.missing.get(target, "")
    ratio = row.ratio(target, BASELINE)
    value = f"{_number(summary.median * 1e6)} µs"
    if ratio is None or target == BASELINE:
        return value
    if judge(ratio, noise) is Verdict.NOT_DISTINGUISHABLE:
        return f"{value} (not distinguishable)"
    return f"{value} ({ratio.median:.2f}×)"


def _line(row: Row, target: str, noise: Ratio | None) -> str:
    ratio = row.ratio(target, BASELINE)
    against = "1" if target == BASELINE or ratio is None else format_ratio(ratio, noise)
    errors = row.errors(target)
    name = f"{target} ({errors} errors)" if errors else target
    cells = [
        row.title,
        name,
        _cell(row, target, "cpu_per_request", 1e6, "µs"),
        against,
        _cell(row, target, "requests_per_second", 1, ""),
        _cell(row, target, "p50", 1e3, "ms"),
        _cell(row, target, "p99", 1e3, "ms"),
        _cell(row, target, "pss", 2**-20, "MiB"),
    ]
    return "| " + " | ".join(cells) + " |"


def _cell(row: Row, target: str, member: str, scale: float, unit: str) -> str:
    summary = row.summary(target, member)
    if summary is None:
        return ""
    low, high = _number(summary.low * scale), _number(summary.high * scale)
    return f"{_number(summary.median * scale)} {unit} ({low}–{high})".replace("  ", " ")


def _budget_line(budget: Budget, results: Results) -> str:
    row = results.row(budget.scenario)
    ratio = row.ratio("gateway", budget.baseline) if row else None
    limits = f"| {budget.title} | ≤ {budget.limit:.3g}× | {budget.aim:.3g}× "
    if ratio is None:
        return f"{limits}| not measured | |"
    measured = f"{ratio.median:.3g}× ({ratio.low:.3g}–{ratio.high:.3g})"
    return f"{limits}| {measured} | {_kept(ratio, budget.limit)} |"


def _kept(ratio: Ratio, limit: float) -> str:
    word = "met" if ratio.median <= limit else "**missed**"
    is_sure = ratio.high <= limit or ratio.low > limit
    return word if is_sure else f"{word} by the median, the interval goes beyond"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
