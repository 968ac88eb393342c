"""Listening sockets: opened with clear errors, closed without resetting anybody."""

import socket

import pytest

from pcs_gateway.errors import CommandError
from pcs_gateway.processes.listeners import open_listener, parse_address, refuse_new_connections
from pcs_gateway.processes.plan import ListenPlan


class TestAddress:
    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("127.0.0.1:8080", ("127.0.0.1", 8080)),
            ("[::1]:0", ("::1", 0)),
            ("localhost:65535", ("localhost", 65535)),
            (":80", ("", 80)),
        ],
    )
    def test_is_host_and_port(self, address: str, expected: tuple[str, int]) -> None:
        """A name or an IPv4 literal stands bare, an IPv6 literal in brackets."""
        assert expected == parse_address(address)

    @pytest.mark.parametrize(
        "address", ["8080", "::1:80", "host:", "host:65536", "host:-1", "host:8o", "[::1]", ""]
    )
    def test_anything_else_is_refused(self, address: str) -> None:
        """The error names what was found and what is allowed."""
        with pytest.raises(CommandError, match=r"must be host:port or \[ipv6\]:port"):
            parse_address(address)


class TestOpening:
    @pytest.mark.parametrize(("address", "host"), [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]")])
    def test_tells_where_it_listens(self, address: str, host: str) -> None:
        """The bound address has the port that the kernel chose."""
        listener = open_listener(ListenPlan(address))

        with listener.socket:
            bound_host, port = listener.bound.rsplit(":", 1)
            with socket.create_connection((host.strip("[]"), int(port)), 5):
                pass
        assert bound_host == host
        assert not listener.socket.getblocking()

    def test_address_in_use_is_told(self) -> None:
        """The address of a socket that listens already is an error that names it."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            with pytest.raises(
                CommandError, match=f"cannot listen on {address}: the address is already in use"
            ):
                open_listener(ListenPlan(address))

    def test_unknown_name_is_told(self) -> None:
        """A name that does not resolve is an error that names it."""
        with pytest.raises(CommandError, match=r"cannot listen on nowhere\.invalid:80: "):
            open_listener(ListenPlan("nowhere.invalid:80"))

    def test_both_families_listen_on_one_port(self) -> None:
        """All addresses of IPv4 and of IPv6 may be configured beside each other."""
        four = open_listener(ListenPlan("0.0.0.0:0"))
        with four.socket:
            six = open_listener(ListenPlan("[::]:" + four.bound.rsplit(":", 1)[1]))
            six.socket.close()

    def test_socket_stays_when_its_plan_changes(self) -> None:
        """An address that is to speak TLS from now on is served on the same socket."""
        before = open_listener(ListenPlan("127.0.0.1:0"))
        with before.socket:
            after = before.planned_as(ListenPlan("127.0.0.1:0", tls=True))

            assert (after.socket, after.bound, after.inherited().tls) == (before.socket, before.bound, True)


class TestClosing:
    @pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
    def test_connections_live_on_and_nobody_new_comes(self, address: str) -> None:
        """A queued connection stays whole; a new one gets no answer, and is refused after the close."""
        listener = open_listener(ListenPlan(address)).socket
        host, port = listener.getsockname()[:2]
        queued = socket.create_connection((host, port), 5)
        queued.sendall(b"early")

        refuse_new_connections(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection((host, port), 0.3)
        queued.sendall(b" and late")
        accepted, _ = listener.accept()
        listener.close()

        with accepted, queued:
            accepted.settimeout(5)
            received = receive_exactly(accepted, 14)
            accepted.sendall(b"answer")
            assert (b"early and late", b"answer") == (received, receive_exactly(queued, 6))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port), 5)


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    """Read so many bytes, as they come."""
    data = b""
    while len(data) < count:
        data += connection.recv(count - len(data))
    return data
