"""One target under atheris: `python -m tests.fuzz.run TARGET SECONDS`; it ends with the process."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pcs_gateway.http", "pcs_gateway.proxy"]):
    from tests.fuzz.targets import MOST_BYTES, TARGETS
from tests.fuzz.seeds import FOUND, seeds


def main() -> None:
    """Begin with the corpus and what was found before; stop at the first input that breaks the target."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        for number, seed in enumerate(seeds(name)):
            (Path(directory) / str(number)).write_bytes(seed)
        options = (f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-artifact_prefix={found}/")
        atheris.Setup(
            [sys.argv[0], directory, *options, "-verbosity=1", "-print_final_stats=1"], TARGETS[name]
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
