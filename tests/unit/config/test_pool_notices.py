"""What has no effect in a pool says so."""

from pathlib import Path

import pytest

from pcs_gateway.backends.config import BackendConfig, PoolConfig
from pcs_gateway.config.model import REFERENCES_CHECKED, GatewayConfig
from pcs_gateway.config.notices import notices
from tests.unit.config.reading import pool, told


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (pool("concurrency: {mode: fixed, maximum: 5, minimum: 4}"), "pools.pcs.concurrency.minimum"),
        (pool("concurrency: {mode: fixed, maximum: 5, initial: 4}"), "pools.pcs.concurrency.initial"),
        (pool("hedge: {after: 30s}"), "pools.pcs.hedge.after"),
        (pool("hedge: {after: 9s}") + "timeouts: {request_total: 9s}", "pools.pcs.hedge.after"),
        (
            pool("hedge: {after: 9s}")
            + "routes: [{match: {path: /a}, timeouts: {request_total: 8s}}, {match: {path: /b}, respond: {}},"
            + " {side_effects: true}]",
            "pools.pcs.hedge.after",
        ),
        (pool("hedge: {budget: 0}"), "pools.pcs.hedge"),
        (pool("hash_on: path"), "pools.pcs.hash_on"),
        (pool("strategy: least_time, hash_balance_factor: 1.5"), "pools.pcs.hash_balance_factor"),
        (pool("tls: {ca: ca.pem, verify: false}"), "pools.pcs.tls.ca"),
        (pool("outlier_detection: {max_ejected: 0}"), "pools.pcs.outlier_detection"),
        (pool("outlier_detection: {success_rate: {}}"), "pools.pcs.outlier_detection.success_rate"),
        (pool("outlier_detection: {success_rate: {}}", 4), "pools.pcs.outlier_detection.success_rate"),
        (
            pool("outlier_detection: {success_rate: {stdev_factor: 2}}", 5),
            "pools.pcs.outlier_detection.success_rate",
        ),
        (pool("queue: {timeout: 1s, overload_timeout: 2s}"), "pools.pcs.queue.overload_timeout"),
        (
            "pools: {pcs: {backends: [{url: 'http://a:1', priority: 1}, {url: 'http://b:1', priority: 1}]}}",
            "pools.pcs.backends[0].priority",
        ),
    ],
)
def test_a_key_without_effect_is_noticed(tmp_path: Path, text: str, path: str) -> None:
    """One notice with path, line and reason."""
    [notice] = told(tmp_path, text)

    assert notice.startswith(f"1: {path} has no effect: ")


@pytest.mark.parametrize(
    "text",
    [
        pool("hedge: {after: 29s}"),
        pool("hedge: {after: 9s}") + "routes: [{match: {path: /a}, timeouts: {request_total: 8s}}, {}]",
        pool("hedge: {after: 90s}") + "routes: [{timeouts: {request_total: 2m}}]",
        pool("hedge: {after: 90s}") + "routes: [{side_effects: true}]",
        pool("concurrency: {mode: fixed, maximum: 5}"),
        pool("concurrency: {minimum: 5, initial: 6}"),
        pool("strategy: consistent_hash, hash_on: path, hash_balance_factor: 2"),
        pool("hash_on: null"),
        pool("tls: {ca: ca.pem}"),
        pool("outlier_detection: {max_ejected: 0.1, failure_ratio: {}}"),
        pool("outlier_detection: {success_rate: {}}", 5),
        pool("outlier_detection: {success_rate: {stdev_factor: 1.4, minimum_backends: 3}}", 3),
        pool("queue: {timeout: 1s, overload_timeout: 1s}"),
        pool("queue: {timeout: 1ms}"),
        "pools: {pcs: {backends: [{url: 'http://a:1', priority: 1}, {url: 'http://b:1'}]}}",
    ],
)
def test_a_key_with_effect_is_not(tmp_path: Path, text: str) -> None:
    """Nor one that says what is so anyway."""
    assert [] == told(tmp_path, text)


def test_a_strategy_that_is_brought_along_may_look_at_the_key() -> None:
    """Only those of the gateway are known to pass over it."""
    pool = PoolConfig(backends=(BackendConfig(url="http://a:1"),), strategy="one_of_theirs", hash_on="path")
    config = GatewayConfig.model_validate({"pools": {"pcs": pool}}, context={REFERENCES_CHECKED: True})

    assert [] == notices(config, {}, {})
