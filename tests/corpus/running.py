"""Sends cases through a proxy, one after another, and keeps what came out on its other side, to the byte."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tests.corpus.cases import Case
from tests.corpus.parsers import Message
from tests.fakes.backend import Peer, ScriptedBackend

DEADLINE = 5.0
"""Seconds after which a case that has no end fails."""

LAST_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
"""With it each request reaches the backend on a connection of its own."""

GENERATED = frozenset(
    {
        "connection",
        "content-length",
        "forwarded",
        "host",
        "traceparent",
        "transfer-encoding",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    }
)
"""Fields that a proxy writes itself; the other ones are end-to-end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a case.

    Attributes:
        forwarded: The bytes of each connection to the backend; for a response, those that the client got.
        answers: What the client got.
    """

    forwarded: tuple[bytes, ...]
    answers: bytes


async def answer_and_close(peer: Peer) -> None:
    """Answer one request on each connection."""
    await peer.request()
    await peer.send(LAST_OK)


async def run_requests(port: int, backend: ScriptedBackend, cases: Iterable[Case]) -> dict[str, Outcome]:
    """Let a client send each case to a proxy on `port` before `backend`."""
    outcomes: dict[str, Outcome] = {}
    for case in cases:
        before = len(backend.peers)
        answers = await converse(port, case.data)
        forwarded = tuple(bytes(peer.received) for peer in backend.peers[before:])
        outcomes[case.name] = Outcome(forwarded, answers)
    return outcomes


async def run_responses(port: int, backend: ScriptedBackend, cases: Iterable[Case]) -> dict[str, Outcome]:
    """Let the backend send each case as its answer, and close."""
    outcomes: dict[str, Outcome] = {}
    for case in cases:
        data = case.data

        async def script(peer: Peer, data: bytes = data) -> None:
            await peer.request()
            await peer.send(data)

        backend.script = script
        line = case.method.encode() + b" / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        outcomes[case.name] = Outcome((), await converse(port, line))
    return outcomes


async def converse(port: int, data: bytes) -> bytes:
    """Send bytes, close our half, and give all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(DEADLINE):
            writer.write(data)
            writer.write_eof()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def end_to_end(message: Message) -> Counter[tuple[str, str]]:
    """Give the fields of a message that no proxy writes itself."""
    return Counter(field for field in message.fields if field[0] not in GENERATED)


def status_of(answers: bytes) -> str:
    """Give the status of the last answer in a stream; empty when there is none."""
    at = answers.rfind(b"HTTP/1.1 ")
    return answers[at + 9 : at + 12].decode("latin-1") if at >= 0 else ""
