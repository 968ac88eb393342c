"""The measurements that are one number each: large bodies, idle connections, balance, single operations."""

import contextlib
from collections.abc import Callable
from statistics import fmean

from benchmarks import (
    balance,
    budgets,
    edge_figures,
    idle_connections,
    large_body,
    picking,
    servers,
    telemetry_record,
)
from benchmarks.comparison import median, paired_ratio
from benchmarks.results import Figure

MIB = 1 << 20
LARGE_PROXIES = ("gateway", "nginx", "haproxy")
LARGE_ROUNDS = 5
IDLE_PROXIES = ("gateway", "nginx")
TLS_CONNECTIONS = 4000
BALANCE_WORKERS = (1, 2, 4)
BALANCE_SECONDS = 30.0
BALANCE_ROUNDS = 5


def download(command: tuple[str, ...]) -> list[Figure]:
    """Carry 1 GiB from the backend to a client, proxy after proxy, some rounds."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.backend(directory))
        large_body.prepare(directory)
        large_body.download(backend)
        setup = servers.Setup(directory, backend.port, gateway_command=command)
        running = _start(stack, LARGE_PROXIES, setup)
        found = {name: [large_body.download(server)] for name, server in running.items()}
        slow = {name: [large_body.download_slowly(server)] for name, server in running.items()}
        for _ in range(LARGE_ROUNDS - 1):
            for name, server in running.items():
                found[name].append(large_body.download(server))
    figures = [figure for name, bodies in found.items() for figure in _body_figures(name, bodies, "down")]
    figures += [_growth(name, bodies, "down, slow reader") for name, bodies in slow.items()]
    if "gateway" in found and "nginx" in found:
        figures.append(_time_ratio(found["gateway"], found["nginx"], "down"))
    return figures


def upload(command: tuple[str, ...]) -> list[Figure]:
    """Carry 1 GiB from a client to a backend of ours, which throws it away (nginx would fill its disk)."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.delaying_backends(directory, (1,), 0.0))
        setup = servers.Setup(directory, backend.port, gateway_command=command)
        running = _start(stack, LARGE_PROXIES, setup)
        found: dict[str, list[large_body.LargeBody]] = {name: [] for name in running}
        for _ in range(LARGE_ROUNDS):
            for name, server in running.items():
                found[name].append(large_body.upload(server))
        slow = {name: [large_body.upload_slowly(server)] for name, server in running.items()}
    figures = [figure for name, bodies in found.items() for figure in _body_figures(name, bodies, "up")]
    figures += [_growth(name, bodies, "up, slow backend") for name, bodies in slow.items()]
    if "gateway" in found and "nginx" in found:
        figures.append(_time_ratio(found["gateway"], found["nginx"], "up"))
    return figures


def idle(command: tuple[str, ...]) -> list[Figure]:
    """Hold idle keep-alive connections, 10,000 where the system lets one process have so many."""
    many = idle_connections.raise_descriptor_limit()
    title, budget = "idle keep-alive connection", budgets.IDLE_CONNECTION_KIB
    return _idle(command, "idle-connection", title, budget, many)


def idle_tls(command: tuple[str, ...]) -> list[Figure]:
    """Hold idle keep-alive connections that speak TLS; fewer, since each costs a handshake."""
    title, budget = "idle keep-alive connection, TLS", budgets.IDLE_TLS_CONNECTION_KIB
    many = min(idle_connections.raise_descriptor_limit(), TLS_CONNECTIONS)
    return _idle(command, "idle-tls-connection", title, budget, many, tls=True)


def _idle(
    command: tuple[str, ...], name: str, title: str, budget: float, many: int, *, tls: bool = False
) -> list[Figure]:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.backend(directory))
        setup = servers.Setup(directory, backend.port, tls=tls, gateway_command=command)
        return [
            Figure(
                name=name,
                title=title,
                target=target,
                value=idle_connections.bytes_per_connection(server, many=many) / 1024,
                unit="KiB",
                budget=budget if target == "gateway" else None,
                note=f"PSS, from {idle_connections.FEW:,} to {many:,} connections",
            )
            for target, server in _start(stack, IDLE_PROXIES, setup).items()
        ]


def pick(_command: tuple[str, ...]) -> list[Figure]:
    """Pick a backend, by every strategy."""
    return [
        Figure(
            name=f"pick-{strategy}-{size}",
            title=f"picking one of {size} backends, {strategy}",
            target="gateway",
            value=seconds * 1e6,
            unit="µs",
            budget=budgets.PICKING_MICROSECONDS[size],
            note="lease begun and ended",
        )
        for (strategy, size), seconds in picking.measure().items()
    ]


