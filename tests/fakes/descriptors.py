"""A process that runs out of descriptors, for real."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def limited_to(most: int) -> Iterator[None]:
    """Let this process have no descriptor from this number on."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def used_up() -> Iterator[None]:
    """Leave this process no descriptor but those that it gives back."""
    taken = [os.open(os.devnull, os.O_RDONLY)]
    highest = max(int(link.name) for link in Path("/proc/self/fd").iterdir())
    try:
        with limited_to(highest + 1):
            try:
                while True:
                    taken.append(os.dup(taken[0]))
            except OSError:
                yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
