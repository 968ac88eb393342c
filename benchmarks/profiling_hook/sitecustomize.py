"""
Samples the Python stacks of the gateway's workers; loaded by having this folder on PYTHONPATH.

Every millisecond of CPU time (or as fine as the kernel's tick) the running stack is counted, by SIGPROF;
nothing is traced in between, so the shares stay true. Time inside a C function counts for the line that
called it. Each worker writes its counts, folded, into the folder named by BENCHMARK_PROFILE.
"""

import atexit
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL = 0.001
SAMPLES_BETWEEN_WRITES = 100
WORKER = "pcs_gateway.worker_process"

stacks: Counter[str] = Counter()


def sample(_signal: int, frame: FrameType | None) -> None:
    """Count the stack that runs now; importing is not what we want to know about."""
    names = []
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            return
        names.append(f"{Path(code.co_filename).stem}.{code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    stacks[";".join(reversed(names))] += 1
    if stacks.total() % SAMPLES_BETWEEN_WRITES == 0:
        write()


def write() -> None:
    """Put the counts into this process's file."""
    lines = [f"{stack} {count}" for stack, count in stacks.most_common()]
    path = Path(os.environ["BENCHMARK_PROFILE"]) / f"{os.getpid()}.folded"
    path.write_text("\n".join(lines) + "\n")


if "BENCHMARK_PROFILE" in os.environ and WORKER in sys.orig_argv:
    signal.signal(signal.SIGPROF, sample)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    atexit.register(write)
