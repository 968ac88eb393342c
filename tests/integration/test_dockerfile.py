"""The Dockerfile builds, and what it builds serves, answers its health check and drains."""

import fnmatch
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.fakes.image import Image

REPOSITORY = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image, its Dockerfile carried out once for all tests."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        Path(folder).chmod(0o755)
        built = Image(Path(folder), REPOSITORY)
        built.build(REPOSITORY / "Dockerfile")
        yield built


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, token: str = "") -> tuple[int, str]:
    """GET a URL; a status of 400 and more is an answer too."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def until(process: subprocess.Popen[bytes], condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until a condition holds while the process lives; a refused connection is 'not yet'."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"it did not come about in time; the exit status of the process is {process.poll()}")


@contextmanager
def container(
    image: Image, environment: Mapping[str, str], *arguments: str, output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start what `docker run` would start, and stop it as `docker stop` would."""
    with image.start(image.command(*arguments), environment, output) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def health(image: Image, environment: Mapping[str, str]) -> int:
    """Run the image's health check as the engine does, inside; return its exit status."""
    with image.start([image.local(word) for word in image.metadata["HEALTHCHECK"]], environment) as process:
        return process.wait(10)


def test_default_command_serves_and_drains(image: Image) -> None:
    """Without a token the gateway serves, its health check passes inside, and SIGTERM ends it cleanly."""
    port, admin = free_port(), free_port()
    settings = {
        "PCS_GATEWAY_PORT": str(port),
        "PCS_GATEWAY_ADMIN_PORT": str(admin),
        "PCS_URL": "http://127.0.0.1:1",
    }

    with container(image, settings) as process:
        until(process, lambda: health(image, settings) == 0)
        status, body = fetch(f"http://127.0.0.1:{port}/")

    assert 503 == status
    assert "No healthy instances available" in json.loads(body)["message"]
    assert 0 == process.returncode
    assert 0 != health(image, settings)


def test_token_makes_the_admin_listener_reachable_from_outside(image: Image) -> None:
    """With a token in the environment the admin API answers on every address, to who has the token."""
    port, admin, token = free_port(), free_port(), "a-token-of-the-test"
    settings = {
        "PCS_GATEWAY_PORT": str(port),
        "PCS_GATEWAY_ADMIN_PORT": str(admin),
        "PCS_URL": "http://127.0.0.1:1",
    }
    outside = f"http://127.0.0.2:{admin}/api/v1/status"  # not the address that a loopback listener would have

    with container(image, {**settings, "PCS_GATEWAY_ADMIN_TOKEN": token}) as process:
        until(process, lambda: fetch(outside, token)[0] == 200)
        refused, _ = fetch(outside)
        inside = health(image, settings)

    assert 401 == refused
    assert 0 == inside


def test_demo_runs_in_the_image(image: Image, tmp_path: Path) -> None:
    """`docker run … demo` serves beyond the container's loopback, from what is in the image alone."""
    printed = tmp_path / "demo.txt"
    with printed.open("wb") as output, container(image, {}, "demo", output=output) as process:
        until(process, lambda: "Five things to try" in printed.read_text())
        (port,) = re.findall(r"traffic +http://127\.0\.0\.1:(\d+)/", printed.read_text())
        status, _ = fetch(f"http://127.0.0.2:{port}/api/v1/health/")

    assert 200 == status
    assert 0 == process.returncode


def test_image_holds_no_build_tools_and_no_sources(image: Image) -> None:
    """The last stage has the gateway and its dependencies, and runs as nobody special."""
    assert not (image.root / "opt/build").exists()
    assert [] == list((image.root / "src").iterdir())
    assert "10001:10001" == image.user
    assert ["SIGTERM"] == image.metadata["STOPSIGNAL"]
    assert os.access(image.root / "opt/pcs-gateway/bin/pcs-gateway", os.X_OK)


def test_everything_copied_passes_dockerignore() -> None:
    """What the Dockerfile copies is not kept out of the build by .dockerignore, and the rest is."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    admitted = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        word.removeprefix("./").rstrip("/")
        for line in (REPOSITORY / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }

    assert "*" == rules[0]
    assert all(any(fnmatch.fnmatch(name, f"{rule}*") for rule in admitted) for name in copied)
    assert admitted <= copied | {str(Path(name).parent) for name in copied}
