"""Proxies before a fleet are told the same rules."""

from pathlib import Path

import pytest

from benchmarks import servers
from benchmarks.black_hole import ROWS as HOLE_ROWS
from benchmarks.fleet_servers import Proxy, gateway_values, haproxy_values, nginx_values, sum_metric
from benchmarks.slow_minority import ROWS as MINORITY_ROWS
from pcs_gateway.config.loading import load

PORTS = [9001, 9002]
COMMON = {"NAME": "it", "PORT": 9000, "ADMIN_PORT": 9900, "DIRECTORY": "/nowhere", "WORKERS": 2, "TIMEOUT": 2}


@pytest.mark.parametrize(
    "which",
    [row for row in (*HOLE_ROWS, *MINORITY_ROWS) if row.program == "gateway"],
    ids=lambda row: row.name,
)
def test_gateway_accepts_its_file(tmp_path: Path, which: Proxy) -> None:
    """No place is left empty, and the contract's keys mean what the row says."""
    path = servers.fill("gateway_fleet.yaml", tmp_path / "it.yaml", COMMON | gateway_values(which, PORTS))
    pool = load(path, {}).config.pools["fleet"]

    assert "@" not in path.read_text()
    assert (pool.strategy, pool.retry.attempts, len(pool.backends)) == (which.strategy, which.retries, 2)
    assert (pool.hedge is not None) == bool(which.hedge)
    assert "POST" not in pool.retry.methods


def test_nginx_tries_again_as_often_and_no_post() -> None:
    """Tries count the first one; without non_idempotent POSTs stay where they were sent."""
    told = str(nginx_values(Proxy("n", "nginx", "least_conn", retries=2), PORTS)["NEXT"])

    assert "proxy_next_upstream_tries 3;" in told
    assert "non_idempotent" not in told


def test_haproxy_tries_again_as_often_and_no_post() -> None:
    """On another server, with POSTs excepted."""
    told = str(haproxy_values(Proxy("h", "haproxy", retries=2), PORTS)["NEXT"])

    assert "retries 2" in told
    assert "option redispatch 1" in told
    assert "disable-l7-retry if METH_POST" in told


def test_without_retries_nobody_tries_again() -> None:
    """All three are told so."""
    assert nginx_values(Proxy("n", "nginx", retries=0), PORTS)["NEXT"] == "proxy_next_upstream off;"
    assert haproxy_values(Proxy("h", "haproxy", retries=0), PORTS)["NEXT"] == "    retries 0"
    assert gateway_values(Proxy("g", "gateway", retries=0), PORTS)["RETRIES"] == 0


def test_metric_is_summed_over_its_labels() -> None:
    """Comments and longer names do not count."""
    text = (
        "# TYPE pcs_x_total counter\n"
        'pcs_x_total{pool="a",backend="{b}"} 2.0\n'
        'pcs_x_total{pool="a",backend="c"} 1.0\n'
        "pcs_x_total_more 7\n"
    )

    assert sum_metric(text, "pcs_x_total") == 3.0
    assert sum_metric(text, "pcs_y_total") == 0.0
