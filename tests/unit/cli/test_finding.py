"""Where a gateway is found by its file, whatever has become of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcs_gateway.cli.finding import STILL_REACHED, find
from pcs_gateway.cli.main import main
from pcs_gateway.config.loading import DEFAULT_FILE
from pcs_gateway.errors import CommandError

POOLS = 'pools: {pcs: {backends: [{url: "http://127.0.0.1:8001"}]}}\n'
NO_VALUE = "workers: many\n"
NO_YAML = "a: b: c\n"
BROKEN = [NO_VALUE, NO_YAML, "routes: [\n", '"unclosed\n', "workers: 1\nworkers: 2\n", "x: ${NOT_SET}\n"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(directory: Path, admin: str) -> None:
    """A gateway leaves in its state directory where it is."""
    directory.mkdir(parents=True)
    (directory / "listeners.json").write_text(json.dumps({"admin": admin}))


def written(directory: Path, text: str) -> Path:
    """A file with this text."""
    file = directory / "gateway.yaml"
    file.write_text(text)
    return file


class TestByAFileWithErrors:
    @pytest.mark.parametrize("broken", BROKEN)
    @pytest.mark.parametrize(
        "state",
        [
            "state: {directory: here}\n",
            "state:\n  # where\n  directory: 'here'\n",
            "'state' :\n  directory: here\n",
        ],
    )
    def test_by_its_state_directory(self, here: Path, broken: str, state: str) -> None:
        """Wherever the error stands."""
        runs(here / "here", "0.0.0.0:7001")
        admin = "admin:\n  address: 127.0.0.1:9999\n  token: geheim\n"

        for text in (POOLS + admin + state + broken, broken.join([POOLS, admin, state])):
            found = find(written(here, text), {})
            assert ("127.0.0.1:7001", "geheim") == (found.address, found.token)

    @pytest.mark.parametrize("broken", BROKEN)
    def test_by_the_default_directory_and_address(self, here: Path, broken: str) -> None:
        """Where the file names none."""
        file = written(here, POOLS + broken)
        assert "127.0.0.1:9901" == find(file, {}).address

        runs(here / "var" / "lib" / "pcs-gateway", "127.0.0.1:7002")
        assert "127.0.0.1:7002" == find(file, {}).address

    @pytest.mark.parametrize("broken", BROKEN)
    def test_by_its_admin_address(self, here: Path, broken: str) -> None:
        """Where the state directory tells nothing."""
        assert (
            "127.0.0.1:7003"
            == find(written(here, "admin: {address: '127.0.0.1:7003'}\n" + broken), {}).address
        )

    @pytest.mark.parametrize(
        "state",
        ["state: [here\n", "state: {directory: {}}\n", "state: {directory: 'x/${NOT_SET}'}\n", "state: 5\n"],
    )
    def test_not_by_a_guess(self, here: Path, state: str) -> None:
        """An order must not go to the gateway of the default directory."""
        runs(here / "var" / "lib" / "pcs-gateway", "127.0.0.1:7004")

        with pytest.raises(CommandError, match=STILL_REACHED) as caught:
            find(written(here, POOLS + state), {})
        assert 2 == caught.value.status

    def test_token_that_this_environment_lacks_stands_in_nobody_s_way(self, here: Path) -> None:
        """The gateway's own environment has it."""
        runs(here / "here", "127.0.0.1:7005")
        file = written(here, POOLS + "admin: {token: '${TOKEN}'}\nstate: {directory: here}\n")

        assert ("127.0.0.1:7005", "") == find(file, {})[:2]
        assert ("127.0.0.1:7005", "geheim") == find(file, {"TOKEN": "geheim"})[:2]


class TestWhereNobodyAnswers:
    @pytest.mark.parametrize(
        ("name", "text", "hint"),
        [
            ("gateway.yaml", "", f"{DEFAULT_FILE} not found; give --config FILE or --admin URL"),
            (
                str(DEFAULT_FILE),
                POOLS,
                f"by {DEFAULT_FILE}; --admin URL reaches one that is elsewhere",
            ),
            (str(DEFAULT_FILE), POOLS + NO_YAML, f"{DEFAULT_FILE} has errors; {STILL_REACHED}"),
        ],
    )
    def test_the_way_is_told(
        self, here: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, hint: str
    ) -> None:
        """By which file it was looked for, and what else can be given."""
        (here / "config").mkdir()
        (here / name).write_text(text)
        runs(here / "var" / "lib" / "pcs-gateway", "127.0.0.1:1")

        assert 1 == main(["status"])

        told = f"pcs-gateway: no gateway answers at http://127.0.0.1:1: connection refused ({hint})\n"
        assert told == capsys.readouterr().err
