"""The files in deploy/ agree with the gateway, with the image and with each other."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import pcs_gateway
from pcs_gateway.config.loading import load
from pcs_gateway.config.model import GatewayConfig

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
CONFIG = "/etc/pcs-gateway/gateway.yaml"
TOKEN = {"PCS_GATEWAY_ADMIN_TOKEN": "a-token-of-the-test"}


def documents(path: Path) -> list[Any]:
    """Read a YAML file of one or several documents."""
    return list(YAML(typ="safe", pure=True).load_all(path.read_text()))


def manifests() -> dict[str, Any]:
    """Read the Kubernetes manifest: kind → object."""
    return {document["kind"]: document for document in documents(DEPLOY / "kubernetes.yaml")}


def container() -> Any:
    """Return the one container of the Deployment."""
    (only,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return only


def effective(path: Path, environ: Mapping[str, str]) -> GatewayConfig:
    """Load a configuration as the gateway does."""
    return load(path, environ).config


def unit() -> dict[str, list[str]]:
    """Read the systemd unit: key → its values, as a key may be repeated."""
    values: dict[str, list[str]] = {}
    for line in (DEPLOY / "pcs-gateway.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


@pytest.fixture
def kubernetes_config(tmp_path: Path) -> GatewayConfig:
    """The configuration in the ConfigMap, loaded."""
    path = tmp_path / "gateway.yaml"
    path.write_text(manifests()["ConfigMap"]["data"]["gateway.yaml"])
    return effective(path, TOKEN)


def seconds(text: str) -> float:
    """Read `45` or `45s`."""
    return float(text.removesuffix("s"))


class TestConfigurations:
    @pytest.mark.parametrize("name", ["docker/gateway.yaml", "compose/configuration/gateway.yaml"])
    @pytest.mark.parametrize(
        "environ", [{}, {**TOKEN, "PCS_GATEWAY_ADMIN_HOST": "0.0.0.0"}], ids=["plain", "token"]
    )
    def test_configuration_is_valid(self, name: str, environ: dict[str, str]) -> None:
        """A file that ships in deploy/ loads without an error and without a notice."""
        loaded = load(DEPLOY / name, environ)

        assert [] == list(loaded.notices)
        assert "pcs" in loaded.config.pools

    def test_image_listens_where_it_says(self) -> None:
        """The ports that the image exposes are those of its configuration."""
        config = effective(DEPLOY / "docker/gateway.yaml", {})

        assert "0.0.0.0:8080" == config.listen[0].address
        assert "127.0.0.1:9901" == config.admin.address
        assert "EXPOSE 8080 9901" in DOCKERFILE


class TestSystemd:
    def test_unit_starts_what_is_documented(self) -> None:
        """The unit checks and serves the file that the documentation installs."""
        program = "/opt/pcs-gateway/bin/pcs-gateway"

        assert [f"{program} serve --config {CONFIG}"] == unit()["ExecStart"]
        assert [f"{program} check {CONFIG}"] == unit()["ExecStartPre"]
        assert [f"{program} check {CONFIG}", "/bin/kill -HUP $MAINPID"] == unit()["ExecReload"]

    def test_unit_lets_the_gateway_drain(self) -> None:
        """The supervisor alone is signalled, and systemd waits longer than a drain may take."""
        example = effective(REPOSITORY / "config" / "gateway.yaml", TOKEN)

        assert ["mixed"] == unit()["KillMode"]
        assert example.drain_delay + example.drain_timeout < seconds(unit()["TimeoutStopSec"][0])

    def test_default_state_directory_is_the_one_that_systemd_makes(self) -> None:
        """The relative default, seen from the working directory, is StateDirectory."""
        config = effective(DEPLOY / "docker/gateway.yaml", {})

        directory = Path(unit()["WorkingDirectory"][0]) / config.state.directory
        assert Path("/var/lib") / unit()["StateDirectory"][0] == directory
        assert ["0700"] == unit()["StateDirectoryMode"]


class TestKubernetes:
    def test_pod_may_drain(self, kubernetes_config: GatewayConfig) -> None:
        """The grace period is longer than a drain, which waits for the Service to forget the pod."""
        grace = manifests()["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

        assert 0 < kubernetes_config.drain_delay
        assert kubernetes_config.drain_delay + kubernetes_config.drain_timeout < grace

    def test_ports_and_probes_are_those_of_the_configuration(self, kubernetes_config: GatewayConfig) -> None:
        """Traffic and probes reach the listeners, which are not on loopback."""
        ports = {port["name"]: f"0.0.0.0:{port['containerPort']}" for port in container()["ports"]}
        probes = {
            name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")
        }

        assert {
            "http": kubernetes_config.listen[0].address,
            "admin": kubernetes_config.admin.address,
        } == ports
        assert {"admin"} == {probe["port"] for probe in probes.values()}
        assert ["/healthz", "/healthz", "/readyz"] == [probe["path"] for probe in probes.values()]
        assert "http" == manifests()["Service"]["spec"]["ports"][0]["targetPort"]

    def test_pod_is_the_image(self) -> None:
        """User, version and directories are those of the image."""
        pod = manifests()["Deployment"]["spec"]["template"]["spec"]
        mounts = {mount["mountPath"] for mount in container()["volumeMounts"]}

        assert (
            f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in DOCKERFILE
        )
        assert f"pcs-gateway:{pcs_gateway.__version__}" == container()["image"]
        assert str(Path(CONFIG).parent) in mounts
        assert {volume["name"] for volume in pod["volumes"]} == {
            mount["name"] for mount in container()["volumeMounts"]
        }

    def test_selectors_find_the_pods(self) -> None:
        """Deployment, Service and disruption budget mean the same pods."""
        labels = manifests()["Deployment"]["spec"]["template"]["metadata"]["labels"]
        selectors = [
            manifests()["Deployment"]["spec"]["selector"]["matchLabels"],
            manifests()["Service"]["spec"]["selector"],
            manifests()["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        ]

        assert [labels] * 3 == selectors


class TestCompose:
    def test_backends_are_the_instances(self) -> None:
        """Each sample instance is a backend under its own name and port."""
        (compose,) = documents(DEPLOY / "compose/compose.yaml")
        config = effective(DEPLOY / "compose/configuration/gateway.yaml", {})
        instances = {
            name: int(re.findall(r"--port (\d+)", " ".join(service["entrypoint"]))[0])
            for name, service in compose["services"].items()
            if name != "gateway"
        }

        assert {f"http://{name}:{port}" for name, port in instances.items()} == {
            backend.url for backend in config.pools["pcs"].backends
        }

    def test_stopping_waits_for_a_drain(self) -> None:
        """Compose kills later than a drain may take."""
        (compose,) = documents(DEPLOY / "compose/compose.yaml")
        config = effective(DEPLOY / "compose/configuration/gateway.yaml", {})

        grace = seconds(compose["services"]["gateway"]["stop_grace_period"])
        assert config.drain_delay + config.drain_timeout < grace
