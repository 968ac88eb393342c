"""How far a change reaches."""

from typing import Any

import pytest

from pcs_gateway.config.changes import NEEDS_RESTART, changed_keys, needs_restart
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.config.schema import kind_at

BACKENDS = {"backends": [{"url": "http://a:1"}]}


def _config(**sections: Any) -> GatewayConfig:
    return GatewayConfig.model_validate({"pools": {"pcs": BACKENDS}} | sections)


def test_equal_configurations_differ_in_nothing() -> None:
    """Whatever way they were written."""
    assert [] == changed_keys(_config(), _config(drain_timeout="30000ms", routes=[]))


def test_a_change_is_named_by_its_key() -> None:
    """Sections are compared key by key, lists as a whole, and pools by name."""
    new = _config(
        limits={"headers": 5},
        pools={"pcs": {"backends": [{"url": "http://a:1", "weight": 2}]}, "b": BACKENDS},
        routes=[{"pool": "pcs"}],
    )

    assert ["limits.headers", "pools.b", "pools.pcs.backends", "routes"] == changed_keys(_config(), new)


def test_what_cannot_be_applied_live_needs_restart() -> None:
    """Each such key is reported with its reason; others are not."""
    new = _config(admin={"address": "127.0.0.1:1", "token": "x"}, state={"directory": "s"}, drain_delay="1s")

    lines = needs_restart(_config(), new)

    assert ["admin.address", "state.directory"] == [line.split()[0] for line in lines]
    assert all("needs restart" in line for line in lines)
    assert [] == needs_restart(_config(), _config(admin={"token": "x"}, workers=2))


@pytest.mark.parametrize("key", NEEDS_RESTART)
def test_the_table_names_keys_that_exist(key: str) -> None:
    """A renamed key would silently be applied half."""
    assert kind_at(tuple(key.split("."))) is not None
