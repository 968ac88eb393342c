"""The command line: its table, its help, and how errors are shown."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pcs_gateway import __version__
from pcs_gateway.cli.main import VERBS, Verb, main
from pcs_gateway.cli.verb import new_app
from pcs_gateway.errors import CommandError, ConfigurationError, GatewayError, Problem

app = new_app()
"""A verb of the tests' own: it does what `ordered` says."""
ordered: dict[str, BaseException | int | None] = {}


@app.command()
def broken() -> int | None:
    """End as ordered."""
    outcome = ordered.pop("outcome")
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _run(*arguments: str, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pcs_gateway", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=directory)


def test_help_names_every_verb_and_shows_examples() -> None:
    """Each line of the table is there, and what to type."""
    result = _run("--help")

    assert (0, "") == (result.returncode, result.stderr)
    for name, verb in VERBS.items():
        assert f"  {name} " in result.stdout
        assert verb.summary in result.stdout
    assert "  pcs-gateway serve --config config/gateway.yaml --workers 2\n" in result.stdout


def test_nothing_at_all_is_a_request_for_help() -> None:
    """A newcomer types the name alone."""
    assert _run("--help").stdout == _run().stdout


def test_help_imports_no_verb() -> None:
    """It answers at once, whatever the verbs need."""
    code = (
        "import sys; from pcs_gateway.cli.main import main; main(['--help']); "
        "heavy = {'aiohttp', 'ruamel.yaml', 'pydantic', 'uvloop', 'pcs_gateway.config'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )

    assert (0, "") == (result.returncode, result.stderr)


def test_the_version_is_the_package_s() -> None:
    """As one line."""
    assert f"pcs-gateway {__version__}\n" == _run("--version").stdout


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The module of the table is there, and shows what to type."""
    assert 0 == main([name, "--help"])

    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: pcs-gateway {name} ")
    assert f"  pcs-gateway {name}" in shown.partition("\n")[2]
    assert "\\b" not in shown, "examples keep their lines"


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_a_module_with_an_app(name: str) -> None:
    """So that a line in the table is all there is to registration."""
    assert import_module(VERBS[name].module).app.registered_commands


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["chek"], "No such command 'chek'. Did you mean 'check'?"),
        (["loadtest"], "Missing argument 'URL'."),
        (["check", "a", "b"], "Got unexpected extra argument"),
        (["--verbos"], "No such option: --verbos"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(arguments: list[str], line: str) -> None:
    """On standard error, with the way to the help."""
    result = _run(*arguments)

    assert (2, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith(f"pcs-gateway: {line}")
    assert 1 == result.stderr.count("\n")
    assert "--help" in result.stderr


@pytest.mark.parametrize(
    ("error", "text", "status"),
    [
        (GatewayError("no gateway answers"), "pcs-gateway: no gateway answers", 1),
        (CommandError("backend still busy", status=3), "pcs-gateway: backend still busy", 3),
        (ConfigurationError([Problem("f", 1, "a", "", "", "b")] * 2), "f:1: a: b\nf:1: a: b", 2),
        (ConnectionRefusedError(111, "Connection refused"), "pcs-gateway: [Errno 111] Connection refused", 1),
        (KeyboardInterrupt(), "", 130),
    ],
)
def test_errors_are_lines_and_a_status(
    error: BaseException,
    text: str,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Never a traceback."""
    assert status == main(["broken"], _verb_that(error))
    assert text == capsys.readouterr().err.rstrip("\n")


def test_a_bug_is_one_line_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Enough to report it."""
    assert 1 == main(["broken"], _verb_that(ZeroDivisionError("x")))
    shown = capsys.readouterr().err
    assert shown.startswith("pcs-gateway: internal error: ZeroDivisionError: x (")
    assert "test_main.py:" in shown
    assert 1 == shown.count("\n")


def test_a_verb_may_return_its_exit_status() -> None:
    """A number is the status, nothing is success."""
    assert 7 == main(["broken"], _verb_that(7))
    assert 0 == main(["broken"], _verb_that(None))


def _verb_that(outcome: BaseException | int | None) -> dict[str, Verb]:
    """Return a table with one verb, which ends like this."""
    ordered["outcome"] = outcome
    return {"broken": Verb(__name__, "For a test.")}
