"""
One health check, over HTTP or TCP.

A check opens a connection of its own and closes it: a pooled one would hide a backend that no longer accepts.
Whatever goes wrong becomes a failed `CheckResult` with one line that says what was seen, or a void one where
it was for want of descriptors, memory or ports of our own; nothing is raised.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pcs_gateway import __version__
from pcs_gateway.backends.health import CheckResult
from pcs_gateway.control.health.expectations import judge_answer
from pcs_gateway.control.health.target import Target, TargetTls
from pcs_gateway.processes import shortage
from pcs_gateway.tls.contexts import backend_context
from pcs_gateway.units import format_duration

Addresses = Callable[[str], Sequence[str]]
"""Maps a host to its IP literals, as last resolved; empty when it never was."""

BODY_LIMIT = 64 * 1024
"""Bytes of an answer that are read to look for `expect_json`."""

MOST_CONTEXTS = 64
"""Contexts kept: one for each pool, most often."""

USER_AGENT = f"pcs-gateway/{__version__} (health check)"


class KnownAddresses(AbstractResolver):
    """Answers aiohttp with the addresses that the gateway has resolved; never asks DNS by itself."""

    def __init__(self, addresses: Addresses) -> None:
        """Take the mapping from hosts to addresses."""
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses(host)
        ]

    async def close(self) -> None:
        return


class Checker:
    """Performs checks; an asynchronous context manager, since it holds an aiohttp session."""

    def __init__(self, addresses: Addresses) -> None:
        """Take the mapping from hosts to addresses."""
        self._addresses = addresses
        self._contexts: dict[TargetTls, ssl.SSLContext] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=KnownAddresses(self._addresses), use_dns_cache=False, force_close=True, limit=0
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def __call__(self, target: Target) -> CheckResult:
        """Check once; takes no longer than the check's `timeout`."""
        if not self._addresses(target.host):
            return CheckResult(passed=False, detail=f"{target.host} does not resolve")
        try:
            async with asyncio.timeout(target.check.timeout):
                return await (self._ask(target) if target.check.path else self._connect(target))
        except TimeoutError:
            detail = f"no answer within {format_duration(target.check.timeout)}"
            return CheckResult(passed=False, detail=detail, timed_out=True)
        except (OSError, aiohttp.ClientError) as error:
            detail = describe(error)
            if isinstance(error, OSError) and shortage.is_ours(error):
                return CheckResult(passed=False, detail=f"not checked: {detail}", is_void=True)
        return CheckResult(passed=False, detail=detail)

    async def _ask(self, target: Target) -> CheckResult:
        """Send the request of an HTTP check and judge its answer."""
        check = target.check
        headers = {"Host": check.host} if check.host else {}
        url = target.url + str(check.path)
        async with self._session.get(
            url,
            headers=headers,
            allow_redirects=False,
            ssl=self._context(target.tls) or True,
            server_hostname=_server_name(target),
        ) as response:
            body = await _beginning(response.content) if check.expect_json else b""
            return judge_answer(response.status, body, check)

    def _context(self, tls: TargetTls | None) -> ssl.SSLContext | None:
        """Give the context for a backend, the same one as long as nothing about it changes."""
        if tls is None:
            return None
        if tls not in self._contexts:
            if len(self._contexts) >= MOST_CONTEXTS:
                self._contexts.clear()  # those of pools that are gone
            self._contexts[tls] = backend_context(tls.config, {tls.config.ca or "": tls.authorities})
        return self._contexts[tls]

    async def _connect(self, target: Target) -> CheckResult:
        """Open a connection to the first address that takes one."""
        errors: list[OSError] = []
        for address in self._addresses(target.host):
            try:
                _, writer = await asyncio.open_connection(
                    address,
                    target.port,
                    ssl=self._context(target.tls),
                    server_hostname=_server_name(target),
                )
            except OSError as error:
                errors.append(error)
            else:
                writer.transport.abort()
                return CheckResult(passed=True, detail="connected")
        raise next((error for error in reversed(errors) if not shortage.is_ours(error)), errors[-1])


def _server_name(target: Target) -> str | None:
    return (target.tls.config.server_name or target.host) if target.tls is not None else None


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """Read a body to its end, or to the limit."""
    body = bytearray()
    while len(body) < BODY_LIMIT and (chunk := await content.read(BODY_LIMIT - len(body))):
        body += chunk
    return bytes(body)


NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG"})
"""What OpenSSL says of an answer in plain text."""


def _words(reason: str) -> str:
    if reason in NO_TLS:
        return "the backend does not speak TLS on this port"
    return reason.lower().replace("_", " ")


def describe(error: OSError | aiohttp.ClientError) -> str:
    """Say in a few words what went wrong with a connection."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorCertificateError):
            cause = cause.certificate_error  # which it claims to be, without its members
        elif isinstance(cause, aiohttp.ClientConnectorSSLError):
            cause = cause.os_error  # as above
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS failed: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {_words(cause.reason or str(cause))}"
        if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
            return os.strerror(cause.errno).lower()
        cause = getattr(cause, "os_error", None) or cause.__cause__
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection closed before an answer"
    return f"{type(error).__name__}: {error}"
