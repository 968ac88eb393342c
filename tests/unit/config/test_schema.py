"""The models asked about themselves."""

import pytest

from pcs_gateway.config.references import Path
from pcs_gateway.config.schema import allowed_at, keys_at, kind_at
from pcs_gateway.section import CREDENTIALS, PRIVATE_URL, SECRET


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (("workers",), "auto, or a whole number from 1 to 31"),
        (("limits",), "a mapping"),
        (("pools",), "a mapping (1 to 64 members)"),
        (("limits", "header_bytes"), ", from 256B to 1MiB"),
        (("timeouts", "connect"), ", more than 0"),
        (("routes", 3, "timeouts", "connect"), ", more than 0"),
        (("pools", "x", "backends"), "a list (1 to 512 items) of: a mapping"),
        (("pools", "x", "backends", 7, "weight"), "a whole number, from 1 to 1000"),
        (("pools", "x", "health_check", "expect_status"), "a list (at least 1 item) of: a whole number"),
        (("pools", "x", "on_abandon"), "finish or cancel"),
        (("routes", 0, "request_headers", "set", "X"), "the value of a header field"),
        (("nonsense",), ""),
        (("limits", "headers", "deeper"), ""),
    ],
)
def test_a_path_knows_what_it_allows(path: Path, allowed: str) -> None:
    """In words, with bounds in the unit of the key."""
    assert allowed in allowed_at(path)
    assert bool(allowed) == bool(allowed_at(path))


def test_a_section_knows_its_keys() -> None:
    """And what is no section has none."""
    assert ["certificate", "key"] == keys_at(("listen", 0, "tls", "certificates", 3))
    assert [] == keys_at(("limits", "headers"))
    assert [] == keys_at(("pools",))


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        (("admin", "token"), SECRET),
        (("cache", "identity", "secret"), SECRET),
        (("cache", "l2", "redis"), CREDENTIALS),
        (("cache", "l3", "database"), CREDENTIALS),
        (("alerts", "notify", 0, "webhook"), PRIVATE_URL),
        (("scaling", "pcs", "actuator", "webhook"), PRIVATE_URL),
        (("state", "directory"), None),
    ],
)
def test_secret_keys_are_marked(path: Path, mark: object) -> None:
    """Every key that holds a secret says how it is masked."""
    kind = kind_at(path)

    assert kind is not None
    assert mark is kind.mark
