"""A byte tunnel after 101: what comes on one side goes out on the other, each direction ends on its own."""

from __future__ import annotations

import asyncio


class Tunnel:
    """The two transports of an upgraded exchange."""

    __slots__ = ("_backend", "_backend_is_over", "_client", "_client_is_over")

    def __init__(self, client: asyncio.Transport, backend: asyncio.Transport) -> None:
        self._client = client
        self._backend = backend
        self._client_is_over = False
        self._backend_is_over = False

    def to_backend(self, data: bytes) -> None:
        """Pass on the client's bytes."""
        self._backend.write(data)

    def to_client(self, data: bytes) -> None:
        """Pass on the backend's bytes."""
        self._client.write(data)

    def client_ended(self) -> bool:
        """The client sends no more; True when that was the last open direction."""
        self._client_is_over = True
        if not self._backend.is_closing():
            self._backend.write_eof()
        return self._backend_is_over

    def backend_ended(self) -> bool:
        """The backend sends no more; True when that was the last open direction."""
        self._backend_is_over = True
        if not self._client.is_closing():
            self._client.write_eof()
        return self._client_is_over
