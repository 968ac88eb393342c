"""
Clients and backends that do anything at all: nothing crashes, no lease is lost, no answer goes astray.

Each case is a seed: what fails can be run again. What must hold is asserted by the clients (an answer is the
answer to one's own request) and by the gateway on leaving (nothing is left behind, nothing raised).
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.fakes.backend import Peer, ScriptedBackend, echoing
from tests.fakes.gateway import Gateway, balancing, one_pool, talking
from tests.fakes.raw_client import RawClient
from tests.fakes.waiting import until

HASTY = {
    "request_head": "400ms",
    "client_idle": "5s",
    "connect": "200ms",
    "response_head": "150ms",
    "stream_idle": "200ms",
    "request_total": "400ms",
}
POOL = {
    "connections": {"max_per_backend": 4, "idle": 3},
    "queue": {"timeout": "200ms"},
    "outlier_detection": {"consecutive_failures": 0},
}

SOUND = (
    b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /%d HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n",
    b"HEAD /%d HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
    b"GET /%d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\nX: %d\r\nExpect: 100-continue\r\n\r\n",
)
SPICES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\xff",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length, Host\r\n",
    b"Host: b\r\n",
    b"Upgrade: h2c\r\n",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"#",
    b"%00",
    b"/../",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
)


def mutate(random: Random, data: bytes) -> bytes:
    """Change some bytes: insert, remove, repeat, swap."""
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        length = random.randint(1, 8)
        spice = random.choice((*SPICES, random.randbytes(random.randint(1, 6))))
        data = random.choice(
            (
                data[:at] + spice + data[at:],
                data[:at] + data[at + length :],
                data[:at] + data[at : at + length] * 2 + data[at + length :],
                data[:at] + spice + data[at + len(spice) :],
            )
        )
    return data


async def send_in_pieces(client: RawClient, random: Random, data: bytes) -> None:
    """Send bytes in pieces of any size."""
    while data:
        length = random.choice((1, 7, 100, 10_000))
        client.writer.write(data[:length])
        data = data[length:]
        if random.random() < 0.3:
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(12))
async def test_mutated_requests(seed: int) -> None:
    """Requests changed at random, many on a connection: each backend reads requests only that are sound."""
    random = Random(seed)
    async with talking(echoing, pool=POOL, timeouts=HASTY) as (_, gateway, backend):
        for _ in range(25):
            async with gateway.client() as client:
                requests = [random.choice(SOUND) % number for number in range(random.randint(1, 4))]
                data = mutate(random, b"".join(requests))
                try:
                    await send_in_pieces(client, random, data)
                    if random.random() < 0.7:
                        client.writer.write_eof()
                        await client.read_end()
                    elif random.random() < 0.5:
                        client.reset()
                except (ConnectionError, RuntimeError):
                    pass
        # the backend understood everything it was sent: nothing is left unread, nothing was no request
        await until(lambda: len(gateway.plane.connections) == 1 and not gateway.in_flight)
        assert all(request.line.endswith(" HTTP/1.1") for request in backend.requests)
        assert all("host" in request.fields for request in backend.requests)


@pytest.mark.parametrize("seed", range(4))
async def test_random_bytes(seed: int) -> None:
    """Noise is refused, or waited for until the deadline of a head; it never reaches the backend."""
    random = Random(seed)
    async with talking(echoing, pool=POOL, timeouts=HASTY) as (_, gateway, backend):
        for _ in range(40):
            async with gateway.client() as client:
                alphabet = random.choice(
                    (bytes(range(256)), b"GET / HTP1.\r\n:a \t", b"\r\n", bytes(range(32, 127)))
                )
                noise = bytes(random.choices(alphabet, k=random.choice((1, 10, 200, 3000))))
                await send_in_pieces(client, random, noise)
                if random.random() < 0.5:
                    client.writer.write_eof()
        async with gateway.client() as client:
            assert (await client.ask("GET /sound")).body == b"/sound "
        assert [request.target for request in backend.requests if len(request.target) > 12] == []


class Chaos:
    """A backend that may do anything on each request, but answers truly when it answers."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._deeds = (
            *[self._answer] * 5,
            self._answer_in_two,
            self._break_off,
            self._reset,
            self._rave,
            self._nearly_answer,
            self._say_too_much,
            self._speak_unasked,
            self._announce,
            self._hang,
            self._fail,
            self._answer_late,
        )

    async def __call__(self, peer: Peer) -> None:
        if self._random.random() < 0.05:
            peer.reset()
            return
        goes_on = True
        while goes_on:
            request = await peer.request()
            body = b"" if request.method == "HEAD" else request.target.encode()
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            if body and self._random.random() < 0.4:
                answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
                    len(body),
                    body,
                )
            goes_on = await self._random.choice(self._deeds)(peer, answer)

    def _part(self, answer: bytes) -> int:
        return self._random.randrange(len(answer))

    async def _answer(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(answer)
        return True

    async def _answer_in_two(self, peer: Peer, answer: bytes) -> bool:
        at = self._part(answer)
        await peer.send(answer[:at], answer[at:])
        return True

    async def _break_off(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(answer[: self._part(answer)])
        return False

    async def _reset(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(answer[: self._part(answer)])
        peer.reset()
        return False

    async def _rave(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(self._random.randbytes(self._random.randint(1, 100)))
        return True

    async def _nearly_answer(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(mutate(self._random, b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"))
        return True

    async def _say_too_much(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(answer + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
        return True

    async def _speak_unasked(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(answer)
        await asyncio.sleep(self._random.random() * 0.01)
        # a sound response would be the answer to whatever was asked meanwhile, as any client of HTTP sees it
        await peer.send(b"late noise\r\n\r\n")
        return True

    async def _announce(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(b"HTTP/1.1 103 Early\r\n\r\n" + answer)
        return True

    async def _hang(self, peer: Peer, answer: bytes) -> bool:
        await peer.end()
        return False

    async def _fail(self, peer: Peer, answer: bytes) -> bool:
        await peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops")
        return False

    async def _answer_late(self, peer: Peer, answer: bytes) -> bool:
        await asyncio.sleep(self._random.random() * 0.02)
        await peer.send(answer)
        return True


async def one_client(gateway: Gateway, random: Random, name: int, seen: list[int]) -> None:
    """Ask for a while; every whole answer of a backend must be the answer to the request it follows."""
    for number in range(6):
        async with gateway.client() as client:
            for turn in range(random.randint(1, 4)):
                own = f"/{name}-{number}-{turn}"
                method = random.choice(("GET", "GET", "GET", "POST", "HEAD"))
                body = b"body" if method == "POST" else b""
                try:
                    client.send(f"{method} {own}", body=body)
                    if random.random() < 0.1:
                        client.reset()
                        break
                    async with asyncio.timeout(3):
                        answer = await client.read_answer(method)
                        while answer.status < 200:
                            answer = await client.read_answer(method)
                except (ConnectionError, asyncio.IncompleteReadError, RuntimeError):
                    break
                seen.append(answer.status)
                if answer.status == 200 and method != "HEAD":
                    assert answer.body.split()[0] == own.encode()
                assert answer.status in {200, 500, 502, 503, 504}
                if answer.fields.get("connection") == "close":
                    break


@pytest.mark.parametrize("seed", range(6))
async def test_backends_that_do_anything(seed: int) -> None:
    """Garbage, hanging, closing anywhere, too much: nobody gets another's answer, every lease ends."""
    random = Random(seed)
    scripts = [Chaos(Random(seed * 10 + number)) for number in range(3)]
    async with balancing(*scripts, pool=POOL, timeouts=HASTY) as (_, gateway, _):
        seen: list[int] = []
        await asyncio.gather(
            *[one_client(gateway, Random(random.random()), name, seen) for name in range(10)]
        )

        assert seen.count(200) > len(seen) / 4
        assert {502, 504} & set(seen)


@pytest.mark.parametrize("seed", range(2))
async def test_reloads_under_way(seed: int) -> None:
    """The same while backends come, go, become ready and unready, and columns are used again."""
    random = Random(seed)
    async with (
        ScriptedBackend(Chaos(Random(1))) as a,
        ScriptedBackend(Chaos(Random(2))) as b,
        ScriptedBackend(echoing) as c,
    ):
        urls = [a.url, b.url, c.url]
        async with Gateway(one_pool(*urls, pool=POOL, timeouts=HASTY)) as gateway:
            seen: list[int] = []
            everyone = asyncio.gather(
                *[one_client(gateway, Random(random.random()), name, seen) for name in range(8)]
            )
            while not everyone.done():
                kept = [url for url in urls if random.random() < 0.6] or urls[2:]
                gateway.reload(one_pool(*kept, pool=POOL, timeouts=HASTY))
                gateway.unready = {f"b{number}" for number in range(len(kept) - 1) if random.random() < 0.2}
                gateway.publish()
                gateway.reclaim()
                await asyncio.sleep(0.03)
            await everyone

            assert seen.count(200) > 0
            gateway.reload(one_pool(c.url, pool={"connections": {"idle_timeout": "200ms"}}))
            await until(lambda: gateway.is_quiet() and not gateway.upstream_connections)
            gateway.reclaim()
            assert len(gateway.columns.columns) == 1
