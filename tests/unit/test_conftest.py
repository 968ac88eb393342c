"""What the shared set-up of the tests promises."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

REPOSITORY = Path(__file__).parents[2]


async def test_asynchronous_tests_run_on_uvloop() -> None:
    """The suite runs on the event loop of production."""
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


@pytest.mark.parametrize(("option", "status"), [([], 0), (["--require-servers"], 1)])
def test_skip_fails_only_where_servers_are_required(tmp_path: Path, option: list[str], status: int) -> None:
    """A skipped test passes at the desk and fails where nothing may skip."""
    (tmp_path / "conftest.py").write_text((REPOSITORY / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text("import pytest\n\ndef test_it():\n    pytest.skip('no server')\n")

    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            *option,
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert status == run.returncode, run.stdout + run.stderr
    assert "no server" in run.stdout
