"""
What it costs to pick a backend: from the request to a lease, and the lease's end.

    python -m benchmarks.picking

Measured over the real balancer and its strategies, among backends of different weights that carry
different loads; the lease begins and ends, as it must for the loads to stay true. Strategies that hash are
given requests with a key in a field, among fields as browsers send them; ten thousand keys in turn.
"""

import itertools
import random
import timeit

from benchmarks import command_line
from pcs_gateway.backends.backend import Backend
from pcs_gateway.backends.member import Member
from pcs_gateway.balancing.balancer import LoadBalancer
from pcs_gateway.balancing.registry import STRATEGIES
from pcs_gateway.balancing.strategy import StrategyContext
from pcs_gateway.processes.tickets import Tickets

SIZES = (10, 100)
_PICKS = 20_000
_REPETITIONS = 5
_IN_FLIGHT = 64
_KEYS = 10_000
_HASH_ON = "header:X-Tenant"


class Request:
    """What strategies read of a request."""

    method = b"GET"
    target = b"/api/v1/prompts/42"
    client = "203.0.113.7"

    def __init__(self, number: int) -> None:
        self.fields = self
        self.section = (
            b"Host: api.example\r\nUser-Agent: client/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
            b"Authorization: Bearer secret\r\nX-Tenant: tenant-%d\r\nReferer: http://api.example/\r\n"
            % number
        )


def seconds_per_pick(strategy: str, backends: int) -> float:
    """Return the time of one pick, the best of some repetitions."""
    balancer = _balancer(strategy, backends)
    leases = [balancer.route_request(None, 0.0) for _ in range(_IN_FLIGHT)]
    turns = itertools.cycle(range(_IN_FLIGHT))
    requests = itertools.cycle([Request(number) for number in range(_KEYS)])

    def pick() -> None:
        place = next(turns)
        lease = leases[place]
        if lease is not None:
            lease.end()
        leases[place] = balancer.route_request(next(requests), 0.0)

    return min(timeit.repeat(pick, number=_PICKS, repeat=_REPETITIONS)) / _PICKS


def measure() -> dict[tuple[str, int], float]:
    """Return seconds per pick for every strategy and number of backends."""
    return {(name, size): seconds_per_pick(name, size) for name in STRATEGIES for size in SIZES}


def _balancer(strategy: str, backends: int) -> LoadBalancer:
    tickets = Tickets.create(1)
    context = StrategyContext(take_ticket=lambda: tickets.take(0), random=random.Random(3), hash_on=_HASH_ON)
    balancer = LoadBalancer("pcs", STRATEGIES[strategy](context), max_per_backend=1024)
    in_flight, counts = (memoryview(bytearray(8 * backends)).cast("q") for _ in range(2))
    sums = memoryview(bytearray(8 * backends)).cast("d")
    members = [Member(_backend(column), in_flight, (sums, counts)) for column in range(backends)]
    for member in members:
        member.observe_latency(0.005 + 0.001 * member.weight, 0.0)
    balancer.replace(members, 1024)
    return balancer


def _backend(column: int) -> Backend:
    return Backend(
        pool="pcs",
        name=f"backend-{column}",
        url=f"http://127.0.0.1:{8001 + column}",
        scheme="http",
        host="127.0.0.1",
        port=8001 + column,
        addresses=("127.0.0.1",),
        weight=1 + column % 3,
        column=column,
        generation=1,
        ready=True,
        reason="",
    )


if __name__ == "__main__":
    command_line.parser("benchmarks.picking", __doc__).parse_args()
    for (name, size), seconds in measure().items():
        print(f"{name:20} {size:4} backends  {seconds * 1e6:.2f} us")
