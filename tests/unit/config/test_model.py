"""The composed configuration, made in Python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pcs_gateway.backends.config import (
    BackendConfig,
    ConnectionsConfig,
    HealthCheckConfig,
    PoolConfig,
)
from pcs_gateway.config.model import MOST_WORKERS, GatewayConfig
from pcs_gateway.proxy.config import (
    LimitsConfig,
    MatchConfig,
    RouteConfig,
    RouteLimitsConfig,
    RouteTimeoutsConfig,
)
from pcs_gateway.section import Section

NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
SECONDS = st.floats(0.001, 1e6)
BACKENDS = st.lists(st.integers(1, 65535), min_size=1, max_size=5, unique=True).map(
    lambda ports: tuple(
        BackendConfig(url=f"http://127.0.0.1:{port}", weight=port % 1000 + 1) for port in ports
    )
)
POOLS = st.builds(
    PoolConfig,
    backends=BACKENDS,
    strategy=st.sampled_from(["round_robin", "least_connections", "two_choices", "least_time"]),
    health_check=st.builds(
        HealthCheckConfig, interval=SECONDS, jitter=st.floats(0, 1), timeout=st.floats(0.001, 5)
    ),
    connections=st.integers(1, 1000).map(lambda most: ConnectionsConfig(max_per_backend=most)),
    slow_start=SECONDS,
    on_abandon=st.sampled_from(["finish", "cancel"]),
)
ROUTES = st.builds(
    RouteConfig,
    match=st.builds(
        MatchConfig, path=st.sampled_from(["/{path...}", "/a/{b}", "/a/"]), methods=st.just(("GET", "M-X"))
    ),
    trailing_slash=st.sampled_from(["keep", "add", "remove"]),
    timeouts=st.one_of(st.none(), st.builds(RouteTimeoutsConfig, connect=SECONDS)),
    limits=st.one_of(st.none(), st.builds(RouteLimitsConfig, body_bytes=st.integers(0, 2**50))),
    side_effects=st.one_of(st.none(), st.booleans()),
)
CONFIGS = st.builds(
    lambda pools, routes, workers, limits: GatewayConfig(
        pools=pools, routes=tuple(route.model_copy(update={"pool": next(iter(pools))}) for route in routes),
        workers=workers, limits=limits,
    ),
    st.dictionaries(NAMES, POOLS, min_size=1, max_size=3),
    st.lists(ROUTES, min_size=1, max_size=4),
    st.one_of(st.just("auto"), st.integers(1, MOST_WORKERS)),
    st.builds(LimitsConfig, body_bytes=st.integers(0, 2**50), minimum_body_rate=st.floats(0, 1e9)),
)  # fmt: skip


@given(CONFIGS)
def test_any_configuration_survives_the_way_to_the_workers(config: GatewayConfig) -> None:
    """Dumped in JSON mode and validated, it is equal; what it filled in stays as it was."""
    assert config == GatewayConfig.model_validate(config.model_dump(mode="json"))


def test_it_is_immutable() -> None:
    """A snapshot is replaced, never changed."""
    config = GatewayConfig(pools={"a": PoolConfig(backends=(BackendConfig(url="http://a:1"),))})

    with pytest.raises(ValidationError, match="frozen"):
        config.drain_delay = 1.0  # type: ignore[misc]


def test_references_are_checked_in_python_too() -> None:
    """A configuration that no file could say cannot be made."""
    pools = {"pcs": {"backends": [{"url": "http://a:1"}]}}

    with pytest.raises(ValidationError, match=r"routes\[0\].pool: no such pool"):
        GatewayConfig.model_validate({"pools": pools, "routes": [{"pool": "pc"}]})


def test_the_number_of_workers_follows_the_machine_only_when_told_to() -> None:
    """Auto is one for each core, within what the scoreboard holds."""
    pools = {"a": PoolConfig(backends=(BackendConfig(url="http://a:1"),))}

    automatic, fixed = GatewayConfig(pools=pools), GatewayConfig(pools=pools, workers=3)

    assert [1, 2, MOST_WORKERS] == [automatic.worker_count(cores) for cores in (0, 2, 500)]
    assert 3 == fixed.worker_count(1)


def test_a_route_overrides_only_what_it_sets() -> None:
    """All other timeouts and limits are those of the gateway."""
    config = GatewayConfig(pools={"a": PoolConfig(backends=(BackendConfig(url="http://a:1"),))})

    timeouts = config.timeouts.overridden_by(RouteTimeoutsConfig(connect=0.25))
    limits = config.limits.overridden_by(RouteLimitsConfig(body_bytes=0))

    assert (0.25, 15.0) == (timeouts.connect, timeouts.response_head)
    assert (0, 65536) == (limits.body_bytes, limits.request_buffer)
    assert config.limits is config.limits.overridden_by(None)
    assert config.timeouts is config.timeouts.overridden_by(None)


def test_a_route_may_set_every_timeout_and_limit_of_the_gateway() -> None:
    """A key added to one section and forgotten in the other would be an unknown key on a route."""
    config = GatewayConfig(pools={"a": PoolConfig(backends=(BackendConfig(url="http://a:1"),))})

    assert type(config.timeouts).model_fields.keys() == RouteTimeoutsConfig.model_fields.keys()
    assert type(config.limits).model_fields.keys() == RouteLimitsConfig.model_fields.keys()


def test_defaults_follow_the_keys_they_depend_on() -> None:
    """Shortening one key never makes the default of another an error."""
    check = HealthCheckConfig(interval=0.1)
    slow = HealthCheckConfig(interval=60.0)

    assert (0.1, 30.0) == (check.fast_interval, check.max_age)
    assert (1.0, 180.0) == (slow.fast_interval, slow.max_age)
    assert 3 == ConnectionsConfig(max_per_backend=3).idle


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a", "a:80"),
        ("http://a:8001/", "a:8001"),
        ("http://[::1]:8001", "[::1]:8001"),
        ("HTTP://B:1", "b:1"),
    ],
)
def test_a_backend_is_named_after_its_address(url: str, name: str) -> None:
    """Host and port, the default port too."""
    assert name == BackendConfig(url=url).name


def test_every_section_and_key_says_what_it_is_for() -> None:
    """The documentation is written from these words."""
    seen: set[type[Section]] = set()
    waiting: list[type[Section]] = [Section]
    while waiting:
        for section in waiting.pop().__subclasses__():
            if section not in seen and section.__module__.startswith("pcs_gateway."):
                seen.add(section)
                waiting.append(section)
                assert section.__doc__, section
                for name, field in section.model_fields.items():
                    assert field.description, f"{section.__name__}.{name}"
    assert len(seen) > 35
