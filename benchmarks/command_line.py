"""The command lines of the benchmarks: each says with `--help` what stands at the head of its module."""

import argparse


def parser(command: str, about: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is a module's docstring as it stands."""
    return argparse.ArgumentParser(
        prog=f"python -m {command}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
