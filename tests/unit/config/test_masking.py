"""What may be shown."""

from pathlib import Path

from pcs_gateway.config.loading import load
from pcs_gateway.config.masking import masked
from pcs_gateway.config.model import GatewayConfig
from tests.unit.config.reading import POOLS, loaded

DATA = Path(__file__).parents[2] / "data"


def test_secrets_are_masked_wherever_they_came_from(tmp_path: Path) -> None:
    """Tokens, the paths of hooks, and the credentials of URLs."""
    text = POOLS + (
        "admin: {token: hunter2}\n"
        "cache: {l2: {redis: 'redis://user:hunter2@redis:6379/0'}, identity: {secret: hunter2}}\n"
        "alerts: {notify: [{webhook: 'https://hooks.example.com/hunter2?t=hunter2'}]}\n"
        "routes: [{request_headers: {set: {Authorization: hunter2, X-Api-Key: hunter2, X-Plain: seen}}}]\n"
    )

    shown = loaded(tmp_path, text).masked()

    assert "hunter2" not in str(shown)
    assert "***" == shown["admin"]["token"]
    assert "redis://***@redis:6379/0" == shown["cache"]["l2"]["redis"]
    assert "https://hooks.example.com/***" == shown["alerts"]["notify"][0]["webhook"]
    assert "seen" == shown["routes"][0]["request_headers"]["set"]["X-Plain"]


def test_text_from_the_environment_is_shown_as_its_variable(tmp_path: Path) -> None:
    """In any field, since any may hold a secret; numbers and durations are shown."""
    text = POOLS + (
        "workers: ${WORKERS}\ndrain_timeout: ${DRAIN}\n"
        "routes: [{response_headers: {set: {X-Internal: 'a ${INTERNAL:-x} b'}},\n"
        "  respond: {body: '${BODY:-file text}'}}]\n"
    )

    shown = loaded(tmp_path, text, {"WORKERS": "3", "DRAIN": "7s", "INTERNAL": "hunter2"}).masked()

    assert (3, "7s") == (shown["workers"], shown["drain_timeout"])
    assert "a ${INTERNAL} b" == shown["routes"][0]["response_headers"]["set"]["X-Internal"]
    assert "file text" == shown["routes"][0]["respond"]["body"]
    assert "hunter2" not in str(shown)


def test_an_empty_secret_is_shown_as_empty() -> None:
    """That there is no token is no secret."""
    assert "" == load(DATA / "contract.yaml", {}).masked()["admin"]["token"]


def test_what_is_no_secret_is_shown_whole() -> None:
    """The effective configuration can be read back, masked secrets aside."""
    config = load(DATA / "contract.yaml", {}).config

    shown = masked(config)
    shown["alerts"]["notify"][0]["webhook"] = config.alerts.notify[0].webhook
    shown["scaling"]["pcs"]["actuator"]["webhook"] = config.scaling["pcs"].actuator.webhook

    assert config == GatewayConfig.model_validate(shown)
