"""What has no effect says so, and what can be evaded."""

import re
from pathlib import Path

import pytest

from pcs_gateway.config.loading import load
from pcs_gateway.config.notices import WITHOUT_EFFECT
from pcs_gateway.config.schema import kind_at
from tests.unit.config.reading import POOLS, loaded, pool

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (POOLS + "cache: {l1: {ttl: 5s}}", "cache"),
        (POOLS + "alerts: {evaluate_every: 5s}", "alerts"),
        (POOLS + "scaling: {pcs: {}}", "scaling"),
        (POOLS + "routes: [{cache: {policy: rfc9111}}]", "routes[0].cache"),
        (POOLS + "routes: [{invalidates: [a]}]", "routes[0].invalidates"),
        (POOLS + "routes: [{limits: {headers: 5}}]", "routes[0].limits.headers"),
        (POOLS + "routes: [{timeouts: {client_idle: 5s}}]", "routes[0].timeouts.client_idle"),
        (pool("resources: {url: /r}"), "pools.pcs.resources"),
    ],
)
def test_a_key_without_effect_is_noticed(tmp_path: Path, text: str, path: str) -> None:
    """One notice with path, line and reason."""
    notices = loaded(tmp_path, text).notices

    assert 1 == len(notices)
    assert re.match(rf"{tmp_path}/gateway.yaml:\d+: {re.escape(path)}", notices[0])
    assert "has no effect: " in notices[0]


@pytest.mark.parametrize(
    "text",
    [
        POOLS,
        POOLS + "cache: {}\nalerts:\nscaling: {}\n",
        pool("slow_start: 10s, panic_threshold: 0.5, hedge: {after: p95}"),
        pool("retry: {on: [502], budget: {ratio: 0.1}, backoff: {base: 1ms}}"),
        POOLS + "routes: [{side_effects: false}]",
        POOLS
        + "routes: [{side_effects: true, limits: {body_bytes: 1KiB}, timeouts: {connect: 2s}, cache: null}]",
    ],
)
def test_what_is_off_or_has_effect_is_not_noticed(tmp_path: Path, text: str) -> None:
    """Only what was asked for and is not done."""
    assert [] == loaded(tmp_path, text).notices


BY_ADDRESS = [
    ("limits: {connections_per_client: 5}\n", "limits.connections_per_client"),
    ("rate_limits: [{rate: 1/s, key: 'header:X'}, {rate: 1/s}]\n", "rate_limits[1]"),
    ("routes: [{rate_limits: [{rate: 1/s, key: client_address}]}]\n", "routes[0].rate_limits[0]"),
]


@pytest.mark.parametrize(("text", "path"), BY_ADDRESS)
def test_limits_by_address_are_told_that_loopback_is_trusted(tmp_path: Path, text: str, path: str) -> None:
    """Who did not say whom to trust learns that a forwarder on this machine evades what counts by address."""
    [notice] = loaded(tmp_path, POOLS + text).notices

    assert re.match(rf"{tmp_path}/gateway.yaml:\d+: {re.escape(path)}", notice)
    assert "forwarding.trusted_proxies trusts loopback by default" in notice


def test_that_is_told_once(tmp_path: Path) -> None:
    """However many limits there are, at the first of them."""
    [notice] = loaded(tmp_path, POOLS + "".join(text for text, _ in BY_ADDRESS)).notices

    assert re.match(rf"{tmp_path}/gateway.yaml:\d+: limits.connections_per_client: ", notice)


@pytest.mark.parametrize(
    "text",
    [
        *(
            text + f"forwarding: {{trusted_proxies: {trusted}}}\n"
            for text, _ in BY_ADDRESS
            for trusted in ("[]", "[127.0.0.0/8, '::1/128']", "[10.0.0.0/8]")
        ),
        "rate_limits: [{rate: 1/s, key: 'header:X'}]\n",
        "rate_limits: []\nlimits: {connections_per_client: null}\n",
        "forwarding: {server_timing: false}\n",
    ],
)
def test_who_said_whom_to_trust_is_told_nothing(tmp_path: Path, text: str) -> None:
    """Nor who counts nothing by address."""
    assert [] == loaded(tmp_path, POOLS + text).notices


def test_notices_come_in_the_order_of_the_file() -> None:
    """So that they can be read beside it."""
    notices = load(ROOT / "tests" / "data" / "contract.yaml", {}).notices
    lines = [int(notice.split(":")[1]) for notice in notices]

    assert len(notices) > 5
    assert sorted(lines) == lines


@pytest.mark.parametrize("pattern", WITHOUT_EFFECT)
def test_the_table_names_keys_that_exist(pattern: str) -> None:
    """A renamed key would silently lose its notice."""
    path: tuple[str | int, ...] = ()
    for part in pattern.split("."):
        kind = kind_at(path)
        in_list = kind is not None and str(kind.annotation).startswith("tuple")
        path = (*path, 0 if in_list else part)

    assert kind_at(path) is not None


def test_the_shipped_files_have_no_notices() -> None:
    """A newcomer's first start says nothing that needs explaining."""
    for name in ("minimal.yaml", "gateway.yaml"):
        assert [] == load(ROOT / "config" / name, {}).notices
