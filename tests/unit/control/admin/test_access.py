"""Who may use the admin API."""

import pytest

from pcs_gateway.control.admin.access import Caller, refusal


def status(
    *,
    token: str = "",
    loopback: bool = True,
    path: str = "/api/v1/status",
    host: str = "127.0.0.1:9901",
    origin: str = "",
    authorization: str = "",
) -> int:
    """Status of the refusal; 0 when there is none."""
    refused = refusal(Caller(path, host, origin, authorization), token, bound_to_loopback=loopback)
    return refused.status if refused else 0


class TestToken:
    @pytest.mark.parametrize(
        ("authorization", "expected"),
        [
            ("Bearer geheim", 0),
            ("bearer geheim", 0),
            ("Bearer  geheim", 0),
            ("", 401),
            ("Bearer", 401),
            ("Bearer ", 401),
            ("Bearer Geheim", 401),
            ("Bearer geheim2", 401),
            ("Bearer gehei", 401),
            ("Basic geheim", 401),
            ("geheim", 401),
            ("Bearer gehe\xefm", 401),
            ("Bearer \udcff\udcfe", 401),
        ],
    )
    def test_only_the_very_token_is_let_in(self, authorization: str, expected: int) -> None:
        """The scheme in any case, the token exactly."""
        assert status(token="geheim", authorization=authorization) == expected

    def test_token_may_be_any_bytes(self) -> None:
        """Bytes of the environment that are no UTF-8 come as surrogates, as those of a field do."""
        assert status(token="t\udcff", authorization="Bearer t\udcff") == 0
        assert status(token="t\udcff", authorization="Bearer t\udcfe") == 401

    def test_host_and_origin_do_not_matter_to_who_knows_it(self) -> None:
        """A browser cannot be made to send the token."""
        assert status(token="t", host="gw.example", origin="http://x", authorization="Bearer t") == 0

    @pytest.mark.parametrize("path", ["/healthz", "/readyz"])
    @pytest.mark.parametrize("loopback", [True, False])
    def test_probes_need_no_token(self, path: str, loopback: bool) -> None:
        """Load balancers and orchestrators cannot always send one."""
        assert status(token="geheim", path=path, host="10.0.0.7:9901", loopback=loopback) == 0

    @pytest.mark.parametrize("path", ["/metrics", "/healthz/", "//healthz", "/readyz/../metrics", "/"])
    def test_nothing_else_is_open(self, path: str) -> None:
        """The exceptions are two exact paths."""
        assert status(token="geheim", path=path) == 401


class TestNoToken:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1:9901",
            "127.0.0.1",
            "localhost:9901",
            "LOCALHOST",
            "[::1]:9901",
            "127.9.9.9",
            "gw.localhost",
        ],
    )
    def test_loopback_names_are_let_in(self, host: str) -> None:
        """Programs of this machine name it so."""
        assert status(host=host) == 0

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "evil.example:9901",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1:9901",
            "0.0.0.0:9901",
            "[::1",
            "127.0.0.1@evil.example",
            "evil.example#localhost",
        ],
    )
    @pytest.mark.parametrize("path", ["/api/v1/status", "/healthz"])
    def test_rebound_names_are_not(self, host: str, path: str) -> None:
        """A page whose name was rebound to loopback says its own name."""
        assert status(host=host, path=path) == 403

    @pytest.mark.parametrize(
        ("origin", "expected"),
        [
            ("http://127.0.0.1:9901", 0),
            ("https://evil.example", 403),
            ("http://127.0.0.1:3000", 403),
            ("http://localhost:9901", 403),
            ("null", 403),
            ("http://[", 403),
        ],
    )
    def test_pages_of_other_origins_are_not(self, origin: str, expected: int) -> None:
        """A page on this machine's screen could order through the browser what its reader did not."""
        assert status(origin=origin) == expected

    def test_socket_that_others_can_reach_is_closed(self) -> None:
        """A token that was removed by a reload does not open the API to the network."""
        assert status(loopback=False) == 403
