"""A configuration tried out on the machine where it is to be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcs_gateway.config.trying import try_out
from pcs_gateway.errors import ConfigurationError
from tests.unit.config.reading import POOLS, loaded


def tried(directory: Path, text: str, *, is_gateway: bool = False) -> list[str]:
    """Load a text and try out what it names."""
    return try_out(loaded(directory, POOLS + text), 0.0, is_gateway=is_gateway)


def problem(directory: Path, text: str) -> str:
    """The one problem of a text, whoever asks."""
    told = []
    for is_gateway in (False, True):
        with pytest.raises(ConfigurationError) as caught:
            tried(directory, text, is_gateway=is_gateway)
        told.append(str(caught.value))
    assert told[0] == told[1]
    return told[0]


def logging_to(file: Path | str) -> str:
    """A section with this access log."""
    return f"logging: {{access: {{file: {file}}}}}\n"


def keeping(directory: Path | str) -> str:
    """A section with this state directory."""
    return f"state: {{directory: {directory}}}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestTheAccessLog:
    def test_can_be_new_or_there(self, here: Path) -> None:
        """Nothing is left behind, and nothing is changed."""
        (here / "old.log").write_text("a line\n")

        for file in (here / "new.log", here / "old.log", "-", "/dev/null"):
            assert [] == tried(here, logging_to(file))

        assert ["gateway.yaml", "old.log"] == sorted(one.name for one in here.iterdir())
        assert "a line\n" == (here / "old.log").read_text()

    @pytest.mark.parametrize(
        ("file", "reason"),
        [
            ("nowhere/x.log", "No such file or directory"),
            ("gateway.yaml/x.log", "Not a directory"),
            (".", "Is a directory"),
            ('"a\\0b"', "not a file name"),
        ],
    )
    def test_in_a_directory_that_is_not_there_is_a_problem(self, here: Path, file: str, reason: str) -> None:
        """Else it would show with the first line that is lost."""
        told = problem(here, logging_to(file))

        assert told.startswith(
            f"{here}/gateway.yaml:2: logging.access.file: cannot be written to: {reason}: "
        )

    def test_that_is_switched_off_is_not_tried(self, here: Path) -> None:
        """Nobody writes to it."""
        assert [] == tried(here, "logging: {access: {enabled: false, file: nowhere/x.log}}\n")


class TestTheStateDirectory:
    def test_is_made_with_the_directories_above_it(self, here: Path) -> None:
        """Not by trying."""
        assert [] == tried(here, keeping("a/b/c"))
        assert not (here / "a").exists()

    @pytest.mark.parametrize(
        ("directory", "reason"),
        [
            ("/proc/x", "No such file or directory"),
            ("gateway.yaml", "Not a directory"),
            ("gateway.yaml/x", "Not a directory"),
        ],
    )
    def test_that_cannot_be_made_is_a_problem(self, here: Path, directory: str, reason: str) -> None:
        """`serve` would fail by it."""
        told = problem(here, keeping(directory))

        assert told.startswith(f"{here}/gateway.yaml:2: state.directory: cannot be written to: {reason}: ")


class TestRights:
    def test_of_another_user_are_a_notice_of_check(self, here: Path) -> None:
        """It is most often not the gateway's user who checks."""
        text = logging_to("/sys/x.log")  # where not even root makes files

        [notice] = tried(here, text)
        assert notice.startswith(f"{here}/gateway.yaml:2: logging.access.file: cannot be written to: ")
        assert notice.endswith(", by the user who runs this check")
        with pytest.raises(ConfigurationError, match="cannot be written to"):
            tried(here, text, is_gateway=True)


def test_all_problems_are_told_at_once(here: Path) -> None:
    """Those of files and of places, by their lines."""
    tls = "listen: [{address: '127.0.0.1:0', tls: {certificate: no.crt, key: no.key}}]\n"

    with pytest.raises(ConfigurationError) as caught:
        tried(here, logging_to("nowhere/x.log") + tls + keeping("/proc/x"))

    assert [2, 3, 3, 4] == [one.line for one in caught.value.problems]
