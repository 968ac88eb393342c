"""When a backend is ready, and why it is not."""

import pytest

from pcs_gateway.backends.backend import AdministrativeState, Health, HealthStatus
from pcs_gateway.backends.config import BackendConfig
from pcs_gateway.backends.health import HealthTracker
from pcs_gateway.control.standing import BackendKey, Ejection, Standing


def ready_standing() -> Standing:
    """A backend that nothing speaks against."""
    config = BackendConfig(url="http://app.internal:8001", name="one", weight=3)
    standing = Standing(BackendKey("pcs", config.url), config)
    standing.column, standing.generation = 5, 2
    standing.addresses = ("10.0.0.1",)
    standing.tracker = HealthTracker(Health(HealthStatus.HEALTHY, 100.0, "status 200"))
    return standing


class TestReason:
    def test_nothing_against_it_is_ready(self) -> None:
        """Active, resolved, healthy and not ejected: ready, without a reason."""
        backend = ready_standing().backend()

        assert backend.ready
        assert backend.reason == ""
        assert (backend.host, backend.port, backend.column, backend.generation) == (
            "app.internal",
            8001,
            5,
            2,
        )

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (AdministrativeState.DRAINING, "draining by order of an operator"),
            (AdministrativeState.DISABLED, "disabled by order of an operator"),
        ],
    )
    def test_operator_comes_first(self, state: AdministrativeState, reason: str) -> None:
        """An operator's order is the reason even where others exist."""
        standing = ready_standing()
        standing.administrative_state = state
        standing.ejection = Ejection(500.0, "5 gateway failures in a row")

        assert standing.backend().reason == reason
        assert not standing.backend().ready

    def test_host_without_address_is_not_ready(self) -> None:
        """The reason tells what resolution said."""
        standing = ready_standing()
        standing.addresses = ()
        assert standing.reason() == "app.internal is not resolved yet"

        standing.unresolved = "app.internal does not exist in DNS"
        assert standing.reason() == "app.internal does not exist in DNS"

    def test_unhealthy_says_what_the_check_saw(self) -> None:
        """The reason repeats the last check."""
        standing = ready_standing()
        standing.tracker = HealthTracker(Health(HealthStatus.UNHEALTHY, 100.0, "status 503, expected 200"))

        assert standing.reason() == "unhealthy: status 503, expected 200"

    def test_held_health_is_shown_instead_of_found_health(self) -> None:
        """What an earlier process published stays until it is no longer held."""
        standing = ready_standing()
        standing.held = Health(HealthStatus.UNHEALTHY, 90.0, "connection refused")
        assert not standing.backend().ready

        standing.held = None
        assert standing.backend().ready

    def test_ejected_until_its_time(self) -> None:
        """An ejection keeps it from being ready until it ends."""
        standing = ready_standing()
        standing.ejection = Ejection(500.0, "5 gateway failures in a row")

        assert standing.backend().ejected_until == 500.0
        assert standing.reason() == "ejected: 5 gateway failures in a row"
        assert not standing.end_ejection(499.9)
        assert standing.end_ejection(500.0)
        assert not standing.end_ejection(501.0)
        assert standing.backend().ready
        assert standing.backend().ejected_until == 0.0


class TestWeight:
    def test_override_stands_before_the_configured_weight(self) -> None:
        """An operator's weight is published instead of the file's."""
        standing = ready_standing()
        assert standing.backend().weight == 3

        standing.weight_override = 7
        assert standing.backend().weight == 7


def test_repr_tells_the_reason() -> None:
    """A standing explains itself."""
    standing = ready_standing()
    assert repr(standing) == "<Standing pcs/one: ready>"
    standing.administrative_state = AdministrativeState.DRAINING
    assert repr(standing) == "<Standing pcs/one: draining by order of an operator>"
