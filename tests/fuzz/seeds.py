"""Where fuzzing begins: the corpus, in the form that each target takes, and what was found before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.corpus.requests import REQUESTS
from tests.corpus.responses import RESPONSES

FOUND = Path(__file__).parents[1] / "corpus" / "found"
"""A folder for each target; what stands there broke it once."""


def found(target: str) -> list[bytes]:
    """Give what broke a target once."""
    return [path.read_bytes() for path in sorted((FOUND / target).glob("*-*"))]


def seeds(target: str) -> Iterator[bytes]:
    """Give the corpus for a target; the first octet chooses the pieces."""
    yield from found(target)
    messages = RESPONSES if target.startswith("response") else REQUESTS
    for number, case in enumerate(messages):
        head, _, body = case.data.partition(b"\r\n\r\n")
        whole = {"chunked": body, "request_head": head + b"\r\n", "response_head": head + b"\r\n"}
        yield bytes((number % 256,)) + whole.get(target, case.data)
