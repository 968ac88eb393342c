"""What routing remembers of strangers' request lines is bounded."""

import pytest

from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.proxy.routing import Route, Router


@pytest.mark.parametrize("considers_host", [False, True])
def test_long_methods_and_hosts_are_not_kept(considers_host: bool) -> None:
    """A host may be as long as a head; it is not kept in memory, however often it comes."""
    respond = {"name": "r", "respond": {"status": 200}}
    named = [{**respond, "name": "n", "match": {"host": "n.test"}}] if considers_host else []
    config = GatewayConfig.model_validate(
        {"pools": {"p": {"backends": [{"url": "http://127.0.0.1:1"}]}}, "routes": [*named, respond]}
    )
    router = Router(Route(route, None, config.limits, config.timeouts) for route in config.routes)
    for method, host in ((b"GET", b"a.test"), (b"M" * 30_000, b"a.test"), (b"GET", b"h" * 30_000)) * 3:
        assert router.match(method, host, b"/").route.name == "r"

    assert all(len(b"".join(key)) < 100 for key in router._known)
    assert router._known
