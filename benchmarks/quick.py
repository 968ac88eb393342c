"""
A quick look at CPU per request: the gateway against its peers, interleaved, in a minute.

    python -m benchmarks.quick --target gateway,nginx --rounds 5
    python -m benchmarks.quick --target gateway,nginx,nginx-again --scenario varied --rounds 15
    python -m benchmarks.quick --gateway-command "python my_proxy.py {port} {backend}"

The command's places are {config} (the file filled in from peers/gateway.yaml), {port} and
{backend} (ports on loopback).
"""

import argparse
import contextlib
import shlex
import sys

from benchmarks import command_line, servers
from benchmarks.comparison import paired_ratio, summarise
from benchmarks.measuring import Sample, measure, rotated
from benchmarks.scenarios import SCENARIOS


def main() -> int:
    """Measure, printing each round as it ends, and return 0."""
    options = _options()
    scenario = SCENARIOS[options.scenario]
    samples: dict[str, list[Sample]] = {name: [] for name in options.target.split(",")}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(servers.scratch_directory())
        backend = stack.enter_context(servers.backend(directory))
        setup = servers.Setup(
            directory,
            backend.port,
            options.workers or scenario.workers,
            scenario.access_log,
            tls=scenario.tls,
            gateway_command=tuple(shlex.split(options.gateway_command)),
        )
        running = {n: stack.enter_context(servers.PROXIES[n](setup)) for n in samples}
        for server in running.values():
            measure(server, scenario, 1)
        for number in range(options.rounds):
            for name in rotated(list(running), number):
                samples[name].append(measure(running[name], scenario, options.seconds))
            print(f"round {number + 1}: " + "  ".join(_line(n, s[-1]) for n, s in samples.items()))
    _print_summary(samples, options.against)
    return 0


def _options() -> argparse.Namespace:
    parser = command_line.parser("benchmarks.quick", __doc__)
    parser.add_argument("--target", default="gateway,nginx", help=f"of {', '.join(servers.PROXIES)}")
    parser.add_argument("--against", default="nginx", help="the baseline of the ratios")
    parser.add_argument("--scenario", default="get", choices=SCENARIOS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="whole seconds per target and round")
    parser.add_argument("--workers", type=int, default=0, help="default: the scenario's")
    parser.add_argument("--gateway-command", default=shlex.join(servers.GATEWAY_COMMAND))
    return parser.parse_args()


def _line(name: str, sample: Sample) -> str:
    errors = f" {sample.errors} errors" if sample.errors else ""
    return f"{name} {sample.cpu_per_request * 1e6:.2f} us {sample.requests_per_second:.0f}/s{errors}"


def _print_summary(samples: dict[str, list[Sample]], against: str) -> None:
    for name, rounds in samples.items():
        cpu = summarise([sample.cpu_per_request * 1e6 for sample in rounds])
        rate = summarise([sample.requests_per_second for sample in rounds])
        p50 = summarise([sample.p50 * 1e3 for sample in rounds])
        p99 = summarise([sample.p99 * 1e3 for sample in rounds])
        memory = max(sample.pss for sample in rounds) / 2**20
        print(
            f"{name:12} CPU {cpu.median:7.2f} us ({cpu.low:.2f}-{cpu.high:.2f})  "
            f"{rate.median:7.0f}/s  p50 {p50.median:.2f} ms  p99 {p99.median:.2f} ms  PSS {memory:.1f} MiB"
        )
    baseline = [sample.cpu_per_request for sample in samples.get(against, ())]
    for name, rounds in samples.items():
        if baseline and name != against:
            ratio = paired_ratio([sample.cpu_per_request for sample in rounds], baseline)
            print(
                f"{name} / {against}: CPU per request {ratio.median:.3f} "
                f"({ratio.low:.3f}-{ratio.high:.3f}, {ratio.pairs} pairs)"
            )


if __name__ == "__main__":
    sys.exit(main())
