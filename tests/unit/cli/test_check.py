"""`pcs-gateway check FILE`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pcs_gateway.cli.main import main
from tests.fakes.authority import Authority

ROOT = Path(__file__).parents[3]
MINIMAL = 'pools: {pcs: {backends: [{url: "http://127.0.0.1:8001"}]}}\n'


def test_a_valid_file_is_one_line_and_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what the file configures."""
    file = tmp_path / "gateway.yaml"
    file.write_text(MINIMAL)

    assert 0 == main(["check", str(file)])

    shown = capsys.readouterr()
    assert f"{file}: valid: 1 pool, 1 backend, 1 route; listens on 0.0.0.0:8080\n" == shown.out
    assert "" == shown.err


def test_the_file_that_serve_would_read_is_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `check` and `serve` can be typed alike."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)

    assert 0 == main(["check"])

    assert capsys.readouterr().out.startswith("config/gateway.yaml: valid: ")


def test_every_problem_is_a_line_on_standard_error_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on standard output, so that it can be used in scripts."""
    file = tmp_path / "gateway.yaml"
    file.write_text(MINIMAL + "workers: 0\ndrain_dely: 5s\n")

    assert 2 == main(["check", str(file)])

    shown = capsys.readouterr()
    assert "" == shown.out
    first, second = shown.err.splitlines()
    assert f"{file}:2: workers: not allowed: found 0; allowed: auto, or a whole number from 1 to 31" == first
    assert second.startswith(f"{file}:3: drain_dely: unknown key (did you mean drain_delay?)")


def test_keys_without_effect_are_named_and_are_no_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole contract is valid, with its notices."""
    file = ROOT / "tests" / "data" / "contract.yaml"
    pair = Authority(tmp_path).pair()
    (tmp_path / "certs").mkdir()
    Path(pair["certificate"]).rename(tmp_path / "certs" / "gateway.pem")
    Path(pair["key"]).rename(tmp_path / "certs" / "gateway.key")
    monkeypatch.chdir(tmp_path)

    assert 0 == main(["check", str(file)])

    *notices, last = capsys.readouterr().out.splitlines()
    assert len(notices) > 5
    assert all(line.startswith(f"{file}:") and " has no effect: " in line for line in notices)
    assert (
        f"{file}: valid: 2 pools, 4 backends, 8 routes; listens on 0.0.0.0:8080, 0.0.0.0:8443 (TLS)" == last
    )


def test_certificates_are_tried_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `serve` could not use is a problem."""
    monkeypatch.chdir(tmp_path)

    assert 2 == main(["check", str(ROOT / "tests" / "data" / "contract.yaml")])

    first, second = capsys.readouterr().err.splitlines()
    assert "listen[1].tls.certificate: cannot be read: No such file" in first
    assert "listen[1].tls.key: cannot be read: No such file" in second


def test_it_reads_the_environment_of_the_process(tmp_path: Path) -> None:
    """As `serve` does."""
    file = tmp_path / "gateway.yaml"
    file.write_text(MINIMAL + "workers: ${PCS_TEST_WORKERS}\n")
    command = [sys.executable, "-m", "pcs_gateway", "check", str(file)]

    without = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    with_it = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {"PCS_TEST_WORKERS": "2"},
    )

    assert (2, 0) == (without.returncode, with_it.returncode)
    assert f"{file}:2: workers: environment variable PCS_TEST_WORKERS is not set" in without.stderr


def test_a_missing_file_is_a_line_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason that the system gives."""
    assert 2 == main(["check", "/does/not/exist.yaml"])

    assert "/does/not/exist.yaml: cannot be read: No such file or directory\n" == capsys.readouterr().err
