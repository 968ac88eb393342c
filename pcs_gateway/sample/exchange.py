"""One request and its answer on a connection of the sample service: the driver around handlers and faults."""

import time
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl

from aiohttp import HttpVersion10, HttpVersion11, web

from pcs_gateway.sample import wire
from pcs_gateway.sample.call import Answer, Call, Service, bearer
from pcs_gateway.sample.config import SampleConfig
from pcs_gateway.sample.connection import Connection
from pcs_gateway.sample.errors import PcsError
from pcs_gateway.sample.faults import Database, Ending, FaultDecision
from pcs_gateway.sample.routes import Missed, find_route

MISSED_STATUS = {Missed.NOT_FOUND: 404, Missed.WRONG_METHOD: 405}
GARBAGE = b"\x00\x01 this is no HTTP \xff\xfe\r\n\r\n"


class Exchange:
    """
    One request on its way.

    Args:
        request: As aiohttp read it.
        service: The instance.
        config: How it is set up.
    """

    def __init__(self, request: web.BaseRequest, service: Service, config: SampleConfig) -> None:
        self._request = request
        self._service = service
        self._config = config
        self._target = request.raw_path
        self._path, _, self._query = self._target.partition("?")
        self._started = service.clock.monotonic()

    async def serve(self) -> web.StreamResponse:
        """Answer, or fail as ordered."""
        headers = self._request.headers
        if self._config.trusted_host and not wire.is_trusted_host(
            headers.get("Host", ""), self._config.trusted_host
        ):
            return await self._send_bare(400, "text/plain; charset=utf-8", b"Invalid host header")
        if headers.get("Upgrade", "").lower() == "websocket":
            return await self._send_bare(403, "text/plain; charset=utf-8", b"", closes=True)
        if self._request.method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            return await self._send_preflight()
        body = await self._read_body()
        decision = self._service.faults.decide(self._path)
        if decision.delay > 0:
            await self._service.clock.sleep(decision.delay)
        _burn(decision.work)
        if decision.ending is Ending.HANG:
            await self._service.faults.hang()
        return await self._end(decision, body)

    async def _end(self, decision: FaultDecision, body: bytes) -> web.StreamResponse:
        match decision.ending:
            case Ending.RESET:
                self._connection.reset()
            case Ending.CLOSE:
                self._cut(b"")
            case Ending.GARBAGE:
                self._cut(GARBAGE)
            case _:
                return await self._answer(decision, body)
        return web.StreamResponse()

    async def _answer(self, decision: FaultDecision, body: bytes) -> web.StreamResponse:
        try:
            if decision.ending is Ending.UNHANDLED:
                raise RuntimeError("failed by order")
            if decision.ending is Ending.ANSWER:
                raise PcsError(decision.status, "failed by order")
            answer: Answer | PcsError = await self._handle(body)
        except PcsError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - whatever a handler failed to foresee is the quirk itself
            return await self._send_unhandled(error)
        return await self._send(answer, truncated=decision.ending is Ending.TRUNCATE)

    async def _handle(self, body: bytes) -> Answer:
        found = find_route(self._request.method, self._path)
        if found is Missed.WRONG_SLASH:
            return Answer(307)
        if isinstance(found, Missed):
            status = MISSED_STATUS[found]
            raise PcsError(status, HTTPStatus(status).phrase)
        user = bearer(self._request.headers.get("Authorization"))
        if found.route.needs_bearer and not user:
            raise PcsError(401, "Authentication required")
        if found.route.uses_database and self._service.faults.current.database is Database.FROZEN:
            await self._service.faults.hang()
        query = dict(parse_qsl(self._query, keep_blank_values=True))
        call = Call(self._service, found.params, query, body, user)
        answer = found.route.handler(call)
        if self._config.as_is and found.route.fails_as_is(call, answer):
            raise PcsError(500, "Failed to answer: greenlet_spawn has not been called")
        return answer

    async def _read_body(self) -> bytes:
        request = self._request
        if not request.body_exists:
            return b""
        expects = request.headers.get("Expect", "").lower() == "100-continue"
        if expects and request.version == HttpVersion11 and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await request.content.read()

    async def _send(self, answer: Answer | PcsError, *, truncated: bool = False) -> web.StreamResponse:
        """Send an answer through all of PCS's middleware."""
        request = self._request
        body = wire.encode_body(Answer(answer.status, answer.body))
        seconds = self._service.clock.monotonic() - self._started
        fields = wire.usual_fields(self._config.instance, seconds)
        if answer.status == 307:
            fields["location"] = wire.location(self._scheme, self._authority, self._target)
            del fields["content-type"]
        fields.update(wire.cross_origin_fields(request.headers.get("Origin"), self._config.allowed_origins))
        is_compressed = bool(body) and wire.accepts_gzip(request.headers) and request.version == HttpVersion11
        if is_compressed:
            body = wire.compress(body)
            fields["content-encoding"] = "gzip"
            fields["vary"] = ", ".join(filter(None, [fields.get("vary"), "Accept-Encoding"]))
        else:
            fields["content-length"] = str(len(body))
        response = web.StreamResponse(status=answer.status, headers=fields)
        if is_compressed:
            response.enable_chunked_encoding()
        return await self._write(response, body, truncated=truncated)

    async def _send_unhandled(self, error: Exception) -> web.StreamResponse:
        """Send what is outside of all middleware; the connection is closed without a word of it."""
        body = wire.encode_body(Answer(500, wire.unhandled_body(error)))
        self._connection.close()
        return await self._send_bare(500, "application/json", body)

    async def _send_preflight(self) -> web.StreamResponse:
        fields = wire.bare_fields(self._config.instance, "text/plain; charset=utf-8")
        origin = self._request.headers.get("Origin")
        fields.update(wire.PREFLIGHT_FIELDS)
        fields.update(wire.cross_origin_fields(origin, self._config.allowed_origins))
        is_allowed = origin in self._config.allowed_origins
        body = b"OK" if is_allowed else b"Disallowed CORS origin"
        fields["content-length"] = str(len(body))
        return await self._write(web.StreamResponse(status=200 if is_allowed else 400, headers=fields), body)

    async def _send_bare(
        self, status: int, content_type: str, body: bytes, *, closes: bool = False
    ) -> web.StreamResponse:
        fields = wire.bare_fields(self._config.instance, content_type)
        fields["content-length"] = str(len(body))
        response = web.StreamResponse(status=status, headers=fields)
        if closes:
            response.force_close()
        return await self._write(response, body)

    async def _write(
        self, response: web.StreamResponse, body: bytes, *, truncated: bool = False
    ) -> web.StreamResponse:
        """Send the head, then the body: in segments of their own, as uvicorn does."""
        if self._request.version == HttpVersion10:
            response.force_close()
        try:
            await response.prepare(self._request)
            if truncated:
                await response.write(body[: len(body) // 2])
                self._cut(b"")
            else:
                await response.write_eof(body)
        except ConnectionResetError:
            pass  # the client left: aiohttp notices by itself, and would log this as a fault of ours
        return response

    def _cut(self, last_words: bytes) -> None:
        """Close the connection without what should have been sent."""
        transport = self._connection.transport
        if transport is not None:
            transport.write(last_words)
        self._connection.force_close()

    @property
    def _connection(self) -> Connection:
        return cast("Connection", self._request.protocol)

    @property
    def _scheme(self) -> str:
        """Give the scheme the client is told; a proxy on this machine is believed."""
        is_local = self._peer()[0] == "127.0.0.1"
        return self._request.headers.get("X-Forwarded-Proto", "http") if is_local else "http"

    @property
    def _authority(self) -> str:
        host = self._request.headers.get("Host")
        if host:
            return host
        address = self._extra("sockname")
        return f"{address[0]}:{address[1]}"

    def _peer(self) -> tuple[str, int]:
        return self._extra("peername")

    def _extra(self, name: str) -> tuple[str, int]:
        transport = self._request.transport
        return ("", 0) if transport is None else cast("tuple[str, int]", transport.get_extra_info(name))


def _burn(seconds: float) -> None:
    """Keep the one thread busy, as PCS's validation and encoding do."""
    if seconds > 0:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
