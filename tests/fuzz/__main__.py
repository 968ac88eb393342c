"""
Fuzzing by coverage: `make fuzz ARGS="--seconds 60 chunked connection"`.

Each target runs in a process of its own, begins with the corpus, and leaves what breaks it in
`tests/corpus/found/TARGET/`, where `make test` plays it again from then on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run the targets one after another; 1 when one found something."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"found {', '.join(sorted(unknown))}, allowed are {', '.join(TARGETS)}")
    failed = [
        target
        for target in arguments.targets or TARGETS
        if subprocess.run([sys.executable, "-m", "tests.fuzz.run", target, str(arguments.seconds)]).returncode  # noqa: PLW1510
    ]
    print(f"found something: {', '.join(failed)}" if failed else "found nothing")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