def record(_command: tuple[str, ...]) -> list[Figure]:
    """Record one exchange in telemetry, and log it."""
    return [
        Figure(
            name=f"telemetry-{name}",
            title=f"telemetry of one exchange: {cost.title}",
            target="gateway",
            value=cost.median * 1e6,
            unit="µs",
            budget=budgets.RECORDING_MICROSECONDS if name.startswith("record") else None,
            note=f"{cost.low * 1e6:.3f}–{cost.high * 1e6:.3f}",
        )
        for name, cost in telemetry_record.measure().items()
    ]


def balanced(command: tuple[str, ...]) -> list[Figure]:
    """Compare the gap between backends with several workers to that with one."""
    with servers.scratch_directory() as directory:
        found = balance.measure_in_turns(directory, BALANCE_WORKERS, BALANCE_ROUNDS, BALANCE_SECONDS, command)
    return [figure for balances in found for figure in _balance_figures(balances, found[0])]


PARTS: dict[str, Callable[[tuple[str, ...]], list[Figure]]] = {
    "idle": idle,
    "idle-tls": idle_tls,
    "large-download": download,
    "large-upload": upload,
    "pick": pick,
    "record": record,
    "balance": balanced,
    **edge_figures.PARTS,
}
STANDARD_PARTS = ("large-download", "idle", "idle-tls", "pick", "record")


def _start(
    stack: contextlib.ExitStack, names: tuple[str, ...], setup: servers.Setup
) -> dict[str, servers.Server]:
    running = {}
    for name in names:
        with contextlib.suppress(servers.NotInstalledError):
            running[name] = stack.enter_context(servers.PROXIES[name](setup))
    return running


def _body_figures(name: str, bodies: list[large_body.LargeBody], way: str) -> list[Figure]:
    rates = [body.bytes_per_second / MIB for body in bodies]
    return [
        Figure(
            name=f"body-{way}-throughput",
            title=f"1 GiB {way}, throughput",
            target=name,
            value=median(rates),
            unit="MiB/s",
            note=f"{min(rates):.0f}–{max(rates):.0f}; CPU {median([b.cpu_seconds for b in bodies]):.2f} s",
        ),
        _growth(name, bodies, way),
    ]


def _growth(name: str, bodies: list[large_body.LargeBody], way: str) -> Figure:
    return Figure(
        name=f"body-{way.replace(', ', '-').replace(' ', '-')}-growth",
        title=f"1 GiB {way}, growth of the largest process",
        target=name,
        value=max(body.growth for body in bodies) / MIB,
        unit="MiB",
        budget=budgets.LARGE_BODY_GROWTH_MIB if name == "gateway" else None,
        note="peak resident size over what it held before",
    )


def _time_ratio(gateway: list[large_body.LargeBody], nginx: list[large_body.LargeBody], way: str) -> Figure:
    ratio = paired_ratio(
        [1 / body.bytes_per_second for body in gateway], [1 / body.bytes_per_second for body in nginx]
    )
    return Figure(
        name=f"body-{way}-time-ratio",
        title=f"1 GiB {way}, time against nginx",
        target="gateway",
        value=ratio.median,
        unit="×",
        budget=budgets.LARGE_BODY_TIME_RATIO,
        note=f"{ratio.low:.2f}–{ratio.high:.2f}, {ratio.pairs} pairs",
    )


def _balance_figures(rounds: list[balance.Balance], alone: list[balance.Balance]) -> list[Figure]:
    """Compare the time averages over all rounds, and show the worst spread of connections."""
    is_alone = rounds is alone
    workers = rounds[0].workers
    gap, gap_alone = (fmean(one.gap for one in balances) for balances in (rounds, alone))
    with_users, with_users_alone = (
        fmean(one.gap_with_users for one in balances) for balances in (rounds, alone)
    )
    gaps = " / ".join(f"{one.gap:.2f}" for one in rounds)
    errors = sum(one.errors for one in rounds)
    worst = max(rounds, key=lambda one: one.spread)
    return [
        Figure(
            name=f"balance-{workers}",
            title=f"(max − min) in flight per weight, {workers} workers against 1",
            target="gateway",
            value=gap / gap_alone,
            unit="×",
            budget=None if is_alone else budgets.BALANCE_RATIO,
            note=f"{gap:.3f} ({gaps}), {errors} errors; with 64 users who send on at once "
            f"{with_users:.3f}, {with_users / with_users_alone:.2f}×",
        ),
        Figure(
            name=f"spread-{workers}",
            title=f"{balance.CONNECTIONS} connections over {workers} workers, furthest from the mean",
            target="gateway",
            value=worst.spread,
            unit="of the mean",
            budget=None if is_alone else budgets.CONNECTION_SPREAD,
            note=f"{' / '.join(map(str, worst.connections))}, the worst of {len(rounds)} rounds",
        ),
    ]
